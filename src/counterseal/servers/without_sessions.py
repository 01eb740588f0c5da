"""Legacy callers of a streamable HTTP server that has revision 2026-07-28 alone.

The gateway answers what belongs to a session, and keeps nothing: the session is the sealed id, which says only whose it is and
which revision he has. Each call in it is one request of the new revision. What a server without sessions cannot do (questions to
the caller, a stream of its own, a logging level, subscriptions of a session) is not offered, and refused with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.methods import MODERN
from counterseal.core.permit import Permit
from counterseal.core.reply import Headers, Reply
from counterseal.errors import BadCall
from counterseal.servers.asked import EVENTS, JSON
from counterseal.servers.conversation import own_call
from counterseal.servers.crossing import Refusal, Told
from counterseal.servers.event_body import EventBody
from counterseal.servers.link import Countersign, refused
from counterseal.servers.session import Sessions
from counterseal.servers.streamable_http import StreamableHttp
from counterseal.wire import bridge, duplex, jsonrpc
from counterseal.wire import headers as wire_headers
from counterseal.wire.answer import Answer, NotAnAnswer

OURS: Final = "io.counterseal/without-session"
"""What the sealed id of such a session holds in place of one of the server's."""
_HEADER_MISMATCH: Final = -32020

_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode

_Key = tuple[str, str | int | None]


class WithoutSessions:
    """Sends what legacy callers of one server ask. client: our name and version."""

    def __init__(
        self,
        http: StreamableHttp,
        server: str,
        countersign: Countersign,
        sessions: Sessions,
        client: tuple[str, str],
    ) -> None:
        self._http = http
        self._server = server
        self._countersign = countersign
        self._sessions = sessions
        self._client = client
        self._under_way: dict[_Key, _WithoutSession] = {}

    @staticmethod
    def has(call: Call) -> bool:
        """Whether a call is in such a session."""
        return call.session is not None and call.session.server_id == OURS

    async def introduce(self, permit: Permit) -> Reply | Refusal:
        """The answer to `initialize`, from what the server says of itself; a Refusal where it has not revision 2026-07-28. Raises
        CallError."""
        call = permit.call
        message = bridge.discover(*self._client)
        async with self._countersign(permit.caller, own_call(self._server, Era.MODERN, message)) as own:
            told = await self._http.ask(own)
        if isinstance(told, Refusal):
            return told
        found = _read_object(told.message).get("result", {})
        versions = found.get("supportedVersions")
        if not isinstance(versions, list) or MODERN not in versions:
            return Refusal(200, None)
        result = bridge.introduction(found, call.revision, self._server)
        session = self._sessions.seal(permit.caller, call.server, OURS, call.revision)
        headers = (*JSON, (b"mcp-session-id", session.sealed.encode()))
        return _answered(call, result, headers)

    async def send(self, permit: Permit) -> Reply | Refusal:
        """A call in such a session; a Refusal that is none of revision 2026-07-28. Raises CallError."""
        call = permit.call
        assert call.session is not None
        headers = ((b"mcp-session-id", call.session.sealed.encode()),)
        if call.shape in (Shape.STREAM, Shape.END):
            raise BadCall(
                "http_method_refused",
                f"the server has revision {MODERN} alone: it has no stream of its own and no session to end",
                headers=((b"allow", b"POST"),),
            )
        if call.shape is not Shape.REQUEST:
            return self._told(call, headers)
        if call.method == "ping":
            return _answered(call, {}, (*JSON, *headers))
        if not bridge.crosses(call.method):
            raise BadCall("method_unknown", f"the server has revision {MODERN} alone, which has no {call.method!r}")
        outcome = await self._cross(permit, headers)
        if isinstance(outcome, Refusal) and await self._may_mirror(permit, outcome):
            async with self._countersign(permit.caller, call, permit) as again:
                outcome = await self._cross(again, headers)
        return outcome if isinstance(outcome, Reply) else self._refused(call, outcome, headers)

    def _told(self, call: Call, headers: Headers) -> Reply:
        """A notification, which its era takes and no server of this revision does; a cancellation ends the call here."""
        cancelled = None
        if call.method == "notifications/cancelled":
            identity = (call.message or {}).get("params", {}).get("requestId")
            cancelled = self._under_way.get(_key(call, identity)) if isinstance(identity, str | int) else None
        if cancelled is not None:
            cancelled.cancel()
        note = "the call was ended" if cancelled is not None else "dropped: what the server's revision does not carry"
        return Reply(202, headers, b"", note=note)

    async def _cross(self, permit: Permit, headers: Headers) -> Reply | Refusal:
        call = permit.call
        crossing = _WithoutSession(self, call, self._client, self._http.schema(call.name or ""))
        task = asyncio.ensure_future(self._http.exchange(permit, crossing))
        crossing.stop = task.cancel
        try:
            outcome = await task
        except asyncio.CancelledError:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                _drop(task.result())  # it has just begun to answer, and nobody takes that any more
            if not crossing.over:
                raise
            return Reply(200, (*EVENTS, *headers), _Nothing(), note="its caller cancelled it")
        if isinstance(outcome, Reply) and isinstance(outcome.body, EventBody):
            crossing.stop = outcome.body.end
            if crossing.over:
                crossing.stop()
        return outcome

    async def _may_mirror(self, permit: Permit, refusal: Refusal) -> bool:
        """Whether the server misses a header that mirrors an argument, and its list shows now which: a call that was refused so
        was not begun. The gateway is the server's client here, so to look is its duty."""
        call = permit.call
        error = bridge.error_of(refusal.body)
        if call.method != "tools/call" or error is None or error.get("code") != _HEADER_MISMATCH:
            return False
        before = self._http.schema(call.name or "")
        await self._list(permit.caller)
        return self._http.schema(call.name or "") not in (None, before)

    async def _list(self, caller: Caller) -> None:
        """One page of the server's tools, for what they mirror into headers."""
        message = bridge.to_new({"jsonrpc": "2.0", "method": "tools/list"}, *self._client)
        async with self._countersign(caller, own_call(self._server, Era.MODERN, message)) as permit:
            told = await self._http.ask(permit)
            if not isinstance(told, Told):
                raise refused(told.status)

    @staticmethod
    def _refused(call: Call, refusal: Refusal, headers: Headers) -> Reply | Refusal:
        """The error of a modern refusal is an answer in the legacy era."""
        error = bridge.error_of(refusal.body)
        if error is None or not 400 <= refusal.status < 500:
            return refusal
        try:
            body = Answer(call, None, lambda *_: False).refusal(refusal.body or b"")
        except NotAnAnswer:
            return refusal
        note = f"the server answered {refusal.status}"
        return Reply(200, (*JSON, *headers), body, is_error=True, note=note)

    def begun(self, key: _Key, crossing: _WithoutSession) -> None:
        self._under_way[key] = crossing

    def ended(self, key: _Key, crossing: _WithoutSession) -> None:
        if self._under_way.get(key) is crossing:
            del self._under_way[key]


