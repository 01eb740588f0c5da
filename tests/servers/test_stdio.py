"""Servers over stdio: the contract of every server, and what only a process of the gateway's own has."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from counterseal.servers.duplex_server import DuplexServer
from tests.contracts.server import ServerContract
from tests.servers.duplexes import stdio


class TestShared(ServerContract):
    @pytest.fixture
    async def room(self) -> AsyncIterator[DuplexServer]:
        async with stdio() as server:
            yield server


class TestSharedWithoutTheNewRevision(ServerContract):
    @pytest.fixture
    async def room(self) -> AsyncIterator[DuplexServer]:
        async with stdio("--legacy") as server:
            yield server
