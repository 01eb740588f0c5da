"""A FastMCP server whose owner gave the stock `JWTVerifier` our JWKS address, issuer and audience, and nothing else.

Tokens that are presented to it directly are the gateway's own: a recording server stands in the FastMCP server's place and
catches what the gateway sends there, with one setting changed for each refused twin. No two servers of one gateway may have
the same audience, so each test starts the gateway anew with a configuration of its own: same address, same store, same keys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.calls import REVISION, post, tool_call
from tests.support.gateway import Gateway, Key, running_gateway
from tests.support.process import free_port
from tests.support.servers import RecordingServer, ServerProcess
from tests.support.tokens import LIVES

pytestmark = [pytest.mark.party("fastmcp", "pyjwt")]

CALL = tool_call("whoami")


@dataclass(frozen=True, slots=True)
class Stock:
    """The FastMCP server, and where the gateway that it trusts is started. folder: holds the gateway's store."""

    server: ServerProcess
    folder: Path
    port: int

    @property
    def audience(self) -> str:
        return self.server.url

    @asynccontextmanager
    async def trusting(self, **servers: dict[str, Any]) -> AsyncIterator[tuple[Gateway, Key]]:
        """The gateway, with these servers behind it, and a caller's key."""
        async with running_gateway(self.folder, servers, port=self.port) as gateway:
            yield gateway, await asyncio.to_thread(gateway.create_key, "alice", "--agent", "planner")

    async def presented(self, **signer: Any) -> tuple[int, str]:
        """Catches a token for a `whoami` at the FastMCP server, some settings of its signer changed, and sends it there.

        The status of the answer, and the token.
        """
        async with RecordingServer() as recorder:
            entry = {"url": recorder.url, "signer": {"audience": self.audience, **signer}}
            async with self.trusting(stand_in=entry) as (gateway, key):
                status, body = await post(gateway.at("stand_in"), CALL, key.headers)
                assert status == 200, body
                token = recorder.seen[-1].token
                return await self.status(token), token

    async def status(self, token: str | None) -> int:
        """What the FastMCP server answers to a `whoami` that is sent straight to it."""
        status, _ = await post(self.server.url, CALL, {} if token is None else {"Authorization": f"Bearer {token}"})
        return status


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    gateway_port, port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{gateway_port}"
    told = (
        "--jwks",
        f"{issuer}/.well-known/jwks.json",
        "--issuer",
        issuer,
        "--audience",
        f"http://127.0.0.1:{port}/mcp",
    )
    with ServerProcess("stock_verifier", port, *told) as server:
        yield Stock(server, tmp_path_factory.mktemp("stock"), gateway_port)


async def test_rs256_calls_are_accepted_in_both_eras_and_the_server_knows_who_calls(stock: Stock) -> None:
    async with stock.trusting(stock={"url": stock.audience}) as (gateway, key):
        for mode in (REVISION, "legacy"):
            async with (
                httpx2.AsyncClient(headers=key.headers, timeout=60) as http,
                Client(streamable_http_client(gateway.at("stock"), http_client=http), mode=mode) as client,
            ):
                tools = [tool.name for tool in (await client.list_tools()).tools]
                claims = (await client.call_tool("whoami", {})).structured_content
            assert tools == ["whoami"]
            assert claims["sub"] == "alice"
            assert claims["iss"] == gateway.issuer
            assert claims["aud"] == stock.audience
            assert claims["scope"] == "mcp:tools/call:whoami"


async def test_the_servers_own_token_is_accepted_and_no_token_is_not(stock: Stock) -> None:
    status, _ = await stock.presented()
    assert status == 200
    assert await stock.status(None) == 401


async def test_another_servers_token_is_refused(stock: Stock) -> None:
    status, _ = await stock.presented(audience=f"{stock.audience}/other")
    assert status == 401
    status, _ = await stock.presented()
    assert status == 200


async def test_an_expired_token_is_refused(stock: Stock) -> None:
    for life in LIVES:
        status, token = await stock.presented(ttl_seconds=life)
        expires = jwt.decode(token, options={"verify_signature": False})["exp"]
        if time.time() < expires:
            break
    assert status == 200
    while time.time() <= expires:  # nothing to wait on but the clock
        await asyncio.sleep(0.05)
    assert await stock.status(token) == 401


async def test_a_token_of_an_algorithm_that_the_server_did_not_choose_is_refused(stock: Stock) -> None:
    status, _ = await stock.presented(algorithm="ES256")
    assert status == 401
    status, _ = await stock.presented(algorithm="RS256")
    assert status == 200


async def test_to_the_caller_a_server_that_refuses_our_token_has_failed(stock: Stock) -> None:
    async with stock.trusting(stock={"url": stock.audience, "signer": {"algorithm": "ES256"}}) as (gateway, key):
        status, body = await post(gateway.at("stock"), CALL, key.headers)
        assert (status, body["error"]["data"]["reason"]) == (502, "server_refused")
    async with stock.trusting(stock={"url": stock.audience}) as (gateway, key):
        status, body = await post(gateway.at("stock"), CALL, key.headers)
        assert status == 200, body
