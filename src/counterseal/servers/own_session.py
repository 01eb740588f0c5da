"""A session that the gateway opens at a legacy streamable HTTP server for a caller of revision 2026-07-28.

It is that caller's alone (M-09), never lasts past the credential that opened it, and ends with `DELETE`. The gateway
is its client and has no capabilities, so the server has nothing to ask: its `ping` is answered, any other request of it refused
with the reason. What is about a call reaches the caller on the stream of that call; nothing else does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from counterseal.core.call import Call, Era, Session, Shape
from counterseal.core.caller import Caller
from counterseal.core.methods import END_SESSION, LEGACY, REPLY, STREAM
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.errors import CallError
from counterseal.servers.conversation import own_call
from counterseal.servers.crossing import Refusal, Told
from counterseal.servers.http import Response
from counterseal.servers.link import Countersign, invalid, refused, unreachable
from counterseal.servers.session import visible
from counterseal.servers.streamable_http import StreamableHttp
from counterseal.wire import bridge, duplex

_log = logging.getLogger("counterseal.servers")

_END_SECONDS: Final = 2.0
"""How long the server may take over a `DELETE`."""
_TASKS: Final = 64
"""Messages of the gateway's own that are on their way at a time; more than these are not sent."""
_UNASKED: Final = "the client of this session is a gateway, which declared no capabilities: nobody could answer this"

_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class OwnSession:
    """handshake: the result of `initialize`. session: None where the server has no sessions. still: whether the credential that
    opened it counts."""

    def __init__(
        self,
        http: StreamableHttp,
        server: str,
        caller: Caller,
        countersign: Countersign,
        handshake: Mapping[str, Any],
        session: Session | None,
        still: Callable[[], bool],
    ) -> None:
        self.handshake = handshake
        self.used = asyncio.get_running_loop().time()
        self.over = False
        self.calls = 0
        self.timer: asyncio.TimerHandle | None = None
        """Ends it in time."""
        self._http = http
        self._server = server
        self._caller = caller
        self._countersign = countersign
        self._session = session
        self._still = still
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def revision(self) -> str:
        return str(self.handshake["protocolVersion"])

    @property
    def counts(self) -> bool:
        """Whether the credential that opened it still does."""
        return self._still()

    @property
    def busy(self) -> bool:
        """Whether a call is under way in it."""
        return self.calls > 0

    @property
    def followed(self) -> bool:
        """Nobody has a stream of it."""
        return False

    async def call(self, permit: Permit) -> Reply | Refusal:
        """A caller's call in it. Raises CallError."""
        return await self._http.exchange(permit, _InSession(self, permit))

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a notification. Raises CallError."""
        async with self._signed(own_call(self._server, Era.LEGACY, message)) as permit:
            outcome = await self._http.exchange(permit)
            if isinstance(outcome, Refusal):
                raise refused(outcome.status)

    async def knows(self) -> bool:
        """Whether the server still knows the session: every revision with sessions has `ping`. Raises CallError."""
        ping = own_call(self._server, Era.LEGACY, {"jsonrpc": "2.0", "method": "ping"})
        async with self._signed(ping) as permit:
            known = isinstance(await self._http.ask(permit), Told)
        if not known:
            self._still = _never  # there is nothing to end
        return known

    def retire(self) -> None:
        """The credential that opened it is about to end. Calls that are under way may take their time, as everywhere; then nobody
        may speak for the caller any more, and the session is left to the server to end."""
        if self.busy:
            self._still = _never

    async def end(self) -> None:
        """End it at the server, if the credential that opened it still counts. Harmless after that."""
        if self.over:
            return
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._session is None or not self._still():
            return
        ends = Call(
            server=self._server,
            era=Era.LEGACY,
            revision=self.revision,
            shape=Shape.END,
            method=END_SESSION,
        )
        try:
            async with asyncio.timeout(_END_SECONDS), self._signed(ends) as permit:
                await self._http.exchange(permit)
        except (CallError, TimeoutError):
            _log.info("server %s: a session of the gateway's was not ended there", self._server)

    async def rest(self, last_event_id: str) -> Response:
        """The rest of a stream in it, as long as the credential that opened it counts. Raises CallError."""
        if not self.counts:
            raise unreachable("its stream ended before the response, and by then the caller's credential had ended")
        follows = Call(
            server=self._server,
            era=Era.LEGACY,
            revision=self.revision,
            shape=Shape.STREAM,
            method=STREAM,
            last_event_id=last_event_id,
        )
        async with self._signed(follows) as permit:
            return await self._http.follow(permit)

    def in_it(self, call: Call) -> Call:
        """The call as one of this session."""
        return replace(call, era=Era.LEGACY, revision=self.revision, session=self._session, param_headers=())

    def begin(self, message: Mapping[str, Any]) -> None:
        """Send a notification or an answer of the gateway's own, beside everything else."""
        if self.over or len(self._tasks) >= _TASKS:
            return

        async def run() -> None:
            try:
                async with self._signed(_own(self._server, message)) as permit:
                    await self._http.exchange(permit)
            except CallError as error:
                _log.info("server %s: not told: %s", self._server, error.message)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _signed(self, call: Call) -> AbstractAsyncContextManager[Permit]:
        return self._countersign(self._caller, self.in_it(call))


