"""Servers that are spoken to over a duplex, stdio or HTTP+SSE: which conversation a call belongs to, and what callers see of it.

* Legacy, a conversation for each session: the caller's own `initialize` opens it, everything in it is his.
* Legacy, shared: the gateway has sent `initialize` itself, once, and answers callers from that result, without what a server does
  by itself, because that has no way to one caller of several.
* Modern, where the server has revision 2026-07-28: one conversation for all callers, or one for each.
* Modern, where it has not: in a legacy session that the gateway opens, for all callers or for each (wire/bridge.py).

What is opened for one caller is never used for another, except where the server is configured as shared (M-08, M-09).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import LEGACY, METHODS, MODERN
from counterseal.core.permit import Permit
from counterseal.core.reply import Headers, Reply
from counterseal.errors import BadCall, ServerError
from counterseal.servers.asked import EVENTS, JSON, Events
from counterseal.servers.back_off import BackOff
from counterseal.servers.conversation import Conversation, own_call
from counterseal.servers.learned import Learned
from counterseal.servers.link import Connect, Countersign, SessionGone, invalid, stream_seconds
from counterseal.servers.pool import Pool
from counterseal.servers.session import Sessions
from counterseal.servers.streamable_http import Decide
from counterseal.wire import bridge, duplex, jsonrpc
from counterseal.wire.answer import Answer

_SHARED: Final = "shared"
"""What the sealed session id of a shared server holds in place of a session of its own."""
_OF_ONE: Final = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""What would change a shared server for every caller."""
_UNKNOWN: Final = "there is no such session: send `initialize` again"

