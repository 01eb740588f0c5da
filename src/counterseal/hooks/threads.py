"""A few daemon threads for functions that may block.

Those of the standard library are waited for when the process ends, so one function that hangs would keep it from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_WAITING: Final = 256
"""Functions that run or wait. When the threads hang, whatever would come after these is turned away at once."""


class Busy(Exception):
    """Too many functions wait for a thread."""


class Threads(Generic[T]):
    """most: threads that run at the same time; they are started as they are needed. For one event loop."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._started = 0
        self._unfinished = 0
        self._waiting: queue.SimpleQueue[tuple[Callable[[], T], asyncio.Future[T]]] = queue.SimpleQueue()

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """What the function will return; it must not raise. Cancelling it ends nothing that has begun. Raises Busy."""
        if self._unfinished >= _WAITING:
            raise Busy
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put((function, future))
        self._unfinished += 1
        if self._started < min(self._most, self._unfinished):
            self._started += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            function, future = self._waiting.get()
            value = None if future.cancelled() else function()
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                future.get_loop().call_soon_threadsafe(self._finish, future, value)

    def _finish(self, future: asyncio.Future[Any], value: Any) -> None:
        self._unfinished -= 1
        if not future.done():
            future.set_result(value)
