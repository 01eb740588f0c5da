"""A server that was set up for LiteLLM's signer gets from `profile: litellm` what it got from there, and enforces it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.calls import post, tool_call
from tests.support.gateway import Gateway, Key, running_gateway
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("fastmcp", "python-client")]

AUDIENCE = "mcp"
PORT = free_port()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    issuer = f"http://127.0.0.1:{PORT}"
    told = ("--jwks", f"{issuer}/.well-known/jwks.json", "--issuer", issuer, "--audience", AUDIENCE)
    with ServerProcess("litellm_shaped", free_port(), *told) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of both gateways: the server keeps the keys that it fetched first."""
    made = tmp_path_factory.mktemp("gateway")
    made.chmod(0o700)
    return made


@asynccontextmanager
async def gateway_for(folder: Path, server: ServerProcess, **signer: str) -> AsyncIterator[Gateway]:
    entry = {"url": server.url, "signer": {"audience": AUDIENCE, "algorithm": "RS256", **signer}}
    async with running_gateway(folder, {"tools": entry}, port=PORT) as running:
        yield running


async def test_list_and_call_are_accepted_with_the_claims_and_scopes_of_the_seed(
    folder: Path, server: ServerProcess
) -> None:
    async with gateway_for(folder, server, profile="litellm") as gateway:
        person = ("--team", "data", "--email", "alice@example.com", "--metadata", "end_user_id=u-1")
        key = await asyncio.to_thread(gateway.create_key, "alice", *person)
        for mode in ("legacy", "auto"):
            claims = await whoami(gateway, key, mode)
            assert claims["scope"] == "mcp:tools/call mcp:tools/whoami:call"
            assert (claims["iss"], claims["aud"], claims["sub"]) == (gateway.issuer, AUDIENCE, "alice")
            assert (claims["act"], claims["email"]) == ({"sub": "data"}, "alice@example.com")
            assert claims["end_user_id"] == "u-1"
            assert claims["exp"] - claims["iat"] == 60
            assert claims["jti"]


async def test_without_the_profile_the_same_server_refuses_the_call(folder: Path, server: ServerProcess) -> None:
    """The twin: the scopes are looked at."""
    async with gateway_for(folder, server) as gateway:
        key = await asyncio.to_thread(gateway.create_key, "alice")
        status, body = await post(gateway.at("tools"), tool_call("whoami"), key.headers)
        assert "lacks" in str(body), (status, body)


async def whoami(gateway: Gateway, key: Key, mode: Any) -> dict[str, Any]:
    async with (
        httpx2.AsyncClient(headers=key.headers, timeout=60) as http,
        Client(streamable_http_client(gateway.at("tools"), http_client=http), mode=mode) as client,
    ):
        listed = [tool.name for tool in (await client.list_tools()).tools]
        assert sorted(listed) == ["other", "whoami"]
        result = await client.call_tool("whoami", {})
        if result.is_error:
            raise AssertionError(str(result.content))
        assert result.structured_content is not None
        return dict(result.structured_content)
