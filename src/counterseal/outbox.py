"""What is to be written during one turn of the event loop, written in a row at the beginning of the next.

A write wakes whoever reads at the other end, and needs the kernel's code in the caches. Between two writes with a call's work
before each of them the reader falls asleep again, and the caches are full of other things; in a row, both are paid for once. It
costs a call one turn of the loop, which has nothing else to do where there is no load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """For one event loop. What is put in is called once, in the order in which it came, and decides itself whether its connection
    is still there."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def put(self, loop: asyncio.AbstractEventLoop, write: Callable[[], object]) -> None:
        """Have this called at the next turn of the loop."""
        if not self._waiting:
            loop.call_soon(self._write, loop)
        self._waiting.append(write)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            if self._waiting:  # one has failed, and the loop's own handler tells of it
                loop.call_soon(self._write, loop)
