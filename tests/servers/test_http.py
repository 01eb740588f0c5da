"""The HTTP client for servers keeps to the contract of its port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from counterseal.httpclient import Client
from counterseal.servers.http import ServerHttp
from tests.contracts.http import LIMITS, HttpContract
from tests.support.hostile import HostileServer


class TestServerHttp(HttpContract):
    @pytest.fixture
    async def http(self) -> AsyncIterator[ServerHttp]:
        client = Client()
        yield ServerHttp(client, LIMITS)
        await client.close()

    @pytest.fixture
    def server(self) -> Iterator[HostileServer]:
        with HostileServer() as running:
            yield running
