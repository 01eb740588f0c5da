"""The HTTP client for servers keeps to the contract of its port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from counterseal.httpclient import Client
from counterseal.servers.http import ServerHttp
from tests.contracts.http import LIMITS, HttpContract, Within
from tests.support.hostile import HostileServer


class TestServerHttp(HttpContract):
    @pytest.fixture
    async def client(self) -> AsyncIterator[Client]:
        made = Client()
        yield made
        await made.close()

    @pytest.fixture
    def http(self, client: Client) -> ServerHttp:
        return ServerHttp(client, LIMITS)

    @pytest.fixture
    def within(self, client: Client) -> Within:
        return lambda limits: ServerHttp(client, limits)

    @pytest.fixture
    def server(self) -> Iterator[HostileServer]:
        with HostileServer() as running:
            yield running
