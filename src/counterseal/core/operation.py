"""Which operation a message asks for: method, name, arguments. Gateway and verifier read it with this one function.

If the two read a message differently, a call token for one operation could carry another (S-01, M-04), so
whatever could be read in two ways has no operation here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.methods import METHODS, REPLY
from counterseal.core.value import Value

_REFERENCES: Final = {"ref/prompt": "name", "ref/resource": "uri"}
"""What a completion is for, and the member that names it."""


class NoOperation(ValueError):
    """The message asks for no operation that has one reading. The text says what to send, and quotes no values."""


class Operation(Value, frozen=True):
    """What a call token is bound to.

    method: the JSON-RPC method, or a pseudo method of core/methods.py. name: the tool, prompt or resource, or what a
    completion is for; None where the method names nothing. arguments: what the digest binds; None where the method has
    none or the message leaves them out.
    """

    method: str
    name: str | None = None
    arguments: Mapping[str, Any] | None = None


def operation_of(message: Mapping[str, Any]) -> Operation:
    """The operation of one parsed JSON-RPC message: a request, a notification, or a response (`methods.REPLY`).

    A method that is not in the table has no name and no arguments here; whoever serves it decides what that means.
    Raises NoOperation.
    """
    answers = "result" in message or "error" in message
    if "method" not in message:
        if not answers:
            raise NoOperation("the message has neither `method` nor `result` nor `error`")
        return Operation(REPLY)
    method = message["method"]
    if answers:
        raise NoOperation("the message is a request and a response at once")
    if not isinstance(method, str):
        raise NoOperation("`method` is not a string")
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise NoOperation("`params` is not an object")
    row = METHODS.get(method)
    if row is None:
        return Operation(method)
    name = _completed(params) if method == "completion/complete" else _member(params, row.name_field, "params")
    arguments = params.get("arguments") if row.arguments else None
    if row.arguments and "arguments" in params and not isinstance(arguments, dict):
        raise NoOperation("`params.arguments` is not an object")
    return Operation(method, name, arguments)


def _completed(params: Mapping[str, Any]) -> str | None:
    reference = params.get("ref")
    if not isinstance(reference, dict):
        raise NoOperation("`params.ref` is missing or not an object")
    kind = reference.get("type")
    if not isinstance(kind, str) or kind not in _REFERENCES:
        raise NoOperation("`params.ref.type` is neither `ref/prompt` nor `ref/resource`")
    return _member(reference, _REFERENCES[kind], "params.ref")


def _member(holder: Mapping[str, Any], name: str | None, where: str) -> str | None:
    if name is None:
        return None
    value = holder.get(name)
    if not isinstance(value, str):
        raise NoOperation(f"`{where}.{name}` is missing or not a string")
    return value
