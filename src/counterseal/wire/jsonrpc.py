"""JSON-RPC 2.0 messages: read strictly on the way in, written once on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from counterseal.core import strict_json
from counterseal.core.limits import Limits
from counterseal.errors import BadCall, CallError

_REQUEST: Final = frozenset({"jsonrpc", "id", "method", "params"})
_RESULT: Final = frozenset({"jsonrpc", "id", "result"})
_ERROR: Final = frozenset({"jsonrpc", "id", "error"})
_SAFE_INTEGER: Final = 2**53 - 1
ID_LENGTH: Final = 256

_encode: Final = msgspec.json.Encoder().encode


def write(message: Any) -> bytes:
    """A message as JSON in UTF-8, members in their order."""
    return _encode(message)


def parse(body: bytes, limits: Limits) -> Any:
    """The JSON value of a body. Raises BadCall `parse_error` or `too_large`; says nothing of the text itself."""
    try:
        return strict_json.read(body, depth=limits.json_depth, members=limits.json_members)
    except strict_json.TooBig as error:
        raise BadCall("too_large", f"the body is {error}") from None
    except strict_json.NotStrict as error:
        raise BadCall("parse_error", f"the body is not strict JSON: {error}") from None


def read(value: Any) -> Mapping[str, Any]:
    """One request, notification or response, its members checked. Raises BadCall `invalid_request`.

    Members that JSON-RPC doesn't know are refused, so that `Method` beside `method` never meets a reader that ignores
    case (M-04).
    """
    if isinstance(value, list):
        raise BadCall("batch_not_allowed", "a batch is not taken here: send the messages one by one")
    if not isinstance(value, dict):
        raise BadCall("invalid_request", "the body is not a JSON object")
    message: dict[str, Any] = value
    identity = message.get("id")
    known = identity if _is_id(identity) else None
    if message.get("jsonrpc") != "2.0":
        raise BadCall("invalid_request", 'the member `jsonrpc` is not "2.0"', id=known)
    if "id" in message and known is None:
        raise BadCall(
            "invalid_request",
            f"the member `id` is neither a string of at most {ID_LENGTH} characters nor an integer within 2^53",
        )
    if "method" in message:
        if not message.keys() <= _REQUEST:
            raise BadCall("invalid_request", "the message has members that JSON-RPC does not know", id=known)
        if not isinstance(message["method"], str):
            raise BadCall("invalid_request", "the member `method` is not a string", id=known)
        if not isinstance(message.get("params", {}), dict):
            raise BadCall("invalid_request", "the member `params` is not an object", id=known)
    elif message.keys() != _RESULT and not (message.keys() == _ERROR and isinstance(message["error"], dict)):
        raise BadCall("invalid_request", "the message is neither a request, a notification nor a response", id=known)
    return message


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _SAFE_INTEGER


def is_batch(body: bytes) -> bool:
    """Whether a body is an array, told by its first character that is not white space (RFC 8259 section 2)."""
    return body.lstrip(b" \t\r\n")[:1] == b"["


def error_message(error: CallError, record: str) -> dict[str, Any]:
    """The JSON-RPC error that a refused or failed call gets (docs/errors.md)."""
    data = {**error.data, "reason": error.reason.code, "record": record}
    return {
        "jsonrpc": "2.0",
        "id": error.id,
        "error": {"code": error.reason.rpc, "message": error.message, "data": data},
    }
