"""The answer to one call over streamable HTTP as a stream of events, held to the ceilings for one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Final

from counterseal.core.call import Era
from counterseal.core.limits import Limits
from counterseal.errors import ServerError
from counterseal.servers.crossing import Crossing
from counterseal.servers.http import Response
from counterseal.servers.link import invalid, timed_out, too_large
from counterseal.wire.answer import Answer, NotAnAnswer
from counterseal.wire.eventstream import KEEP_ALIVE, Event, EventTooLarge, Reader

_LINES_OF_AN_EVENT: Final = 10
"""On the average of all that an answer may have."""
SLICE: Final = 32 * 1024
"""Bytes that are read in one turn of the loop: ten thousand lines, at worst."""
_AGAIN: Final = 100
"""How often a server may close the stream of one call before the response."""
_LONGEST_WAIT_SECONDS: Final = 5.0
"""Before it is asked again, whatever it says."""
_PLAIN: Final = re.compile(rb"[\x21-\x7e]{1,1024}")


class EventBody:
    """The server's events as the caller gets them, each as soon as it is whole."""

    def __init__(
        self,
        answer: Answer,
        response: Response,
        limits: Limits,
        listens: bool,
        learn: Callable[[Answer], None],
        crossing: Crossing | None = None,
    ) -> None:
        self._crossing = crossing
        self.response = b""
        """The response to the call, once it was read."""
        self._answer = answer
        self._response = response
        self._limits = limits
        self._listens = listens
        self._learn = learn
        self._reader = Reader(limits.server_event_bytes)
        self._chunks = response.chunks()
        self._held: list[bytes] = []
        self._events = 0
        self._bytes = 0
        self._resumable = False
        self._last: bytes | None = None
        self._retry_ms = 0
        self._again = 0
        self._until = asyncio.get_running_loop().time() + limits.server_total_seconds

    @property
    def is_error(self) -> bool | None:
        return self._answer.is_error if self._answer.ended else None

    async def read_until_answered(self) -> None:
        """Hold back what arrives until the response to the call is there."""
        while not self._answer.ended:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                raise NotAnAnswer("the stream ended without a response")
            self._held.append(self._take(chunk))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for held in self._held:
                yield held
            goes_on = True
            while goes_on:
                async for chunk in self._chunks:
                    for start in range(0, len(chunk), SLICE):
                        if start:
                            await asyncio.sleep(0)  # what a server sends at once must not hold everybody else up
                        if out := self._take(chunk[start : start + SLICE]):
                            yield out
                goes_on = await self._resume()
            if not (self._answer.ended or self._listens or self._resumable):
                raise NotAnAnswer("the stream ended without a response")
        except ServerError as error:
            if self._crossing is not None and self._crossing.over:
                return
            if not (self._listens and error.reason.code == "server_timeout"):
                raise
            # Its time is up, which is how a stream ends that nobody ended: the caller opens another, and is asked again who
            # it is.
        except NotAnAnswer as error:
            raise invalid(str(error)) from None
        finally:
            self.end()

    async def _resume(self) -> bool:
        """Whether the server goes on with a stream that it closed before the response (revision 2025-11-25), where it is the
        gateway that asks. Raises CallError."""
        if self._crossing is None or self._answer.ended or self._last is None or self._again >= _AGAIN:
            return False
        if not _PLAIN.fullmatch(self._last):
            raise NotAnAnswer("an event id that no header can hold")
        if asyncio.get_running_loop().time() > self._until:
            raise timed_out("no end in time")
        self._again += 1
        await asyncio.sleep(min(self._retry_ms / 1000, _LONGEST_WAIT_SECONDS))
        response = await self._crossing.resume(self._last.decode())
        if response is None:
            return False
        self._response, self._chunks = response, response.chunks()
        self._reader = Reader(self._limits.server_event_bytes)
        return True

    async def aclose(self) -> None:
        self.end()

    def end(self) -> None:
        """End the server's request at once. Harmless after its end."""
        self._response.abort()
        if self._crossing is not None:
            self._crossing.end(answered=self._answer.ended)

    def _take(self, chunk: bytes) -> bytes:
        """What of this chunk goes to the caller."""
        comments = self._reader.comments
        try:
            events = self._reader.feed(chunk)
        except EventTooLarge as error:
            raise too_large(str(error)) from None
        self._events += len(events)
        self._bytes += len(chunk)
        if not self._listens:
            if self._bytes > self._limits.server_answer_bytes:
                raise too_large(f"more than {self._limits.server_answer_bytes} bytes")
            if self._events > self._limits.server_events:
                raise too_large(f"more than {self._limits.server_events} events")
            if self._reader.lines > _LINES_OF_AN_EVENT * self._limits.server_events:
                raise too_large(f"more than {_LINES_OF_AN_EVENT * self._limits.server_events} lines")
        out = b"".join(map(self._event, events))
        return out or (KEEP_ALIVE if self._reader.comments > comments else b"")

    def _event(self, event: Event) -> bytes:
        if event.event not in (None, b"message"):
            return b""  # MCP has no other events; nothing goes on that was not read
        modern = self._answer.call.era is Era.MODERN or self._crossing is not None
        self._resumable |= event.id is not None and not modern
        self._last = event.id if event.id is not None else self._last
        if event.retry is not None:
            self._retry_ms = int(event.retry[:9])
        data = event.data
        if data and self._crossing is not None:
            data = self._crossing.heard(data)
        if data:
            ended = self._answer.ended
            data = self._answer.message(data)
            if self._answer.ended and not ended:
                self._learn(self._answer)
                self.response = data = data if self._crossing is None else self._crossing.finish(data)
        elif modern:
            return b""
        if modern:
            return Event(data, event.event).write()
        return Event(data, event.event, event.id, event.retry).write()
