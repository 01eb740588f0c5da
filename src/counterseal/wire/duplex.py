"""Messages of a server that speaks with many callers over one duplex: whose each is, and what it is called on either side.

On the wire every request has an id and a progress token of ours, random and never used twice, so that an answer finds its asker
and nobody else, whatever callers call their requests (M-07, M-08). Only the top level of a message and the few
members that route it are read here; what reaches a caller goes through `wire.answer` besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from counterseal.core.value import Value
from counterseal.wire import jsonrpc
from counterseal.wire.answer import NotAnAnswer

CALL_TOKEN: Final = "io.counterseal/call-token"  # noqa: S105
"""The member of `_meta` that carries the call token where there is no header."""
SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
OLDEST: Final = "2024-11-05"
"""The revision of HTTP+SSE. A message of it is a message of the next one, too, so callers are told that one."""
_NEXT: Final = "2025-03-26"

Id = str | int | None


class Kind(Enum):
    RESPONSE = "response"
    NOTIFICATION = "notification"
    REQUEST = "request"


class _Top(msgspec.Struct):
    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET


class Heard(Value, frozen=True):
    """One message of the server. id: of a response or request; None where it is neither a text nor a whole number."""

    kind: Kind
    id: Id
    method: str
    params: bytes


_read_top: Final = msgspec.json.Decoder(_Top).decode
_read_id: Final = msgspec.json.Decoder(str | int).decode
_read_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode

# HTTP statuses that revision 2026-07-28 gives to errors; any other error is a good answer, 200.
_STATUS: Final = {-32601: 404, -32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400}


# ---- what the server sends ----


def read(text: bytes) -> Heard:
    """Raises NotAnAnswer for what is no JSON object with members of these types."""
    try:
        top = _read_top(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnAnswer("not a JSON-RPC message") from None
    identity = _id(top.id)
    if top.method is UNSET:
        return Heard(Kind.RESPONSE, identity, "", b"")
    params = b"" if top.params is UNSET else bytes(top.params)
    kind = Kind.NOTIFICATION if top.id is UNSET else Kind.REQUEST
    return Heard(kind, identity, top.method, params)


def member(params: bytes, *path: str) -> Id:
    """The text or whole number at a path of `params`; None where there is none."""
    value = Raw(params)
    try:
        for name in path:
            value = _read_members(value)[name]
        found: Id = _read_id(value)
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None
    return found


def _id(text: Raw | UnsetType) -> Id:
    return None if text is UNSET else member(b'{"id":' + bytes(text) + b"}", "id")


def renamed(text: bytes, token: Id = None, subscription: Id = None) -> bytes:
    """The message with the caller's own progress token or subscription id. Raises NotAnAnswer where it cannot be read."""
    try:
        message = _read_object(text)
        if token is not None:
            message["params"]["progressToken"] = token
        if subscription is not None and "error" not in message:
            holder = message["params" if "method" in message else "result"]
            holder["_meta"] = {**holder.get("_meta", {}), SUBSCRIPTION: subscription}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise NotAnAnswer("not a message of this method") from None
    return jsonrpc.write(message)


def negotiated(text: bytes) -> bytes:
    """The answer to `initialize` with a revision that callers can have."""
    try:
        message = _read_object(text)
        if message["result"]["protocolVersion"] != OLDEST:
            return text
        message["result"]["protocolVersion"] = _NEXT
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return text  # and is refused, or is an error
    return jsonrpc.write(message)


def status_of(message: bytes) -> int:
    """The HTTP status of a modern answer that came without one."""
    try:
        error = _read_object(_read_members(message).get("error", Raw(b"{}")))
        return _STATUS.get(error.get("code"), 200)  # type: ignore[arg-type]
    except (msgspec.DecodeError, TypeError):
        return 200


# ---- what is sent to it ----


def progress_token(message: Mapping[str, Any]) -> Id:
    """The caller's, None where it wants no progress."""
    token = (message.get("params", {}).get("_meta") or {}).get("progressToken")
    return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def request(message: Mapping[str, Any], our_id: str) -> dict[str, Any]:
    """A caller's request as the server gets it."""
    sent = {**message, "id": our_id}
    if progress_token(message) is not None:
        params = message["params"]
        sent["params"] = {**params, "_meta": {**params["_meta"], "progressToken": our_id}}
    return sent


def with_token(message: Mapping[str, Any], token: str) -> dict[str, Any]:
    """The message with its call token in `_meta`: of `params`, or of the result where it is a caller's reply. An error has no
    place for one."""
    member = "params" if "method" in message else "result"
    if member not in message and member == "result":
        return dict(message)
    holder = message.get(member, {})
    return {**message, member: {**holder, "_meta": {**(holder.get("_meta") or {}), CALL_TOKEN: token}}}


def notification(method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


def refusal(identity: Id, why: str) -> dict[str, Any]:
    """The answer to a request of the server that goes to nobody."""
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": -32601, "message": why}}
