"""A FastMCP server gets two tokens with each call, and its own `JWTVerifier`, twice, accepts each for its audience (FR-14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import post, tool_call
from tests.support.gateway import running_gateway
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("fastmcp")]

CHANNEL = "urn:channel:desk"
NAME = "jösé"


async def answer(folder: Path, **signer: Any) -> dict[str, Any]:
    """What the tool `both` says to a call of `NAME` by this signer, which tries to forge what the gateway sends."""
    gateway_port, port = free_port(), free_port()
    issuer, url = f"http://127.0.0.1:{gateway_port}", f"http://127.0.0.1:{port}/mcp"
    told = ("--jwks", f"{issuer}/.well-known/jwks.json", "--issuer", issuer, "--audience", url)
    with ServerProcess("stock_verifier", port, *told, "--channel-audience", CHANNEL) as server:
        entry = {"url": server.url, "signer": signer}
        async with running_gateway(folder, {"desk": entry}, port=gateway_port) as gateway:
            key = gateway.create_key(NAME, "--agent", "planner")
            forged = {"X-MCP-Channel-Token": "a.b.c", "X-Counterseal-Debug": "forged", "Txn-Token": "a.b.c"}
            status, body = await post(gateway.at("desk"), tool_call("both"), {**key.headers, **forged})
            assert status == 200, body
            both: dict[str, Any] = body["result"]["structuredContent"]
            return both


async def test_fr_14_both_tokens_are_accepted_each_for_its_own_audience(tmp_path: Path) -> None:
    both = await answer(tmp_path, channel_token_audience=CHANNEL, channel_token_ttl=30, debug_header=True)
    first, second = both["call"], both["channel"]
    assert (first["sub"], first["act"]) == (second["sub"], second["act"]) == (NAME, {"sub": "planner"})
    assert (second["aud"], second["exp"] - second["iat"]) == (CHANNEL, 30)
    assert (first["txn"], first["scope"]) == (second["txn"], "mcp:tools/call:both")
    assert first["jti"] != second["jti"]
    assert both["swapped"] is False
    assert json.loads(both["debug"])["sub"] == NAME


async def test_fr_14_without_it_there_is_one_and_what_the_caller_sends_is_dropped(tmp_path: Path) -> None:
    """S13 too: no debug header either."""
    both = await answer(tmp_path)
    assert (both["channel"], both["swapped"], both["debug"]) == (None, False, None)
    assert both["call"]["sub"] == NAME
