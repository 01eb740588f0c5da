"""What a server may answer, message by message, and what of it reaches the caller.

A server's message is split at its top level only and written anew from the members that JSON-RPC knows, so that a caller
reads what was read here. `params`, `result` and `error` are passed on byte for byte unless the message is a list (which is
filtered by the same decision as calls), a discovery or a handshake. A message that does not belong to the call ends it: a
response to another id, a request of the server in the modern era, text that is not JSON-RPC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from counterseal.core.call import Call, Era, Shape
from counterseal.core.methods import LEGACY, METHODS, SUPPORTED, Method
from counterseal.wire import headers, rounds

_STREAM: Final = Shape.STREAM
_MODERN: Final = Era.MODERN


class NotAnAnswer(ValueError):
    """The server's message must not be passed on. The message says why, without quoting it."""


class _Message(msgspec.Struct):
    jsonrpc: str
    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Tool(msgspec.Struct):
    name: str
    inputSchema: Any = None  # noqa: N815  # the wire's own name


_read: Final = msgspec.json.Decoder(_Message).decode
_read_tool: Final = msgspec.json.Decoder(_Tool).decode
_read_id: Final = msgspec.json.Decoder(str | int | None).decode
_read_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_read_items: Final = msgspec.json.Decoder(list[Raw]).decode
_write: Final = msgspec.json.Encoder().encode

_NULL: Final = Raw(b"null")
_LISTS: Final = {row.lists[0]: row for row in METHODS.values() if row.lists is not None}

_WITH_TASKS: Final[Mapping[str, Callable[[Raw, Call], Raw | dict[str, Any]]]] = {
    "notifications/tasks": rounds.notified,
    "notifications/subscriptions/acknowledged": rounds.acknowledged,
}

Visible = Callable[[str, str, Raw], bool]
"""Whether an item of a list goes to the caller: (method by which it is used, its name, its JSON text)."""


