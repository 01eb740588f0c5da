"""The one call that everything is measured with: exactly 400 bytes in, exactly 300 bytes of JSON out.

The request is a modern (2026-07-28) `tools/call`; the answer is what a server sends for it. The id of the answer is the
request's own, because a gateway may give each call an id of its own and must check that the answer carries it.
"""

from __future__ import annotations

import json
from typing import Any

REVISION = "2026-07-28"
LEGACY_REVISION = "2025-11-25"
TOOL = "get_forecast"
REQUEST_BYTES = 400
ANSWER_BYTES = 300


def request_body(tool: str = TOOL) -> bytes:
    """The body of the call, REQUEST_BYTES long; as much longer as another name of the tool is."""
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": TOOL,
            "arguments": {"place": "Hamburg", "days": 3, "units": "metric", "note": ""},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1.0.0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    missing = REQUEST_BYTES - len(_compact(message))
    message["params"]["arguments"]["note"] = "n" * missing
    message["params"]["name"] = tool
    return _compact(message)


def request_headers(tool: str = TOOL) -> dict[str, str]:
    """What a client of this revision sends with the call, apart from its credential: the routing headers mirror the body,
    `Accept` lists both forms of an answer."""
    return {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }


def answer_parts() -> tuple[bytes, bytes]:
    """The answer before and after its id, so that a server can answer without building JSON: ANSWER_BYTES together with an id
    of one digit."""
    text = "Hamburg: 11 degrees, light rain from the west; "
    empty = _compact(_result("")).replace(b'"id":1', b'"id":0')
    padded = (text * 8)[: ANSWER_BYTES - len(empty)]
    head, tail = _compact(_result(padded)).split(b'"id":1', 1)
    return head + b'"id":', tail


def _result(text: str) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {
            "resultType": "complete",
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"place": "Hamburg", "celsius": 11},
            "isError": False,
        },
    }


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
