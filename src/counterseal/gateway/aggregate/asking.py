"""Several servers are asked side by side, each by a call of the caller's own: decided, countersigned, recorded.

Its `peer` is `gateway`, and its `part_of` leads to the record of the call that the caller made. A server that is silent, broken
or out of reach costs the others nothing: it is waited for as long as the patience lasts, and then it is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from counterseal.core.call import Call, Era, Inbound, Session, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import END_SESSION, METHODS, STREAM
from counterseal.core.permit import Allowed
from counterseal.core.reply import Headers, Reply
from counterseal.errors import CallError, ServerError
from counterseal.gateway.own_calls import PEER
from counterseal.gateway.pipeline import Pipeline
from counterseal.wire.aggregate.lists import told
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.envelope import CAPABILITIES, VERSION
from counterseal.wire.eventstream import Reader

T = TypeVar("T")

UNAVAILABLE: Final = "io.counterseal/unavailable"
"""The member of `_meta` that names the servers which could not be asked."""

_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
_VERBS: Final = {STREAM: "GET", END_SESSION: "DELETE"}
_METHOD_NOT_FOUND: Final = -32601
_NO_METHOD: Final = frozenset({"method_not_found", "method_unknown", "http_method_refused"})
"""What a server room says of a method that its server does not have."""


@dataclass(frozen=True, slots=True)
class Outer:
    """A call to the address of all servers that is asked of several.

    record: the id of its record; None for what no caller asked. meant: servers, in their order. among: those that the caller may
    ask it of, once that is decided (`Asking.asked`). until: when patience is over, on the loop's clock. alone: the server of an
    address that is for one alone.
    """

    record: str | None
    caller: Caller
    inbound: Inbound
    call: Call
    meant: tuple[str, ...]
    among: tuple[str, ...]
    until: float
    alone: str | None = None


@dataclass(slots=True)
class Answers:
    """What came of it. unavailable: what `_meta` says of servers that could not be asked, in their order."""

    unavailable: list[dict[str, str]] = field(default_factory=list)

    @property
    def meta(self) -> dict[str, Any]:
        """For the result."""
        return {UNAVAILABLE: self.unavailable} if self.unavailable else {}


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a call of our own. record: the id of its record. body: the response; b"" where there is none."""

    record: str
    headers: Headers
    body: bytes


class NoMethod(Exception):
    """The server does not have this method."""


