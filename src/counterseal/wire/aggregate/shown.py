"""A server's messages with the names that its things have among all servers.

Rewritten are links to resources and resources themselves, in results of calls, of prompts and of reads, and in what tells that
one has changed; and what a legacy server asks the caller, whose id and progress token are only its own. Everything else is passed
on byte for byte, and a message without any of these is not even read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from counterseal.wire import jsonrpc
from counterseal.wire.aggregate.names import spelled
from counterseal.wire.jsonrpc import ID_LENGTH

Id = str | int

_LISTS: Final[Mapping[str, str]] = {
    "notifications/tools/list_changed": "tools/list",
    "notifications/prompts/list_changed": "prompts/list",
    "notifications/resources/list_changed": "resources/list",
}
_HOLDS: Final[Mapping[str, str]] = {"tools/call": "content", "prompts/get": "messages", "resources/read": "contents"}
"""The member of a method's result that may hold resources."""


class _Progress(msgspec.Struct):
    progressToken: Id | None = None  # noqa: N815  # the wire's own name


_read_progress: Final = msgspec.json.Decoder(_Progress).decode
_read_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_read_text: Final = msgspec.json.Decoder(str).decode
_read_id: Final = msgspec.json.Decoder(str | int).decode
_read_any: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Questions(Protocol):
    """What servers ask the caller, by ids of ours."""

    def asked(self, identity: Id) -> Id | None:
        """A request of the server: its id for the caller; None where it must not reach him."""
        ...

    def taken_back(self, identity: Id) -> Id | None:
        """The server wants no answer any more: the id that the caller knows it by; None for no such question."""
        ...

    def token(self, token: Id) -> Id:
        """A progress token that the server gave to a request of its own: what the caller gets instead."""
        ...


class Shown:
    """What one server says to one caller, about one call or on its own. method: of the call; None where that is not known, or
    there is none. changed: is told of the list that a server has changed, by its method. progresses: whether a progress token is
    that of a call which this server has: progress of any other is not for the caller."""

    def __init__(
        self,
        server: str,
        method: str | None,
        questions: Questions | None,
        changed: Callable[[str, str], None],
        progresses: Callable[[Id], bool],
    ) -> None:
        self._progresses = progresses
        self._server = server
        self._method = method
        self._questions = questions
        self._changed = changed

    def whole(self, body: bytes) -> bytes:
        """A whole answer: a response."""
        # A name may be spelled with escapes; an answer without either holds no resource.
        if self._method == "resources/read" or b"resource" in body or b"\\u" in body:
            return self._response(body)
        return body

    def message(self, text: bytes) -> bytes | None:
        """One message, as `wire.answer` has written it; None for one that is not for the caller."""
        try:
            message = _read_object(text)
            if "method" not in message:
                return self.whole(text)
            method = _read_text(message["method"])
            if "id" in message:
                return self._question(message)
            return self._notification(method, message, text)
        except (msgspec.DecodeError, RecursionError):
            return text  # not what it should be, and as it is on the server's own address

    def _response(self, text: bytes) -> bytes:
        try:
            message = _read_object(text)
            if "result" not in message:
                return text
            result = _read_object(message["result"])
            for member in _HOLDS.values() if self._method is None else [_HOLDS.get(self._method)]:
                if member is not None and member in result:
                    result[member] = self._resources(member, result[member])
        except (msgspec.DecodeError, RecursionError):
            return text
        return jsonrpc.write({**message, "result": result})

    def _resources(self, member: str, value: Raw) -> Raw:
        items = _read_objects(value)
        for item in items:
            if member == "contents":
                self._respell(item)
            elif member == "content":
                self._content(item)
            elif "content" in item:
                content = item["content"]
                if memoryview(content)[0] == ord("["):
                    item["content"] = self._resources("content", content)
                else:
                    one = _read_object(content)
                    self._content(one)
                    item["content"] = Raw(jsonrpc.write(one))
        return Raw(jsonrpc.write(items))

    def _content(self, item: dict[str, Raw]) -> None:
        kind = _read_text(item["type"]) if "type" in item else ""
        if kind == "resource_link":
            self._respell(item)
        elif kind == "resource" and "resource" in item:
            resource = _read_object(item["resource"])
            self._respell(resource)
            item["resource"] = Raw(jsonrpc.write(resource))

    def _respell(self, holder: dict[str, Raw]) -> None:
        if "uri" in holder:
            holder["uri"] = Raw(jsonrpc.write(spelled(self._server, _read_text(holder["uri"]))))

    def _notification(self, method: str, message: dict[str, Raw], text: bytes) -> bytes | None:
        if method in _LISTS:
            self._changed(self._server, _LISTS[method])
        elif method == "notifications/resources/updated" and "params" in message:
            params = _read_object(message["params"])
            self._respell(params)
            return jsonrpc.write({**message, "params": params})
        elif method == "notifications/progress":
            return text if self._is_of_a_call(message.get("params", Raw(b"{}"))) else None
        elif method == "notifications/cancelled" and "params" in message:
            known = _read_any(message["params"])
            identity = known.get("requestId")
            if self._questions is None or not isinstance(identity, str | int):
                return None
            here = self._questions.taken_back(identity)
            return None if here is None else jsonrpc.write({**message, "params": {**known, "requestId": here}})
        return text

    def _is_of_a_call(self, params: Raw) -> bool:
        try:
            token = _read_progress(params).progressToken
        except (msgspec.DecodeError, RecursionError):
            return False
        return token is not None and self._progresses(token)

    def _question(self, message: dict[str, Raw]) -> bytes | None:
        identity = _read_id(message["id"])
        if self._questions is None or _is_long(identity):
            return None
        here = self._questions.asked(identity)
        if here is None:
            return None
        sent: dict[str, Any] = {**message, "id": here}
        if "params" in message and b"progressToken" in bytes(message["params"]):
            params = _read_any(message["params"])
            meta = params["_meta"] if isinstance(params.get("_meta"), dict) else {}
            token = meta.get("progressToken")
            if isinstance(token, str | int) and not _is_long(token):
                sent["params"] = {**params, "_meta": {**meta, "progressToken": self._questions.token(token)}}
        return jsonrpc.write(sent)


def _is_long(identity: Id) -> bool:
    """Nobody could answer to it, and it is not kept."""
    return isinstance(identity, str) and len(identity) > ID_LENGTH
