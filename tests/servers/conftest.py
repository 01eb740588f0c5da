"""What tests of servers start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.server import Countersign
from tests.support.hostile import HostileServer


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def countersign() -> Countersign:
    return Countersign()
