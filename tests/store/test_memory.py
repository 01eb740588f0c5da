"""The store in memory."""

from __future__ import annotations

import pytest

from counterseal.store.memory import MemoryStore
from tests.contracts.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def another(self, store: MemoryStore) -> MemoryStore:
        """There is no second process for it."""
        return store
