"""One call in a conversation: what the server says about it is kept until its caller takes it.

A call whose first message is its response is answered whole; any other becomes an event stream. The ceilings are those of
streamable HTTP: for silence, for the whole, for bytes and for events. Nobody else waits for a caller who reads slowly, so what a
stream holds for one has a ceiling, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from counterseal.core.call import Era
from counterseal.core.limits import Limits
from counterseal.core.reply import Headers, Reply
from counterseal.errors import ServerError
from counterseal.servers.link import invalid, timed_out, too_large, unreachable
from counterseal.wire import duplex
from counterseal.wire.answer import Answer, NotAnAnswer
from counterseal.wire.eventstream import KEEP_ALIVE, Event

JSON: Final = ((b"content-type", b"application/json"),)
EVENTS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_QUIET_SECONDS: Final = 15.0
"""A stream without a word for so long gets a comment, so that nothing on the way closes it."""

Finish = Callable[[bytes], bytes]


class Asked:
    """seconds: how long it may last. idle_seconds: how long nothing may be heard; None for the usual limit. listens: a stream
    that may be quiet. finish: what is still to be done to the response. leave: called once, when the caller goes before the end.
    """

    def __init__(
        self,
        answer: Answer,
        our_id: str,
        limits: Limits,
        *,
        seconds: float,
        idle_seconds: float | None = None,
        listens: bool = False,
        finish: Finish | None = None,
        leave: Callable[[Asked], None] = lambda _: None,
    ) -> None:
        self.answer = answer
        self.our_id = our_id
        self.listens = listens
        self._limits = limits
        self._finish = finish
        self._leave: Callable[[Asked], None] | None = leave
        self._token = None if answer.call.message is None else duplex.progress_token(answer.call.message)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._until = self._heard + seconds
        self._idle = limits.server_idle_seconds if idle_seconds is None else idle_seconds
        self._held: deque[bytes] = deque()
        self._unread = self._bytes = self._events = 0
        self._wake: asyncio.Future[None] | None = None
        self._error: ServerError | None = None
        self._over = False
        self.expired = False
        """It took too long."""

    @property
    def over(self) -> bool:
        """Nothing more is taken."""
        return self._over or self._error is not None

    # ---- what the conversation does ----

    def take(self, text: bytes, heard: duplex.Heard) -> None:
        """One message about this call."""
        if self.over:
            return
        self._heard = self._loop.time()
        self._bytes += len(text)
        self._events += 1
        if not self.listens and self._bytes > self._limits.server_answer_bytes:
            self.fail(too_large(f"more than {self._limits.server_answer_bytes} bytes"))
        elif not self.listens and self._events > self._limits.server_events:
            self.fail(too_large(f"more than {self._limits.server_events} events"))
        elif self.listens and self._unread + len(text) > self._limits.server_unread_bytes:
            self.fail(too_large(f"more than {self._limits.server_unread_bytes} bytes that its caller has not read"))
        else:
            self._keep(text, heard)

    def _keep(self, text: bytes, heard: duplex.Heard) -> None:
        if heard.method == "notifications/progress" and self._token is None:
            return  # which nobody asked for
        try:
            if heard.method == "notifications/progress":
                text = duplex.renamed(text, token=self._token)
            if self.answer.call.method == "initialize":
                text = duplex.negotiated(text)
            elif self.answer.call.method == "subscriptions/listen":
                # Every message of it carries the id of its request, which is the caller's on that side.
                text = duplex.renamed(text, subscription=self.answer.call.id)
            message = self.answer.message(text)
            if self.answer.ended and self._finish is not None:
                message = self._finish(message)
        except NotAnAnswer as error:
            self.fail(invalid(str(error)))
            return
        self._held.append(message)
        self._unread += len(message)
        if self.answer.ended:
            self._over = True
        self._notify()

    def fail(self, error: ServerError) -> None:
        if not self.over:
            self._error = error
            self._notify()

    def close(self) -> None:
        """It ends here without a response: its caller cancelled it, or the server ended what it listened to."""
        self._over = True
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # ---- what the caller's side does ----

    def leave(self) -> None:
        """The caller has all that it wants."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            self._held.clear()
            leave(self)

    async def next(self, patience: float | None = None) -> bytes | None:
        """The next message; None at the end, and b"" when patience, in seconds, is over. Raises ServerError."""
        give_up = None if patience is None else self._loop.time() + patience
        while not self._held:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            due = self._until if self.listens else min(self._until, self._heard + self._idle)
            now = self._loop.time()
            if now >= due:
                if self.listens:
                    return None  # how a stream ends that nobody ended: the caller opens another
                self.expired = True
                raise timed_out("no end in time" if now >= self._until else "no message in time")
            if give_up is not None and now >= give_up:
                return b""
            self._wake = self._loop.create_future()
            try:
                async with asyncio.timeout_at(due if give_up is None else min(due, give_up)):
                    await self._wake
            except TimeoutError:
                pass
        message = self._held.popleft()
        self._unread -= len(message)
        return message

    async def response(self) -> bytes:
        """The response alone. Raises ServerError."""
        try:
            message = await self.next()
            while message is not None and (self._held or not self.answer.ended):
                message = await self.next()
        finally:
            self.leave()
        if message is None:
            raise unreachable("it ended without a response")
        return message

    async def reply(self, headers: Headers = ()) -> Reply:
        """The answer to the caller. Raises ServerError."""
        try:
            first = await self.next()
        except BaseException:
            self.leave()
            raise
        if first is None or self._held or not self.answer.ended:
            return Reply(200, (*EVENTS, *headers), Events(self, first))
        self.leave()
        status = duplex.status_of(first) if self.answer.is_error and self.answer.call.era is Era.MODERN else 200
        return Reply(status, (*JSON, *headers), first, is_error=self.answer.is_error)


class Events:
    """The messages about one call, as server-sent events. first: what was taken already."""

    def __init__(self, asked: Asked, first: bytes | None = None) -> None:
        self._asked = asked
        self._first = first

    @property
    def is_error(self) -> bool | None:
        return self._asked.answer.is_error if self._asked.answer.ended else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._first is not None:
                yield Event(self._first).write()
            while (message := await self._asked.next(_QUIET_SECONDS)) is not None:
                yield Event(message).write() if message else KEEP_ALIVE
        finally:
            self._asked.leave()

    async def aclose(self) -> None:
        self._asked.leave()
