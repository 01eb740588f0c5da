"""Event streams at the address of all servers: one server's as its caller gets it, and several as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from counterseal.core.limits import Limits
from counterseal.core.reply import Headers, Reply, Stream
from counterseal.errors import ServerError
from counterseal.wire.aggregate.names import joined
from counterseal.wire.aggregate.shown import Shown
from counterseal.wire.eventstream import KEEP_ALIVE, Event, EventTooLarge, Reader

EVENTS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_QUIET_SECONDS: Final = 15.0
"""A stream without a word for so long gets a comment, so that nothing on the way closes it."""
_WAITING: Final = 1
"""Pieces that are kept for a caller who reads slowly, besides the one that each server waits with."""
_SESSION: Final = b"mcp-session-id"


def shown_reply(
    reply: Reply, server: str, shown: Shown, limits: Limits, headers: Headers, over: Callable[[], object] | None = None
) -> Reply:
    """A server's reply as the caller gets it. headers: of our own, among them the session's. over: called at its end."""
    kept = (*(header for header in reply.headers if header[0] != _SESSION), *headers)
    body = reply.body
    if isinstance(body, bytes):
        if over is not None:
            over()
        return Reply(reply.status, kept, shown.whole(body) if body else body, reply.is_error, reply.note)
    return Reply(reply.status, kept, ShownStream(body, server, shown, limits, over), reply.is_error, reply.note)


class ShownStream:
    """One server's events as the caller gets them. over: called once, at the end."""

    def __init__(
        self, body: Stream, server: str, shown: Shown, limits: Limits, over: Callable[[], object] | None
    ) -> None:
        self._body = body
        self._server = server
        self._shown = shown
        self._reader = Reader(limits.server_event_bytes)
        self._over = over

    @property
    def is_error(self) -> bool | None:
        return self._body.is_error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._body:
                if out := self._take(chunk):
                    yield out
        finally:
            self._end()

    async def aclose(self) -> None:
        self._end()
        await self._body.aclose()

    def _end(self) -> None:
        if self._over is not None:
            over, self._over = self._over, None
            over()

    def _take(self, chunk: bytes) -> bytes:
        comments = self._reader.comments
        try:
            events = self._reader.feed(chunk)
        except EventTooLarge as error:
            raise ServerError(
                "server_answer_too_large", "the server's answer is too large", detail=str(error)
            ) from None
        out = b"".join(self._event(event) for event in events)
        return out or (KEEP_ALIVE if self._reader.comments > comments else b"")

    def _event(self, event: Event) -> bytes:
        data = event.data
        if data:
            data = self._shown.message(data)
            if data is None:
                return b""
        return shown_event(self._server, event, data)


def shown_event(server: str, event: Event, data: bytes | None) -> bytes:
    """An event whose id tells which server a stream goes on with."""
    identity = None if event.id is None else joined(server, event.id.decode("latin-1")).encode("latin-1")
    return Event(data, event.event, identity, event.retry).write()


class Gathered:
    """Several sources as one stream. until: its end, on the loop's clock. last: the last piece, at an end that nobody forced."""

    is_error = None

    def __init__(self, last: bytes, until: float, over: Callable[[], object] = lambda: None) -> None:
        self._last = last
        self._until = until
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = over
        self._closed = False
        self._first = b""
        self.lasting = False
        """Whether it stays when it has no source."""

    @property
    def closed(self) -> bool:
        return self._closed

    def first(self, piece: bytes) -> None:
        """What comes before everything else."""
        self._first = piece

    def add(self, source: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """One more source: it puts its pieces with `put`, and what it raises is its own affair. What is returned ends it."""
        if self._closed:
            source.close()
            return lambda: None
        task = asyncio.ensure_future(source)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task.cancel

    async def put(self, piece: bytes) -> None:
        """A piece of a source."""
        await self._queue.put(piece)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
        if not self._tasks and not self.lasting and not self._closed:
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            if self._first:
                yield self._first
            while not self._closed and (left := self._until - loop.time()) > 0:
                if not self._tasks and not self.lasting and self._queue.empty():
                    break
                try:
                    async with asyncio.timeout(min(left, _QUIET_SECONDS)):
                        piece = await self._queue.get()
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if piece is not None:
                    yield piece
            if self._last and not self._closed:
                yield self._last
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)  # whoever waits for a piece
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._over()
        await asyncio.gather(*tasks, return_exceptions=True)
