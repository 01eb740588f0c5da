"""What is asked: one HTTP request as it came in, and the one call that the wire room makes of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import msgspec

from counterseal.core.value import Value

T = TypeVar("T")


class Era(StrEnum):
    """A call stays in its era: what one era pushes, the other cannot carry. `wire.bridge` has the one exception.

    To look a member of an enumeration up costs a quarter of a microsecond on Python 3.11. What every call comes by keeps the
    members that it asks for in constants of its module.
    """

    MODERN = "modern"
    LEGACY = "legacy"


class Shape(StrEnum):
    """What kind of message a call is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    REPLY = "reply"
    """A response of the caller to a request that the server made (legacy)."""
    STREAM = "stream"
    """A legacy `GET`."""
    END = "end"
    """A legacy `DELETE`."""


class _ByName(dict[bytes, list[bytes]]):
    """Header values by name, and with them what was read of this head so far."""

    __slots__ = ("known",)

    def __init__(
        self, values: Mapping[bytes, list[bytes]], known: dict[Callable[[Inbound], Any], Any] | None = None
    ) -> None:
        super().__init__(values)
        self.known = {} if known is None else known


class Inbound(Value, frozen=True):
    """One HTTP request as bytes. headers: names in lower case, in the order they came, duplicates kept."""

    UNSHOWN: ClassVar = frozenset({"headers", "body", "_by_name"})  # the headers hold the credential

    verb: str
    server: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    peer: str
    _by_name: _ByName | None = None

    def __post_init__(self) -> None:
        if self._by_name is not None:
            return
        by_name = _ByName({})
        for name, value in self.headers:
            by_name.setdefault(name, []).append(value)
        msgspec.structs.force_setattr(self, "_by_name", by_name)

    @property
    def names(self) -> Collection[bytes]:
        """The name of every header, once."""
        assert self._by_name is not None
        return self._by_name

    def all(self, name: bytes) -> Sequence[bytes]:
        """Every value of a header, in order; name in lower case."""
        assert self._by_name is not None
        return self._by_name.get(name, ())

    def once(self, read: Callable[[Inbound], T]) -> T:
        """What `read` makes of the headers, which it reads once for all requests that have them (`with_body`, `at`, `resized`).

        read: looks at nothing but the headers without Content-Length, and at nothing that changes. What it raises is not kept.
        """
        assert self._by_name is not None
        known = self._by_name.known
        if read in known:
            value: T = known[read]
            return value
        value = known[read] = read(self)
        return value

    def with_body(self, body: bytes) -> Inbound:
        """The same head with this body."""
        return Inbound(self.verb, self.server, self.headers, body, self.peer, self._by_name)

    def at(self, server: str) -> Inbound:
        """The same request as if it had come to this server's address."""
        return Inbound(self.verb, server, self.headers, self.body, self.peer, self._by_name)

    def resized(self, length: bytes) -> Inbound:
        """The same request with another Content-Length."""
        assert self._by_name is not None
        headers = tuple((name, length if name == b"content-length" else value) for name, value in self.headers)
        by_name = _ByName(self._by_name, self._by_name.known)
        by_name[b"content-length"] = [length]
        return Inbound(self.verb, self.server, headers, self.body, self.peer, by_name)


@dataclass(frozen=True, slots=True)
class Session:
    """A legacy session as the sealed id says it: the server's own id and the negotiated revision."""

    server_id: str = field(repr=False)
    revision: str
    sealed: str = field(repr=False)


class Call(Value, frozen=True, kw_only=True):
    """One decoded call. Decisions, the call token, the record and the request to the server all read this value.

    method: the JSON-RPC method, or a pseudo method of core/methods.py. name: the tool, prompt, resource or what a
    completion is for. arguments: what the call token's digest binds; None where the method has none.
    message: the whole JSON-RPC message, the only thing that is sent on; None for GET and DELETE.
    param_headers: `Mcp-Param-*` as (lower-case name, value), to be checked or passed on. whole: the gateway itself asks for a
    list, which is not filtered where it comes in, because it is where it goes out.

    txn: the transaction that the call goes on with; None for a new one. tools: the tools that made the tasks which it is about.
    tasks: those tasks, by their ids at the server, with the texts that the caller has for them. asked: the arguments as the
    caller sent them, where a hook replaced them.
    """

    UNSHOWN: ClassVar = frozenset({"arguments", "message", "param_headers", "tasks", "asked"})

    server: str
    era: Era
    revision: str
    shape: Shape
    method: str
    id: str | int | None = None
    name: str | None = None
    arguments: Mapping[str, Any] | None = None
    message: Mapping[str, Any] | None = None
    session: Session | None = None
    last_event_id: str | None = None
    param_headers: tuple[tuple[str, str], ...] = ()
    whole: bool = False
    txn: str | None = None
    tools: tuple[str, ...] = ()
    tasks: Mapping[str, str] | None = None
    asked: Mapping[str, Any] | None = None
