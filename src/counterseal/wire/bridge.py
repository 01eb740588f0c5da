"""A call of one era in the words of the other, and the answer back.

What crosses is what both eras have: lists, calls, prompts, resources, completions. A modern call goes through a legacy session
that the gateway itself has opened, so the caller's connection-owned `_meta` stays here; a legacy call gets one of the gateway's.
Either way the gateway is the server's client and has no capabilities, so nothing is asked of anybody through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from counterseal.core.methods import LEGACY, METHODS, MODERN
from counterseal.errors import BadCall
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

_NEWER: Final = {
    "input_required": "the server asks the caller for more, which he would answer with a new call",
    "task": "the server answers with a task, which he would ask for later",
}
_OBJECT: Final = Raw(b"{}")


class _Typed(msgspec.Struct):
    type: Any = None


_read_typed: Final = msgspec.json.Decoder(_Typed).decode
_read_items: Final = msgspec.json.Decoder(list[Raw]).decode
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
    """Whether only a server that has revision 2026-07-28 refuses a request of it so."""
    code = None if error is None else error.get("code")
    return code in _ONLY_MODERN or (code == _NO_METHOD and status == 404)


def discover(name: str, version: str) -> dict[str, Any]:
    """The request by which the gateway asks a server for its eras. It lacks an id."""
    return {"jsonrpc": "2.0", "method": "server/discover", "params": {"_meta": _sender(name, version)}}


def _sender(name: str, version: str) -> dict[str, Any]:
    return {VERSION: MODERN, CAPABILITIES: {}, _OWNED + "clientInfo": {"name": name, "version": version}}


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


def to_new(message: Mapping[str, Any], name: str, version: str) -> dict[str, Any]:
    """A legacy request with what every request of revision 2026-07-28 says of its sender: the gateway. It loses copies of it."""
    params = dict(message.get("params", {}))
    meta = {key: value for key, value in (params.get("_meta") or {}).items() if not key.startswith(_OWNED)}
    return {**message, "params": {**params, "_meta": {**meta, **_sender(name, version)}}}


def to_old(text: bytes, method: str) -> bytes:
    """A modern response, as `wire.answer` wrote it, for a legacy caller. Raises NotAnAnswer, and BadCall `revision_too_old` for
    what no revision with sessions has words for."""
    try:
        message = _read_members(text)
        if "error" in message:
            return text
        result: dict[str, Any] = dict(_read_members(message["result"]))
        kind = msgspec.json.decode(result.pop("resultType", Raw(b'"complete"')))
        if kind in _NEWER:
            raise BadCall(
                "revision_too_old", f"{_NEWER[kind]}, which revision {LEGACY[-1]} and older cannot carry here"
            )
        if kind != "complete":
            raise NotAnAnswer(f"not the answer to {method}")
        for name in ("ttlMs", "cacheScope"):
            result.pop(name, None)
        _without_owned(result)
        if method == "tools/list":
            result["tools"] = [_old_tool(tool) for tool in _read_items(result["tools"])]
        elif method == "tools/call" and not _is_object(result.get("structuredContent", _OBJECT)):
            del result["structuredContent"]
    except (msgspec.DecodeError, RecursionError, KeyError):
        raise NotAnAnswer(f"not the answer to {method}") from None
    return jsonrpc.write({**message, "result": result})


def _without_owned(result: dict[str, Any]) -> None:
    """Takes out of `_meta` what a sender of revision 2026-07-28 says of itself."""
    if "_meta" in result:
        meta = {key: value for key, value in _read_members(result["_meta"]).items() if not key.startswith(_OWNED)}
        result["_meta"] = meta
        if not meta:
            del result["_meta"]


def _old_tool(tool: Raw) -> Raw | dict[str, Raw]:
    """Its answers are objects, or it promises nothing: that is all that an older client can check."""
    members = _read_members(tool)
    if "outputSchema" not in members or _read_typed(members["outputSchema"]).type == "object":
        return tool
    del members["outputSchema"]
    return members


def _is_object(value: Raw) -> bool:
    return memoryview(value)[0] == ord("{")


def introduction(discovered: Mapping[str, Any], revision: str, name: str) -> dict[str, Any]:
    """The result of `initialize` for a legacy caller, from that of the gateway's own `server/discover`. name: of a server that
    does not say what it is called."""
    capabilities = without_push(discovered.get("capabilities"))
    capabilities.pop("extensions", None)
    meta = discovered.get("_meta")
    said = meta.get(_OWNED + "serverInfo") if isinstance(meta, dict) else None
    result: dict[str, Any] = {
        "protocolVersion": revision,
        "capabilities": capabilities,
        "serverInfo": said if isinstance(said, dict) else {"name": name, "version": "unknown"},
    }
    if isinstance(discovered.get("instructions"), str):
        result["instructions"] = discovered["instructions"]
    return result


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
