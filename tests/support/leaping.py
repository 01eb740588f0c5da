"""The time of the running event loop, and as much later as a test says.

What ends by a time limit need not be waited for, and what comes before the end has all the time that a slow machine needs. Every
timer of the loop goes by it: `asyncio.timeout`, `call_later` and those of our own HTTP client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LeapingTime:
    """Make it in a coroutine, for its loop."""

    def __init__(self) -> None:
        self._later = 0.0
        loop = asyncio.get_running_loop()
        usual = loop.time
        loop.time = lambda: usual() + self._later  # type: ignore[method-assign]

    def leap(self, seconds: float) -> None:
        """Let so much time pass, now."""
        self._later += seconds

    async def leap_when(self, true: Callable[[], object], seconds: float) -> None:
        """Let it pass once something is so. Whoever hangs there is ended by the limit of the test."""
        while not true():
            await asyncio.sleep(0.001)
        self.leap(seconds)
