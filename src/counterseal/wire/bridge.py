"""A modern call in a legacy session that the gateway itself has opened, and the answer back in the words of revision 2026-07-28.

What crosses is what both eras have: lists, calls, prompts, resources, completions. The caller's connection-owned `_meta` stays
here, because the session is the gateway's: it has no capabilities of a client, so nothing is asked of anybody through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from counterseal.core.methods import METHODS, MODERN
from counterseal.wire import jsonrpc
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.envelope import CAPABILITIES, VERSION

_OWNED: Final = "io.modelcontextprotocol/"
_CACHED: Final = frozenset({"server/discover", "resources/read"}) | {
    row.name for row in METHODS.values() if row.lists is not None
}
_NOT_FOUND: Final = (-32002, -32602)
"""The code of a resource that is not there, before revision 2026-07-28 and since."""

_ONLY_MODERN: Final = (-32020, -32021, -32022)
_NO_METHOD: Final = -32601

_read_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def error_of(body: bytes | None) -> dict[str, Any] | None:
    """The JSON-RPC error in the body of a refusal; None where there is none."""
    try:
        error = None if body is None else _read_object(body).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return error if isinstance(error, dict) else None


def is_modern(status: int, error: Mapping[str, Any] | None) -> bool:
    """Whether only a server that has revision 2026-07-28 refuses a request of it so (mcp.md 1.0)."""
    code = None if error is None else error.get("code")
    return code in _ONLY_MODERN or (code == _NO_METHOD and status == 404)


def discover(name: str, version: str) -> dict[str, Any]:
    """The request by which the gateway asks a server for its eras. It lacks an id."""
    meta = {VERSION: MODERN, CAPABILITIES: {}, _OWNED + "clientInfo": {"name": name, "version": version}}
    return {"jsonrpc": "2.0", "method": "server/discover", "params": {"_meta": meta}}


def crosses(method: str) -> bool:
    """Whether a modern request has a form that a legacy session knows."""
    row = METHODS[method]
    return row.modern and row.legacy and not row.notification


def initialize(revision: str, name: str, version: str) -> dict[str, Any]:
    """What the gateway opens a session of its own with. It lacks an id."""
    client = {"name": name, "version": version}
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "method": "initialize", "params": params}


def to_legacy(message: Mapping[str, Any]) -> dict[str, Any]:
    """A modern request without what only its own era has."""
    params = dict(message.get("params", {}))
    meta = {key: value for key, value in params.pop("_meta", {}).items() if not key.startswith(_OWNED)}
    if meta:
        params["_meta"] = meta
    return {**message, "params": params}


def to_modern(text: bytes, method: str) -> bytes:
    """A legacy response, as `wire.answer` wrote it, with what revision 2026-07-28 asks for besides. Raises NotAnAnswer."""
    try:
        message = _read_members(text)
        if "error" in message:
            error = _read_object(message["error"])
            if error.get("code") == _NOT_FOUND[0]:
                error["code"] = _NOT_FOUND[1]
            return jsonrpc.write({**message, "error": error})
        result: dict[str, Any] = dict(_read_members(message["result"]))
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer(f"not the answer to {method}") from None
    result["resultType"] = "complete"
    if method in _CACHED:
        result |= {"ttlMs": 0, "cacheScope": "private"}
    return jsonrpc.write({**message, "result": result})


def discovery(handshake: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `server/discover`, from that of the gateway's own `initialize`."""
    found: dict[str, Any] = {
        "supportedVersions": [MODERN],
        "capabilities": without_push(handshake.get("capabilities")),
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if isinstance(handshake.get("instructions"), str):
        found["instructions"] = handshake["instructions"]
    if isinstance(handshake.get("serverInfo"), dict):
        found["_meta"] = {_OWNED + "serverInfo": handshake["serverInfo"]}
    return found


def without_push(capabilities: Any) -> dict[str, Any]:
    """Capabilities without what a server does by itself, which has no way to one certain caller of several."""
    if not isinstance(capabilities, dict):
        return {}
    kept = {name: value for name, value in capabilities.items() if name not in ("logging", "tasks")}
    for name, value in kept.items():
        if isinstance(value, dict):
            kept[name] = {key: one for key, one in value.items() if key not in ("listChanged", "subscribe")}
    return kept
