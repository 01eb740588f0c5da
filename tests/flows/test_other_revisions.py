"""Clients that open a session with a revision that no session can have: a newer one, as rmcp does, or the oldest, as many an
example does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.flows.conftest import Countersigned

NEWEST = "2025-11-25"


async def send(
    address: str, message: dict[str, Any], headers: dict[str, str]
) -> tuple[int, str | None, dict[str, Any] | None]:
    """Status, session, and the answer."""
    accepts = {"Accept": "application/json, text/event-stream", **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.post(address, json={"jsonrpc": "2.0", **message}, headers=accepts) as answer,
    ):
        text = await answer.text()
        lines = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")] or [text]
        told = [one for one in map(json.loads, filter(str.strip, lines)) if "id" in one]
        return answer.status, answer.headers.get("Mcp-Session-Id"), told[0] if told else None


@pytest.mark.parametrize("asked", ["2026-07-28", "2024-11-05", "2099-01-01", NEWEST])
@pytest.mark.parametrize("at", ["everything", ""])
async def test_the_session_is_of_the_newest_that_one_can_have(
    countersigned: Countersigned, asked: str, at: str
) -> None:
    address = countersigned.gateway.at(at).rstrip("/")
    about = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    handshake = {"id": 1, "method": "initialize", "params": about}
    status, session, opened = await send(address, handshake, countersigned.key.headers)
    assert status == 200
    assert opened is not None
    assert opened["result"]["protocolVersion"] == NEWEST
    assert session is not None
    headers = {**countersigned.key.headers, "Mcp-Session-Id": session, "MCP-Protocol-Version": NEWEST}
    assert (await send(address, {"method": "notifications/initialized"}, headers))[0] == 202
    echo = "echo" if at else "everything__echo"
    call = {"id": 2, "method": "tools/call", "params": {"name": echo, "arguments": {"message": asked}}}
    before = len([entry for entry in await asyncio.to_thread(countersigned.server.seen) if entry["name"] == "echo"])
    status, _, answer = await send(address, call, headers)
    assert (status, answer and answer["result"]["content"][0]["text"]) == (200, asked)
    # Who goes on with the revision that he asked for is told of the one that was negotiated, and the server sees no call.
    if asked != NEWEST:
        status, _, refused = await send(address, call, {**headers, "MCP-Protocol-Version": asked})
        assert status == 400
        assert refused is not None
        assert "error" in refused
    seen = [entry for entry in await asyncio.to_thread(countersigned.server.seen) if entry["name"] == "echo"]
    assert len(seen) == before + 1
