"""What tests of introspection start from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from counterseal.httpclient import Client
from tests.identity.introspecting import good
from tests.support.authorization_server import AuthorizationServer, Posting


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer(good()) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


@pytest.fixture
def post(client: Client) -> Posting:
    return Posting(client)
