"""Raw requests of protocol 2026-07-28, for tests that need to say exactly what goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

REVISION: Final = "2026-07-28"


def modern(method: str, params: dict[str, Any] | None = None, *, id: int | str = 1) -> dict[str, Any]:
    """The JSON-RPC request, with the `_meta` that every request of this revision carries."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "counterseal-tests", "version": "1"},
    }
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {**(params or {}), "_meta": meta}}


def modern_headers(call: dict[str, Any], **more: str) -> dict[str, str]:
    """The headers that belong to the request; `more` is added as it is."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": call["method"],
    }
    if (name := call["params"].get("name", call["params"].get("uri"))) is not None:
        headers["Mcp-Name"] = name
    return {**headers, **more}


def tool_call(name: str, arguments: dict[str, Any] | None = None, *, id: int | str = 1) -> dict[str, Any]:
    return modern("tools/call", {"name": name, "arguments": arguments or {}}, id=id)


async def post(url: str, call: dict[str, Any], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Sends the request on a connection of its own. The HTTP status and the JSON body, or the last message of an event stream."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=call, headers=modern_headers(call, **headers)) as answer,
    ):
        text = await answer.text()
        if answer.content_type == "text/event-stream":
            text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
        body: dict[str, Any] = json.loads(text) if text else {}
        return answer.status, body


async def refusal(url: str, call: dict[str, Any], headers: Mapping[str, str]) -> tuple[int, str, str]:
    """Sends a request that the gateway must refuse. The HTTP status, the code of the reason, and the text for the caller."""
    status, body = await post(url, call, headers)
    assert "error" in body, f"not refused: {status} {body}"
    return status, body["error"]["data"]["reason"], body["error"]["message"]
