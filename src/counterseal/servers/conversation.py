"""One conversation with a server over a duplex: many calls at once, each under an id of ours, and what comes back told apart.

A message reaches the caller whose call it is about, and nobody else (M-07, M-08). What is about no call goes to the
one caller that a conversation belongs to, if it belongs to one, else to nobody. A request of the server goes the same way; where
there is no way it is refused at once with the reason, so that the server does not wait for an answer that cannot come.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import LEGACY, METHODS, MODERN
from counterseal.core.permit import Permit
from counterseal.errors import CallError, ServerError
from counterseal.servers.asked import Asked, Finish
from counterseal.servers.link import Countersign, Link, fresh, invalid, too_large, unreachable
from counterseal.servers.streamable_http import Decide
from counterseal.wire import duplex
from counterseal.wire.answer import Answer, NotAnAnswer
from counterseal.wire.rounds import Given

_log = logging.getLogger("counterseal.servers")

_REPLIES: Final = 16
"""Answers of ours to requests of the server that are on their way at a time; more requests than these are dropped."""
_QUESTIONS: Final = 1000
"""Requests of the server that a caller has not answered yet; the oldest is forgotten."""
_STRAY: Final = 100
"""Lines that are no message at all, which a conversation survives."""
_UNCANCELLED: Final = frozenset({"initialize", "server/discover"})
"""What must not be cancelled."""
_SHARED: Final = "this server is shared by several callers, so a request of its own has nobody to go to"
_UNASKED: Final = "the caller has no stream open on which this request could travel"
_MODERN: Final = "revision 2026-07-28 has no requests of servers"


class Conversation:
    """belongs: whether everything that is about no call is for one caller, who is there to hear it: his own legacy session.
    shared: whether several callers have their calls in it. on_end: told once when it is over, and why; None where it was ended
    on purpose. given: what the caller of a permit gets in place of what the server gave it to come back with."""

    def __init__(
        self,
        server: str,
        era: Era,
        limits: Limits,
        decide: Decide,
        countersign: Countersign,
        learn: Callable[[Answer], None],
        *,
        belongs: bool = False,
        shared: bool = False,
        on_end: Callable[[Conversation, ServerError | None], None] = lambda *_: None,
        given: Callable[[Permit], Given] | None = None,
    ) -> None:
        self._given = given
        self.era = era
        self.handshake: Mapping[str, Any] = {}
        """The result of `initialize`, where the gateway itself has sent it."""
        self._server = server
        self._limits = limits
        self._decide = decide
        self._countersign = countersign
        self._learn = learn
        self._belongs = belongs
        self._shared = shared
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._asked: dict[str, Asked] = {}
        self._by_caller: dict[tuple[str, str | int], Asked] = {}
        self._stream: Asked | None = None
        self._questions: OrderedDict[str | int, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stray = 0
        self._replies = 0
        self._over = False
        self._why: ServerError | None = None
        self.established = False
        """The server has answered in it."""
        self._began = self.used = self._loop.time()

    def start(self, link: Link) -> None:
        """The link is there."""
        self._link = link

    @property
    def over(self) -> bool:
        return self._over

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._asked)

    @property
    def lived(self) -> float:
        """For how many seconds."""
        return self._loop.time() - self._began

    @property
    def followed(self) -> bool:
        """Whether its caller has a stream open."""
        return self._stream is not None

    # ---- to the server ----

    async def ask(
        self,
        permit: Permit,
        message: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
        listens: bool = False,
        finish: Finish | None = None,
    ) -> Asked:
        """Send a request. message: what goes out in place of the call's own. seconds: how long it may take, silent or not; None
        for the usual limits. Raises ServerError."""
        call = permit.call
        our_id = str(permit.claims["jti"])
        asked = Asked(
            self._answer(permit, our_id),
            our_id,
            self._limits,
            seconds=self._limits.server_total_seconds if seconds is None else seconds,
            idle_seconds=seconds,
            listens=listens,
            finish=finish,
            leave=self._left(permit.caller),
        )
        self._asked[our_id] = asked
        if call.session is not None and call.id is not None:
            self._by_caller[call.session.sealed, call.id] = asked
        try:
            await self._write(permit, duplex.request(message or call.message or {}, our_id))
        except BaseException:
            asked.leave()
            raise
        return asked

    async def tell(self, permit: Permit, message: Mapping[str, Any] | None = None) -> None:
        """Send a notification, or a caller's answer to a question of the server. Raises ServerError."""
        await self._write(permit, message or permit.call.message or {})

    def cancelled(self, permit: Permit) -> Mapping[str, Any] | None:
        """A caller's `notifications/cancelled` as the server gets it; None where it names no call of that caller's.

        Its call ends here: a server that was told so need not answer any more.
        """
        message = dict(permit.call.message or {})
        params = dict(message.get("params", {}))
        session, identity = permit.call.session, params.get("requestId")
        if not isinstance(identity, str | int):
            return None
        asked = None if session is None else self._by_caller.get((session.sealed, identity))
        if asked is None:
            return None
        asked.close()
        self._forget(asked)
        return {**message, "params": {**params, "requestId": asked.our_id}}

    def answers(self, permit: Permit) -> bool:
        """Whether a caller's reply answers a question that the server asked in this conversation and nobody answered yet."""
        identity = (permit.call.message or {}).get("id")
        known = identity in self._questions
        self._questions.pop(identity, None)  # type: ignore[arg-type]
        return known

    def follow(self, permit: Permit, seconds: float) -> Asked:
        """The stream of what is about no call. A caller who opens another has lost this one."""
        if self._stream is not None:
            self._stream.close()
        answer = self._answer(permit, None)
        self._stream = Asked(answer, "", self._limits, seconds=seconds, listens=True, leave=self._unfollow)
        return self._stream

    def _unfollow(self, stream: Asked) -> None:
        if self._stream is stream:
            self._stream = None
            self.used = self._loop.time()

    async def end(self) -> None:
        """End it, and what it runs on."""
        self._close(None)
        for task in self._tasks:
            task.cancel()
        if self._link is not None:
            await self._link.end()

    async def _write(self, permit: Permit, message: Mapping[str, Any]) -> None:
        self.used = self._loop.time()
        if self._over or self._link is None:
            raise self._ended()
        await self._link.write(permit, message)

    def _answer(self, permit: Permit, our_id: str | None) -> Answer:
        visible = partial(self._decide, permit.caller, permit.call)
        return Answer(permit.call, our_id, visible, None if self._given is None else self._given(permit))

    # ---- callers who go ----

    def _left(self, caller: Caller) -> Callable[[Asked], None]:
        def leave(asked: Asked) -> None:
            if asked.over or self._over:
                self._forget(asked)
            elif asked.answer.call.era is Era.MODERN or asked.listens or asked.expired:
                self._forget(asked)
                if asked.answer.call.method not in _UNCANCELLED:
                    self._begin(partial(self._cancel, caller, asked))
            else:
                # A legacy caller who hangs up has not cancelled: it may still do so, and no more is kept than who asked.
                asked.close()
                self._loop.call_later(self._limits.server_total_seconds, self._forget, asked)

        return leave

    def _forget(self, asked: Asked) -> None:
        self.used = self._loop.time()
        self._asked.pop(asked.our_id, None)
        call = asked.answer.call
        key = ("" if call.session is None else call.session.sealed, "" if call.id is None else call.id)
        if self._by_caller.get(key) is asked:
            del self._by_caller[key]

    async def _cancel(self, caller: Caller, asked: Asked) -> None:
        """Tell the server that nobody waits any more."""
        message = duplex.notification("notifications/cancelled", {"requestId": asked.our_id})
        async with self._countersign(caller, own_call(self._server, self.era, message)) as permit:
            await self._write(permit, message)

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await work()
            except CallError as error:
                _log.info("server %s: not told: %s", self._server, error.message)

        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- from the server ----

    def received(self, text: bytes) -> None:
        """One message."""
        if self._over:
            return
        try:
            heard = duplex.read(text)
        except NotAnAnswer:
            self._no_message(text)
            return
        if heard.kind is duplex.Kind.RESPONSE:
            self._responded(text, heard)
        elif heard.kind is duplex.Kind.NOTIFICATION:
            self._notified(text, heard)
        else:
            self._requested(text, heard)

    def _no_message(self, text: bytes) -> None:
        """A program that prints a line where only messages belong is told of in the log; one that writes broken messages cannot
        be told apart any more."""
        self._stray += 1
        if text[:1] == b"{" or self._stray > _STRAY:
            self.broken(invalid("not a JSON-RPC message"))
        else:
            _log.warning("server %s: a line that is no message was dropped", self._server)

    def _responded(self, text: bytes, heard: duplex.Heard) -> None:
        asked = self._asked.get(heard.id) if isinstance(heard.id, str) else None
        # A server may not know the id of what it could not read. Where callers share a conversation, that may be the message of
        # one who has left, so it is for nobody.
        if asked is None and heard.id is None and len(self._asked) == 1 and not (self._shared and self.established):
            (asked,) = self._asked.values()
        if asked is None:
            _log.info("server %s: a response to no call was dropped", self._server)
            return
        asked.take(text, heard)
        self._settle(asked)

    def _settle(self, asked: Asked) -> None:
        if not asked.over:
            return
        if asked.answer.ended:
            self._learn(asked.answer)
        self._forget(asked)

    def _notified(self, text: bytes, heard: duplex.Heard) -> None:
        asked = None
        if heard.method == "notifications/progress":
            asked = self._named(duplex.member(heard.params, "progressToken"))
        elif heard.method == "notifications/cancelled":
            identity = duplex.member(heard.params, "requestId")
            if (listening := self._named(identity)) is not None:
                if listening.listens:
                    listening.close()
                    self._forget(listening)
                return
            self._questions.pop(identity, None)  # type: ignore[arg-type]
            asked = self._listener()
        elif (subscription := duplex.member(heard.params, "_meta", duplex.SUBSCRIPTION)) is not None:
            asked = self._named(subscription)
        else:
            asked = self._listener()
        if asked is not None:
            asked.take(text, heard)
            self._settle(asked)

    def _named(self, identity: duplex.Id) -> Asked | None:
        return self._asked.get(identity) if isinstance(identity, str) else None

    def _listener(self) -> Asked | None:
        """Who hears what is about no call: the caller's stream, else that of the call which waits longest."""
        if not self._belongs:
            return None
        if self._stream is not None:
            return self._stream
        return next((asked for asked in self._asked.values() if not asked.over), None)

    def _requested(self, text: bytes, heard: duplex.Heard) -> None:
        if heard.method == "ping" and self.era is Era.LEGACY:
            self._reply({"jsonrpc": "2.0", "id": heard.id, "result": {}})
            return
        asked = self._listener()
        if asked is None or heard.id is None:
            why = _MODERN if self.era is Era.MODERN else _UNASKED if self._belongs else _SHARED
            _log.warning("server %s: its request %.80r was refused: %s", self._server, heard.method, why)
            self._reply(duplex.refusal(heard.id, why))
            return
        self._questions[heard.id] = None
        if len(self._questions) > _QUESTIONS:
            self._questions.popitem(last=False)
        asked.take(text, heard)
        self._settle(asked)

    def _reply(self, message: Mapping[str, Any]) -> None:
        if self._replies >= _REPLIES:
            return

        async def reply() -> None:
            try:
                if self._link is not None:
                    await self._link.reply(message)
            finally:
                self._replies -= 1

        self._replies += 1
        self._begin(reply)

    def overlong(self, start: bytes) -> None:
        """A message over the ceiling. Its call is found by our id in it, which nobody but the server could have put there."""
        for asked in list(self._asked.values()):
            if asked.our_id.encode() in start:
                asked.fail(too_large(f"a message of more than {self._limits.server_answer_bytes} bytes"))
                self._forget(asked)
                return
        _log.warning("server %s: a message over the ceiling was dropped", self._server)

    def broken(self, error: ServerError) -> None:
        """Nothing more will come."""
        self._close(error)

    def _close(self, error: ServerError | None) -> None:
        if self._over:
            return
        self._over = True
        self._why = error
        for asked in list(self._asked.values()):
            asked.fail(self._ended())
        self._asked.clear()
        self._by_caller.clear()
        if self._stream is not None:
            self._stream.close()
        self._on_end(self, error)

    def _ended(self) -> ServerError:
        if self._why is None:
            return unreachable("the conversation has ended")
        return fresh(self._why)


def own_call(server: str, era: Era, message: Mapping[str, Any]) -> Call:
    """A request or notification that the gateway makes itself."""
    method = str(message["method"])
    return Call(
        server=server,
        era=era,
        revision=MODERN if era is Era.MODERN else LEGACY[-1],
        shape=Shape.NOTIFICATION if METHODS[method].notification else Shape.REQUEST,
        method=method,
        message=message,
    )
