"""Calls that end in more than one round, in the words of revision 2026-07-28: a result that asks the caller for more, and a task.

A server may ask for what the caller declared that it can answer, and make a task where the caller declared that it follows them.
Anything else is no answer to this call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from counterseal.core.call import Call
from counterseal.core.methods import EXTENSION_TASKS
from counterseal.errors import BadCall
from counterseal.wire.envelope import CAPABILITIES

ROUNDS: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The methods whose result may ask for more."""
TASKS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
STATE: Final = "requestState"


class _Kind(msgspec.Struct):
    resultType: str = "complete"  # noqa: N815  # the wire's own name


_read_kind: Final = msgspec.json.Decoder(_Kind).decode
_read_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_text: Final = msgspec.json.Decoder(str).decode
_read_requests: Final = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode


class Given(Protocol):
    """What a caller gets in place of what the server gave it to come back with."""

    def state(self, state: str | None) -> str: ...

    def task(self, identity: str) -> str: ...


class NotAsked(ValueError):
    """The server asks for what the caller has not declared. The text says what."""


def capabilities(call: Call) -> Mapping[str, Any]:
    """What the caller declared with this call."""
    meta = ((call.message or {}).get("params") or {}).get("_meta") or {}
    found = meta.get(CAPABILITIES)
    return found if isinstance(found, dict) else {}


def declared_tasks(call: Call) -> None:
    """Raises BadCall `capability_missing` where the caller did not declare that it follows tasks."""
    if not follows_tasks(call):
        raise BadCall(
            "capability_missing",
            f"the request does not declare the extension {EXTENSION_TASKS}",
            data={"requiredCapabilities": {"extensions": {EXTENSION_TASKS: {}}}},
        )


def follows_tasks(call: Call) -> bool:
    extensions = capabilities(call).get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(EXTENSION_TASKS), dict)


def shown(result: Raw, call: Call, given: Given | None) -> Raw | dict[str, Any]:
    """A result of one of the ROUNDS as the caller gets it: nearly always as it is. Raises NotAsked, msgspec.DecodeError."""
    kind = _read_kind(result).resultType
    if kind not in ("input_required", "task"):
        return result
    members: dict[str, Any] = dict(_read_members(result))
    if kind == "input_required":
        _check_asked(members, call)
        if given is not None:
            members[STATE] = given.state(_read_text(members[STATE]) if STATE in members else None)
        return members
    if call.method != "tools/call" or not follows_tasks(call):
        raise NotAsked("a task, and the caller did not declare that it follows them")
    if given is not None:
        members["taskId"] = given.task(_read_text(members["taskId"]) if "taskId" in members else "")
    return members


def of_task(result: Raw, call: Call) -> Raw | dict[str, Any]:
    """The result of a method of tasks, with the id that the caller knows. Raises NotAsked, msgspec.DecodeError."""
    members: dict[str, Any] = dict(_read_members(result))
    if not members.keys() & {"taskId", "inputRequests"}:
        return result
    _check_asked(members, call)
    return _named(members, call)


def notified(params: Raw, call: Call) -> dict[str, Any]:
    """The params of `notifications/tasks`. Raises NotAsked, msgspec.DecodeError."""
    members: dict[str, Any] = dict(_read_members(params))
    _check_asked(members, call)
    if "taskId" not in members:
        raise NotAsked("a notification of no task")
    return _named(members, call)


def acknowledged(params: Raw, call: Call) -> Raw | dict[str, Any]:
    """The params of the acknowledgement of a subscription. Raises NotAsked, msgspec.DecodeError."""
    members: dict[str, Any] = dict(_read_members(params))
    wanted = _read_members(members["notifications"]) if "notifications" in members else {}
    if "taskIds" not in wanted:
        return params
    known = [_known(identity, call) for identity in msgspec.json.decode(wanted["taskIds"], type=list[str])]
    return {**members, "notifications": {**wanted, "taskIds": known}}


def _named(members: dict[str, Any], call: Call) -> dict[str, Any]:
    if "taskId" in members:
        members["taskId"] = _known(_read_text(members["taskId"]), call)
    return members


def _known(identity: str, call: Call) -> str:
    text = (call.tasks or {}).get(identity)
    if text is None:
        raise NotAsked("a task that the caller did not ask about")
    return text


def _check_asked(members: Mapping[str, Any], call: Call) -> None:
    """Every request in it is of a kind that the caller declared."""
    if "inputRequests" not in members:
        return
    able = capabilities(call)
    for request in _read_requests(members["inputRequests"]).values():
        method = request.get("method")
        declares = _DECLARES.get(method) if isinstance(method, str) else None
        if declares is None or not declares(able, request.get("params")):
            raise NotAsked("a request to the caller of a kind that it did not declare")


def _elicitation(able: Mapping[str, Any], params: Any) -> bool:
    modes = able.get("elicitation")
    if not isinstance(modes, dict):
        return False
    mode = params.get("mode", "form") if isinstance(params, dict) else "form"
    # `{}` is the older spelling of forms alone.
    return mode in modes or (mode == "form" and "url" not in modes)


_DECLARES: Final[Mapping[str, Callable[[Mapping[str, Any], Any], bool]]] = {
    "elicitation/create": _elicitation,
    "sampling/createMessage": lambda able, _: isinstance(able.get("sampling"), dict),
    "roots/list": lambda able, _: isinstance(able.get("roots"), dict),
}
