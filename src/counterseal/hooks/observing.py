"""Observers: told of each call after its end, from a queue, so that the slowest of them delays no answer.

Each has a queue of its own. When it is full, what comes is dropped, counted, and told to the log once. What an observer raises
goes to the log, the first time in a row, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from counterseal.hooks.contained import Contained, HookFailed
from counterseal.hooks.scope import Scope
from counterseal.hooks.view import Event

_log = logging.getLogger("counterseal.hooks")

Observe = Callable[[Event], None]


class Observing:
    """One observer. label: for the log. most: events that wait. Call `start` in the event loop that events come from."""

    def __init__(self, label: str, scope: Scope, tell: Contained[Event, None], most: int) -> None:
        self._label = label
        self._scope = scope
        self._tell = tell
        self._waiting: Final[asyncio.Queue[Event]] = asyncio.Queue(most)
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.dropped = 0

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def post(self, event: Event) -> None:
        """Queue an event, if it is one of the observer's. Does not raise."""
        if not self._scope.covers(event.server, event.method or "", event.name):
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("%s is too slow: events are dropped", self._label)

    async def close(self, seconds: float) -> None:
        """Tell what waits, for so long at most, and end."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        lost = self.dropped + self._waiting.qsize()
        if lost:
            _log.warning("%s was not told of %d calls", self._label, lost)

    async def _run(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._tell(event)
                self._failing = False
            except HookFailed as error:
                if not self._failing:
                    _log.error("%s failed: %s", self._label, error)
                self._failing = True
            finally:
                self._waiting.task_done()


class Observers:
    """All of them, as one."""

    def __init__(self, observers: Sequence[Observing]) -> None:
        self._observers: Final = tuple(observers)

    def __call__(self, event: Event) -> None:
        for one in self._observers:
            one.post(event)