_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class _NotModern(Exception):
    """The server has no revision 2026-07-28."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """How one server is spoken to. shared: all callers have the same conversations. modern: it may have revision 2026-07-28.
    client: our name and version. most, idle_seconds: of its conversations; None for no limit."""

    name: str
    shared: bool
    modern: bool
    client: tuple[str, str]
    most: int | None
    idle_seconds: float | None


class DuplexServer:
    """Sends permits to one server. new_id: as the pipeline's."""

    def __init__(
        self,
        spoken: Spoken,
        connect: Connect,
        sessions: Sessions,
        decide: Decide,
        countersign: Countersign,
        limits: Limits,
        new_id: Callable[[], str],
        back_off: BackOff | None = None,
    ) -> None:
        self._spoken = spoken
        self._connect = connect
        self._sessions = sessions
        self._decide = decide
        self._countersign = countersign
        self._limits = limits
        self._new_id = new_id
        self._back_off = back_off
        self._learned = Learned(spoken.name, limits)
        self._pool: Pool[Conversation] = Pool(spoken.most, spoken.idle_seconds)
        self._modern: bool | None = None if spoken.modern else False

    def schema(self, tool: str) -> Any:
        """What a tool mirrors into headers, as the server's lists showed it so far; None where no list named the tool."""
        return self._learned.schema(tool)

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema; None where no list showed it."""
        return self._learned.input_schema(tool)

    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]:
        """What would go beside a message: nothing that anybody but the connection itself decides."""
        return ()

    def healthy(self) -> str | None:
        """What is wrong where the server keeps failing."""
        return None if self._back_off is None else self._back_off.healthy()

    async def close(self) -> None:
        """End every conversation, and what it runs on."""
        await self._pool.close()

    async def send(self, permit: Permit) -> Reply:
        """One call. Raises ServerError, or BadCall for what this server cannot be asked.

        The caller of this iterates or closes a stream in the reply, whatever happens.
        """
        call = permit.call
        try:
            return await (self._send_modern(permit) if call.era is Era.MODERN else self._send_legacy(permit))
        except SessionGone:
            if call.session is None:
                raise
            raise BadCall("session_unknown", "the server has ended the session: send `initialize` again") from None

    # ---- modern callers ----

    async def _send_modern(self, permit: Permit) -> Reply:
        call = permit.call
        if call.shape is Shape.NOTIFICATION:
            return _dropped("a notification that its revision does not carry")
        conversation = await self._for_modern(permit.caller)
        if conversation.era is Era.MODERN:
            listens = METHODS[call.method].stream
            seconds = stream_seconds(permit, self._limits) if listens else None
            return await (await conversation.ask(permit, listens=listens, seconds=seconds)).reply()
        if call.method == "server/discover":
            found = {"jsonrpc": "2.0", "id": call.id, "result": bridge.discovery(conversation.handshake)}
            return Reply(200, JSON, jsonrpc.write(found), is_error=False, note="answered by the gateway")
        if not bridge.crosses(call.method):
            raise BadCall(
                "method_not_found", f"the server has only revisions before {MODERN}, which have no {call.method!r}"
            )
        finish = partial(bridge.to_modern, method=call.method)
        return await (await conversation.ask(permit, bridge.to_legacy(call.message or {}), finish=finish)).reply()

    async def _for_modern(self, caller: Caller) -> Conversation:
        if self._modern is not False:
            try:
                conversation = await self._take("modern", caller, self._open_modern)
            except _NotModern:
                pass
            else:
                self._modern = True
                return conversation
        conversation = await self._take("legacy", caller, self._open_legacy)
        self._modern = False
        return conversation

    # ---- legacy callers ----

    async def _send_legacy(self, permit: Permit) -> Reply:
        call = permit.call
        if call.method == "initialize":
            return await (self._introduce(permit) if self._spoken.shared else self._initialize(permit))
        if call.session is None:
            raise BadCall(
                "invalid_request",
                "this server has sessions: send `initialize`, and then the Mcp-Session-Id of its answer",
            )
        headers = _session_header(call)
        if self._spoken.shared:
            return await self._send_shared(permit, headers)
        key = ("session", call.session.server_id.encode())
        conversation = self._pool.find(key)
        if conversation is None:
            raise BadCall("session_unknown", _UNKNOWN)
        if call.shape is Shape.STREAM:
            stream = conversation.follow(permit, stream_seconds(permit, self._limits))
            return Reply(200, (*EVENTS, *headers), Events(stream), note="answered by the gateway")
        if call.shape is Shape.END:
            self._pool.drop(key, conversation)
            return Reply(200, headers, b"", note="answered by the gateway")
        if call.shape is Shape.REQUEST:
            return await (await conversation.ask(permit)).reply(headers)
        message = call.message
        if call.shape is Shape.REPLY and not conversation.answers(permit):
            return _dropped("an answer to no question of the server", headers)
        if call.method == "notifications/cancelled" and (message := conversation.cancelled(permit)) is None:
            return _dropped("a cancellation of no call of this caller", headers)
        await conversation.tell(permit, message)
        return Reply(202, headers, b"")

    async def _initialize(self, permit: Permit) -> Reply:
        """A session of the caller's own."""
        session_id = self._new_id()
        key = ("session", session_id.encode())
        begin = partial(self._connected, key, permit.caller, Era.LEGACY, belongs=True)
        try:
            conversation = await self._pool.take(key, permit.caller.fingerprint(), begin)
        except BaseException:
            self._pool.abandon(key)
            raise
        try:
            asked = await conversation.ask(permit, seconds=self._limits.process_start_seconds)
            body = await asked.response()
        except BaseException as error:
            self._pool.abandon(key)
            if isinstance(error, ServerError):
                self._failed(permit.caller, 0, error)
            raise
        if asked.answer.revision is None:
            self._pool.abandon(key)
            return Reply(200, JSON, body, is_error=True)
        conversation.established = True
        session = self._sessions.seal(permit.caller, permit.call.server, session_id, asked.answer.revision)
        return Reply(200, (*JSON, (b"mcp-session-id", session.sealed.encode())), body, is_error=False)

    # ---- legacy callers of a shared server ----

    async def _introduce(self, permit: Permit) -> Reply:
        """The answer to `initialize`, from what the server has said to the gateway's own."""
        handshake = (await self._take("legacy", permit.caller, self._open_legacy)).handshake
        # The older of both: what the server says in a later one holds more, and nothing that an older one calls otherwise.
        revision = min(permit.call.revision, handshake["protocolVersion"], key=LEGACY.index)
        result = {
            **handshake,
            "protocolVersion": revision,
            "capabilities": bridge.without_push(handshake.get("capabilities")),
        }
        body = jsonrpc.write({"jsonrpc": "2.0", "id": permit.call.id, "result": result})
        session = self._sessions.seal(permit.caller, permit.call.server, _SHARED, revision)
        headers = (*JSON, (b"mcp-session-id", session.sealed.encode()))
        return Reply(200, headers, body, is_error=False, note="answered by the gateway")

    async def _send_shared(self, permit: Permit, headers: Headers) -> Reply:
        call = permit.call
        if call.session is None or call.session.server_id != _SHARED:
            raise BadCall("session_unknown", _UNKNOWN)
        if call.shape in (Shape.STREAM, Shape.END):
            raise BadCall(
                "http_method_refused",
                "this server is shared by several callers: it has no stream and no session of one alone",
                headers=((b"allow", b"POST"),),
            )
        if call.method in _OF_ONE:
            raise BadCall(
                "method_unknown", f"this server is shared by several callers: {call.method!r} would change it for all"
            )
        if call.shape is not Shape.REQUEST and call.method != "notifications/cancelled":
            return _dropped("what a server that is shared by several callers is not told", headers)
        conversation = await self._take("legacy", permit.caller, self._open_legacy)
        if call.shape is Shape.REQUEST:
            return await (await conversation.ask(permit)).reply(headers)
        message = conversation.cancelled(permit)
        if message is None:
            return _dropped("a cancellation of no call of this caller", headers)
        await conversation.tell(permit, message)
        return Reply(202, headers, b"")

    # ---- conversations ----

    def _owner(self, caller: Caller) -> bytes:
        return b"" if self._spoken.shared else caller.fingerprint()

    async def _take(self, kind: str, caller: Caller, begin: Callable[[tuple[str, bytes], Caller], Any]) -> Conversation:
        owner = self._owner(caller)
        key = (kind, owner)
        return await self._pool.take(key, owner, partial(begin, key, caller))

    async def _open_modern(self, key: tuple[str, bytes], caller: Caller) -> Conversation:
        """Raises _NotModern also where a server of which nothing is known ends or falls silent: an old one may do so at a request
        that it does not know, and one that cannot work at all is found out by the next attempt."""
        conversation = await self._connected(key, caller, Era.MODERN)
        message = bridge.discover(*self._spoken.client)
        try:
            answer = await self._own(conversation, caller, message, self._limits.process_start_seconds / 2)
        except BaseException as error:
            await conversation.end()
            if not isinstance(error, ServerError):
                raise
            if self._modern:
                self._failed(caller, 0, error)
                raise
            raise _NotModern from None
        versions = answer.get("result", {}).get("supportedVersions")
        if not isinstance(versions, list) or MODERN not in versions:
            await conversation.end()
            raise _NotModern
        conversation.established = True
        return conversation

    async def _open_legacy(self, key: tuple[str, bytes], caller: Caller) -> Conversation:
        conversation = await self._connected(key, caller, Era.LEGACY)
        message = bridge.initialize(LEGACY[-1], *self._spoken.client)
        try:
            answer = await self._own(conversation, caller, message, self._limits.process_start_seconds)
            if "error" in answer:
                raise invalid("the server refuses `initialize`")
            conversation.handshake = answer["result"]
            initialized = duplex.notification("notifications/initialized")
            async with self._countersign(caller, own_call(self._spoken.name, Era.LEGACY, initialized)) as permit:
                await conversation.tell(permit)
        except BaseException as error:
            await conversation.end()
            if isinstance(error, ServerError):
                self._failed(caller, 0, error)
            raise
        conversation.established = True
        return conversation

    async def _connected(
        self, key: tuple[str, bytes], caller: Caller, era: Era, *, belongs: bool = False
    ) -> Conversation:
        if self._back_off is not None:
            self._back_off.check(self._owner(caller))
        conversation = Conversation(
            self._spoken.name,
            era,
            self._limits,
            self._decide,
            self._countersign,
            self._answered,
            belongs=belongs,
            shared=self._spoken.shared,
            on_end=partial(self._ended, key, caller),
            given=self._sessions.handles.of,
        )
        try:
            conversation.start(await self._connect(caller, conversation))
        except ServerError as error:
            self._failed(caller, 0, error)
            raise
        return conversation

    async def _own(
        self, conversation: Conversation, caller: Caller, message: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        """The response to a request of the gateway's own."""
        async with self._countersign(caller, own_call(self._spoken.name, conversation.era, message)) as permit:
            asked = await conversation.ask(permit, seconds=seconds)
            return _read_object(await asked.response())

    def _ended(
        self, key: tuple[str, bytes], caller: Caller, conversation: Conversation, why: ServerError | None
    ) -> None:
        self._pool.drop(key, conversation)
        if conversation.established and why is not None:
            self._failed(caller, conversation.lived, why)

    def _answered(self, answer: Answer) -> None:
        self._learned.take(answer)
        if self._back_off is not None and answer.call.method not in ("initialize", "server/discover"):
            self._back_off.worked()

    def _failed(self, caller: Caller, lived: float, why: ServerError) -> None:
        if self._back_off is not None:
            self._back_off.failed(self._owner(caller), lived, why.detail or why.message)


def _dropped(what: str, headers: Headers = ()) -> Reply:
    return Reply(202, headers, b"", note=f"dropped: {what}")


def _session_header(call: Call) -> Headers:
    return () if call.session is None else ((b"mcp-session-id", call.session.sealed.encode()),)