def _split(text: bytes) -> _Message:
    """One message. Raises NotAnAnswer."""
    try:
        text.decode()  # what is passed on unread was read by JSON's grammar only, which does not look at UTF-8
        message = _read(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnAnswer("not a JSON-RPC message") from None
    if message.jsonrpc != "2.0":
        raise NotAnAnswer("not JSON-RPC 2.0")
    if not (_may_be_object(message.result) and _may_be_object(message.error)):
        raise NotAnAnswer("`result` or `error` is not an object")
    return message


def _may_be_object(value: Raw | UnsetType) -> bool:
    """Whether it is an object, or is not there."""
    return value is UNSET or memoryview(value)[0] == ord("{")


def _identity(text: Raw) -> str | int | None:
    """The id of a response; a server may not know the id of what it could not read. Raises NotAnAnswer."""
    try:
        identity: str | int | None = _read_id(text)
    except msgspec.DecodeError:
        raise NotAnAnswer("the id is not a string or an integer") from None
    return identity


@dataclass(slots=True)
class Answer:
    """Reads one server's answer to one call. Not frozen: it notes what it saw.

    sent_id: the id that went to the server. Out: `ended` once the response to the call came, `is_error` whether it was a
    JSON-RPC error, `revision` what a handshake negotiated, `learned` what tools mirror into headers, `schemas` the JSON texts of
    their inputSchemas (`null` for none), `left_out` tools that the server annotated wrongly with the reason. given: what the
    caller gets in place of what the server gave it to come back with; None leaves that as it is.
    """

    call: Call
    sent_id: str | int | None
    visible: Visible
    given: rounds.Given | None = None
    ended: bool = False
    is_error: bool = False
    revision: str | None = None
    learned: dict[str, Mapping[headers.Path, str]] = field(default_factory=dict)
    schemas: dict[str, Raw] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def message(self, text: bytes) -> bytes:
        """The message as the caller gets it. Raises NotAnAnswer."""
        message = _split(text)
        if message.method is UNSET:
            return self._response(message)
        if message.result is not UNSET or message.error is not UNSET:
            raise NotAnAnswer("a request and a response at once")
        if message.id is not UNSET and self.call.era is Era.MODERN:
            raise NotAnAnswer("a request of the server, which revision 2026-07-28 does not have")
        params = self._params(message) if self.call.era is Era.MODERN else message.params
        members = {"id": message.id, "method": message.method, "params": params}
        return _write({"jsonrpc": "2.0", **{key: value for key, value in members.items() if value is not UNSET}})

    def _params(self, message: _Message) -> Raw | UnsetType | dict[str, Any]:
        """Of a notification, with the ids of tasks that the caller knows."""
        read = _WITH_TASKS.get(message.method)  # type: ignore[arg-type]
        if read is None or message.params is UNSET:
            return message.params
        try:
            return read(message.params, self.call)
        except rounds.NotAsked as error:
            raise NotAnAnswer(str(error)) from None
        except (msgspec.DecodeError, RecursionError):
            raise NotAnAnswer(f"not the parameters of {message.method}") from None

    def refusal(self, text: bytes) -> bytes:
        """The JSON-RPC error in an answer whose HTTP status is an error, under the caller's id. Raises NotAnAnswer."""
        message = _split(text)
        if message.error is UNSET:
            raise NotAnAnswer("an error status without a JSON-RPC error")
        return _write({"jsonrpc": "2.0", "id": self.call.id, "error": message.error})

    def _response(self, message: _Message) -> bytes:
        if (message.result is UNSET) == (message.error is UNSET) or message.id is UNSET:
            raise NotAnAnswer("neither a result nor an error")
        identity = _identity(message.id)
        if self.call.shape is _STREAM:
            # Only a resumed stream may hold responses; nobody knows any more to which method, so lists are told by shape.
            if self.call.last_event_id is None:
                raise NotAnAnswer("a response on a stream that resumes nothing")
            if message.result is UNSET:
                return _write({"jsonrpc": "2.0", "id": message.id, "error": message.error})
            result = self._result(message.result, None)
            return _write({"jsonrpc": "2.0", "id": message.id, "result": result})
        own = identity is not None and identity == self.sent_id
        refused_unread = identity is None and message.error is not UNSET
        if self.ended or not (own or refused_unread):
            raise NotAnAnswer("a response to another request")
        self.ended = True
        if message.error is not UNSET:
            self.is_error = True
            return _write({"jsonrpc": "2.0", "id": self.call.id, "error": message.error})
        return _write({"jsonrpc": "2.0", "id": self.call.id, "result": self._result(message.result, self.call.method)})

    def _result(self, result: Raw | UnsetType, method: str | None) -> Raw | dict[str, Any]:
        """The result to pass on. method: None where it is not known, so every kind of list is looked for."""
        assert result is not UNSET
        if self.call.era is _MODERN and (method in rounds.ROUNDS or method in rounds.TASKS):
            return self._round(result)
        row = METHODS.get(method) if method is not None else None
        if row is not None and row.lists is None and method not in ("server/discover", "initialize"):
            return result
        try:
            members = _read_members(result)
            if method == "server/discover":
                self._discovery(members)
            elif method == "initialize":
                self._handshake(members)
            elif row is not None:
                self._list(members, row)
            else:
                for name in _LISTS.keys() & members.keys():
                    self._list(members, _LISTS[name])
        except (msgspec.DecodeError, RecursionError):
            raise NotAnAnswer(f"not the result of {method}") from None
        return members

    def _round(self, result: Raw) -> Raw | dict[str, Any]:
        """Of a call that may not have ended yet."""
        call = self.call
        try:
            return (
                rounds.of_task(result, call) if call.method in rounds.TASKS else rounds.shown(result, call, self.given)
            )
        except rounds.NotAsked as error:
            raise NotAnAnswer(str(error)) from None
        except (msgspec.DecodeError, RecursionError):
            raise NotAnAnswer(f"not the result of {call.method}") from None

    def _discovery(self, members: dict[str, Raw]) -> None:
        """Of the server's versions, those that this gateway carries."""
        if "supportedVersions" in members:
            versions = msgspec.json.decode(members["supportedVersions"], type=list[str])
            members["supportedVersions"] = Raw(_write([version for version in versions if version in SUPPORTED]))

    def _handshake(self, members: dict[str, Raw]) -> None:
        revision = msgspec.json.decode(members.get("protocolVersion", Raw(b"null")))
        if revision not in LEGACY:
            raise NotAnAnswer("the server negotiated a revision that is not carried here")
        self.revision = revision

    def _list(self, members: dict[str, Raw], row: Method) -> None:
        """Only what the caller may use is shown, and since another caller may see more, the list is private."""
        assert row.lists is not None
        member, use, name_field = row.lists
        kept = []
        for text in _read_items(members.get(member, Raw(b"[]"))):
            item = _read_members(text)
            name = msgspec.json.decode(item.get(name_field, Raw(b"null")))
            if not isinstance(name, str) or not self.visible(use, name, text):
                continue
            if name_field == "name" and not unicodedata.is_normalized("NFC", name):
                self.left_out[name] = "the name is not in Unicode's normal form C, so a call of it is refused"
            elif member != "tools":
                kept.append(item)
            elif self._learn(name, text):
                kept.append(item)
                self.schemas[name] = item.get("inputSchema", _NULL)
        members[member] = Raw(_write(kept))
        if "cacheScope" in members and not self.call.whole:
            members["cacheScope"] = Raw(b'"private"')

    def _learn(self, name: str, tool: Raw) -> bool:
        """Note what the tool mirrors into headers. False where it asks for what no client could do: it is left out."""
        wanted: Mapping[headers.Path, str] = {}
        text = bytes(tool)
        if headers.ANNOTATION.encode() in text or b"\\u" in text:  # a member's name may be spelled with escapes
            try:
                wanted = headers.annotated(_read_tool(tool).inputSchema)
            except ValueError as error:
                self.left_out[name] = str(error)
                return False
        self.learned[name] = wanted
        return True
