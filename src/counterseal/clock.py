"""The only file that reads the time. Everything else is handed a `Clock`, so tests can hold time still."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the gateway may know about time."""

    def wall(self) -> float:
        """Seconds since the Unix epoch, for claims and records (RFC 7519 NumericDate)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step backward, for the life of cached things."""
        ...


class SystemClock:
    """The machine's clock."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
