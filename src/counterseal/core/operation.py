"""Which operation a message asks for: method, name, arguments. Gateway and verifier read it with this one function.

If the two read a message differently, a call token for one operation could carry another (S-01, M-04), so
whatever could be read in two ways has no operation here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.methods import METHODS, REPLY
from counterseal.core.value import Value

_READ: Final = frozenset(
    {
        *(row.name_field for row in METHODS.values() if row.name_field is not None),
        *("arguments", "ref", "argument", "notifications", "task", "cursor", "_meta", "requestState", "inputResponses"),
        *("protocolVersion", "capabilities", "clientInfo"),
    }
)
"""Members of `params` that say what is asked for."""
_TOP: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_OF_REFERENCE: Final = frozenset({"type", "name", "uri"})
_OF_LISTENING: Final = frozenset(
    {"resourceSubscriptions", "taskIds", "toolsListChanged", "promptsListChanged", "resourcesListChanged"}
)
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
    if not message.keys() <= _TOP:
        _check_spelling(message, _TOP, "the message")
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
    if not params.keys() <= _READ:
        _check_spelling(params, _READ, "`params`")
    if method == "subscriptions/listen" and isinstance(wanted := params.get("notifications"), dict):
        _check_spelling(wanted, _OF_LISTENING, "`params.notifications`")
    name = _completed(params) if method == "completion/complete" else _member(params, row.name_field, "params")
    arguments = params.get("arguments") if row.arguments else None
    if row.arguments and "arguments" in params and not isinstance(arguments, dict):
        raise NoOperation("`params.arguments` is not an object")
    return Operation(method, name, arguments)


def _completed(params: Mapping[str, Any]) -> str | None:
    reference = params.get("ref")
    if not isinstance(reference, dict):
        raise NoOperation("`params.ref` is missing or not an object")
    _check_spelling(reference, _OF_REFERENCE, "`params.ref`")
    kind = reference.get("type")
    if not isinstance(kind, str) or kind not in _REFERENCES:
        raise NoOperation("`params.ref.type` is neither `ref/prompt` nor `ref/resource`")
    return _member(reference, _REFERENCES[kind], "params.ref")


def _check_spelling(holder: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """No member may be one that is read, spelled with other cases: many readers take `Name` for `name`, and the later of the two.
    Raises NoOperation."""
    for member in holder.keys() - known:
        if len(member) <= _LONGEST and (meant := _FOLDED.get(_fold(member))) in known:
            raise NoOperation(f"{where} has a member that is `{meant}` to a reader that ignores case")


def _fold(name: str) -> str:
    """Equal for what any reader's way of ignoring case takes for the same: some go by upper case and some by lower case, where a
    dotless i, a long s and the sign for Kelvin are letters of ASCII."""
    return name.upper().casefold().replace("\u0307", "")


_FOLDED: Final = {_fold(name): name for name in (*_READ, *_OF_REFERENCE, *_OF_LISTENING, *_TOP)}
_LONGEST: Final = 32
"""Characters of a member that could be one of them."""


def _member(holder: Mapping[str, Any], name: str | None, where: str) -> str | None:
    if name is None:
        return None
    value = holder.get(name)
    if not isinstance(value, str):
        raise NoOperation(f"`{where}.{name}` is missing or not a string")
    return value