class _InSession:
    """One call on its way through a session. The server knows it by an id and a progress token of ours."""

    def __init__(self, session: OwnSession, permit: Permit) -> None:
        call = permit.call
        self._session = session
        self._method = call.method
        self._our_id = str(permit.claims["jti"])
        message = call.message or {}
        self._token = duplex.progress_token(message)
        self.call = replace(session.in_it(call), message=duplex.request(bridge.to_legacy(message), self._our_id))
        self._ended = False
        session.calls += 1

    @property
    def over(self) -> bool:
        return False  # a caller of revision 2026-07-28 cancels by leaving

    def heard(self, text: bytes) -> bytes | None:
        heard = duplex.read(text)
        if heard.kind is duplex.Kind.RESPONSE:
            return text
        if heard.kind is duplex.Kind.REQUEST:
            self._requested(heard)
        elif heard.method == "notifications/progress" and self._token is not None:
            return duplex.renamed(text, token=self._token)
        return None

    async def resume(self, last_event_id: str) -> Response:
        return await self._session.rest(last_event_id)

    def finish(self, message: bytes) -> bytes:
        return bridge.to_modern(message, self._method)

    def status(self, message: bytes) -> int:
        return duplex.status_of(message)

    def end(self, *, answered: bool) -> None:
        if self._ended:
            return
        self._ended = True
        self._session.calls -= 1
        self._session.used = asyncio.get_running_loop().time()
        if not answered:
            self._session.begin(duplex.notification("notifications/cancelled", {"requestId": self._our_id}))

    def _requested(self, heard: duplex.Heard) -> None:
        if heard.id is None:
            raise invalid("a request without an id")
        if heard.method == "ping":
            self._session.begin({"jsonrpc": "2.0", "id": heard.id, "result": {}})
            return
        _log.warning("server %s: its request %.80r was refused: %s", self.call.server, heard.method, _UNASKED)
        self._session.begin(duplex.refusal(heard.id, _UNASKED))


def _never() -> bool:
    return False


def _own(server: str, message: Mapping[str, Any]) -> Call:
    if "method" in message:
        return own_call(server, Era.LEGACY, message)
    return Call(server=server, era=Era.LEGACY, revision="", shape=Shape.REPLY, method=REPLY, message=message)


async def open_session(
    http: StreamableHttp,
    server: str,
    caller: Caller,
    countersign: Countersign,
    client: tuple[str, str],
    still: Callable[[], bool],
) -> OwnSession | Refusal:
    """A session for this caller; what the server answered where it refuses `initialize`. Raises CallError."""
    message = bridge.initialize(LEGACY[-1], *client)
    async with countersign(caller, own_call(server, Era.LEGACY, message)) as permit:
        told = await http.ask(permit)
    if isinstance(told, Refusal):
        return told
    answer = _read_object(told.message)
    if "error" in answer:
        raise invalid("the server refuses `initialize`")
    handshake = answer["result"]
    revision = handshake["protocolVersion"]
    session = None if told.session_id is None else Session(visible(told.session_id), revision, "")
    opened = OwnSession(http, server, caller, countersign, handshake, session, still)
    await opened.tell(duplex.notification("notifications/initialized"))
    return opened
