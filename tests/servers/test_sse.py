"""Servers of the old HTTP+SSE transport: the contract of every server, and what only they have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from counterseal.servers.duplex_server import DuplexServer
from tests.contracts.server import ServerContract
from tests.servers.duplexes import sse
from tests.support.sse_server import SseServer


@pytest.fixture
def server() -> Iterator[SseServer]:
    with SseServer() as running:
        yield running


class TestSse(ServerContract):
    @pytest.fixture
    async def room(self, server: SseServer) -> AsyncIterator[DuplexServer]:
        async with sse(server) as room:
            yield room