class Asking:
    """new_id: for requests of our own. about: what we are called as a client."""

    def __init__(self, pipeline: Pipeline, limits: Limits, new_id: Callable[[], str], about: Mapping[str, str]) -> None:
        self.about = about
        self._pipeline = pipeline
        self._limits = limits
        self._new_id = new_id

    def asked(self, outer: Outer) -> Outer:
        """The call, with the servers of those that are meant that it may be asked of. Nobody else's name is told (A-10)."""
        decide = self._pipeline.policy.decide_operation
        method = outer.call.method
        return replace(
            outer,
            among=tuple(
                server for server in outer.meant if isinstance(decide(outer.caller, server, method, None), Allowed)
            ),
        )

    async def at(self, outer: Outer, server: str) -> tuple[Caller, Inbound]:
        """Who calls, and with what, as it is at this server. Raises CallError."""
        return await self._pipeline.identify.at(outer.caller, outer.inbound, server)

    def request(
        self, outer: Outer, server: str, method: str, params: Mapping[str, Any], session: Session | None = None
    ) -> Call:
        """A request of our own in the era of the caller, under an id of ours."""
        call = outer.call
        if call.era is Era.MODERN:
            # Besides what the client can do nothing of it goes along, so that no caller has a say in what is kept for others.
            meta = {VERSION: call.revision, CAPABILITIES: declared(call), _CLIENT: self.about}
            params = {**params, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": self._new_id(), "method": method, **({"params": params} if params else {})}
        row = METHODS[method]
        if row.notification:
            del message["id"]
        return Call(
            server=server,
            era=call.era,
            revision=call.revision if session is None else session.revision,
            shape=Shape.NOTIFICATION if row.notification else Shape.REQUEST,
            method=method,
            id=None if row.notification else str(message["id"]),
            message=message,
            session=session,
            whole=row.lists is not None,
        )

    async def of_each(
        self, servers: Iterable[str], ask: Callable[[str], Awaitable[T]], answers: Answers
    ) -> dict[str, T]:
        """What each says, in the order of `servers`. Not there: what has no such method, and what refused or failed, which is
        named in `answers`. servers: those that policy lets the caller ask, so that no other one is named."""
        tasks = {server: asyncio.ensure_future(ask(server)) for server in servers}
        try:
            if tasks:
                await asyncio.wait(tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        found: dict[str, T] = {}
        for server, task in tasks.items():
            try:
                found[server] = task.result()
            except NoMethod:
                continue
            except CallError as error:
                if error.reason.code in _NO_METHOD:
                    continue
                named = {"server": server, "reason": error.reason.code}
                answers.unavailable.append(named if error.record is None else {**named, "record": error.record})
        return found

    async def ask(
        self, outer: Outer, who: tuple[Caller, Inbound], call: Call, read: Callable[[Mapping[str, Raw]], T]
    ) -> tuple[Answered, T]:
        """The answer to a request of our own, and its result as `read` reads it, which may raise NotAnAnswer. Raises CallError,
        NoMethod."""
        answered = await self.reply(outer, who, call)
        error: CallError
        try:
            response = told(answered.body)
            if response.error is None:
                return answered, read(response.result)
            if response.error == _METHOD_NOT_FOUND:
                raise NoMethod
            detail = f"it answered with the error {response.error}"
            error = ServerError("server_refused", "the server refused the call", detail=detail)
        except NotAnAnswer as unreadable:
            error = _invalid(str(unreadable))
        error.record = answered.record
        raise error from None

    async def reply(self, outer: Outer, who: tuple[Caller, Inbound], call: Call) -> Answered:
        """The reply to a call of our own, and its response, read to its end. Raises CallError."""
        record, reply = await self.open(outer, who, call)
        # From here on the reply itself is watched: its end is in the record, however it ends.
        error: CallError
        try:
            async with asyncio.timeout_at(outer.until):
                return Answered(record, reply.headers, await self._response(reply, call))
        except TimeoutError:
            error = _silent()
        except CallError as raised:
            error = raised
        error.record = record
        raise error from None

    async def open(self, outer: Outer, who: tuple[Caller, Inbound], call: Call) -> tuple[str, Reply]:
        """The id of its record and the reply to a call of our own, whose body is still to be read. Raises CallError."""
        caller, there = who
        inbound = Inbound(_VERBS.get(call.method, "POST"), call.server, (), b"", PEER)
        async with self._pipeline.recorder.open(inbound, outer.record) as record:
            record.caller, record.call = caller, call
            try:
                async with asyncio.timeout_at(outer.until):
                    return record.id, await self._pipeline.carry(record, caller, call, there)
            except TimeoutError:
                # What was about to be written as the intent may be in the file: then it gets its outcome.
                record.intended |= record.intending
                raise _silent() from None

    async def _response(self, reply: Reply, call: Call) -> bytes:
        body = reply.body
        if isinstance(body, bytes):
            return body
        reader = Reader(self._limits.server_event_bytes)
        found = b""
        try:
            async for chunk in body:
                for event in reader.feed(chunk):
                    if event.data and is_response(event.data):
                        found = event.data
        finally:
            await body.aclose()
        if not found and call.shape is Shape.REQUEST:
            raise _invalid("no response")
        return found


class _Top(msgspec.Struct):
    method: str | None = None


class _Answer(msgspec.Struct):
    id: str | int | None = None


_read_top: Final = msgspec.json.Decoder(_Top).decode
_read_answer: Final = msgspec.json.Decoder(_Answer).decode


def is_response(text: bytes) -> bool:
    """Whether a message that `wire.answer` has written is a response."""
    return _read_top(text).method is None


def answered_id(text: bytes) -> str | int | None:
    """The id in a response that `wire.answer` has written; None for one to nothing."""
    return _read_answer(text).id


def declared(call: Call) -> Any:
    """What the client of a modern call says that it can do."""
    return (call.message or {}).get("params", {}).get("_meta", {}).get(CAPABILITIES, {})


def _silent() -> CallError:
    return ServerError(
        "server_timeout", "the server did not answer in time", detail="longer than the others wait for one server"
    )


def _invalid(detail: str) -> ServerError:
    return ServerError("server_answer_invalid", "the server's answer is not valid", detail=detail)