class _WithoutSession:
    """One legacy call on its way as a request of revision 2026-07-28. stop: ends what is under way."""

    def __init__(
        self,
        owner: WithoutSessions,
        call: Call,
        client: tuple[str, str],
        mirrors: Mapping[wire_headers.Path, str] | None,
    ) -> None:
        message = call.message or {}
        self._owner = owner
        self._method = call.method
        self._wants_progress = duplex.progress_token(message) is not None
        self._key = _key(call, call.id)
        headers = wire_headers.mirrored(mirrors or {}, call.arguments or {}) if call.method == "tools/call" else {}
        self.call = replace(
            call,
            era=Era.MODERN,
            revision=MODERN,
            session=None,
            message=bridge.to_new(message, *client),
            param_headers=tuple((name, wire_headers.encode_value(value)) for name, value in headers.items()),
        )
        self.over = False
        self.stop: Callable[[], object] = _nothing
        owner.begun(self._key, self)

    def cancel(self) -> None:
        """Its caller wants no answer any more."""
        self.over = True
        self.stop()

    def heard(self, text: bytes) -> bytes | None:
        heard = duplex.read(text)
        if heard.kind is duplex.Kind.REQUEST:
            raise NotAnAnswer("a request of the server, which revision 2026-07-28 does not have")
        wanted = heard.kind is duplex.Kind.RESPONSE or (
            heard.method == "notifications/progress" and self._wants_progress
        )
        return text if wanted else None

    async def resume(self, last_event_id: str) -> None:
        """Revision 2026-07-28 has no such thing."""

    def finish(self, message: bytes) -> bytes:
        return bridge.to_old(message, self._method)

    def status(self, message: bytes) -> int:
        return 200

    def end(self, *, answered: bool) -> None:
        self._owner.ended(self._key, self)


class _Nothing:
    """A stream that ends without a response: that of a call which its caller cancelled."""

    is_error = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk

    async def aclose(self) -> None:
        """There is nothing to end."""


def _drop(outcome: Reply | Refusal) -> None:
    if isinstance(outcome.body, EventBody):
        outcome.body.end()


def _nothing() -> None:
    pass


def _key(call: Call, identity: str | int | None) -> _Key:
    assert call.session is not None
    return call.session.sealed, identity


def _answered(call: Call, result: Mapping[str, Any], headers: Headers) -> Reply:
    body = jsonrpc.write({"jsonrpc": "2.0", "id": call.id, "result": result})
    return Reply(200, headers, body, is_error=False, note="answered by the gateway")
