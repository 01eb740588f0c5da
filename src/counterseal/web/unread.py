"""What is no HTTP, in the log: it leaves no record, and anybody can send it as fast as he likes, so that it must fill no disk.

So many lines in so long, and then one line with how many more there were.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

_log = logging.getLogger("counterseal.web")

_LINES: Final = 5
_WINDOW: Final = 60.0
"""Seconds, from the first of the lines on."""


class Unread:
    """For one event loop."""

    def __init__(self) -> None:
        self._told = 0
        self._more = 0
        self._window: asyncio.TimerHandle | None = None

    def note(self, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        """peer: the address that it came from, as the socket says it."""
        if self._window is None:
            self._window = loop.call_later(_WINDOW, self.close)
        if self._told < _LINES:
            self._told += 1
            _log.warning("%s sent what is no HTTP request that is taken here, and its connection ends", peer)
        else:
            self._more += 1

    def close(self) -> None:
        """Tell of what was not told of."""
        if self._more:
            _log.warning("%d more connections ended since for what is no HTTP request that is taken here", self._more)
        if self._window is not None:
            self._window.cancel()
        self._told, self._more, self._window = 0, 0, None
