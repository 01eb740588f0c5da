"""Records of calls that LiteLLM carries: open from our signature until LiteLLM says how the call ended, or nobody will.

They are found again by LiteLLM's id of a call. Clients may choose that id, so one that is in use already finds nothing: such a
call's end is unknown from the start, and the call before it keeps its own.
"""

from __future__ import annotations

import asyncio
from typing import Final

from counterseal.core.record import Outcome
from counterseal.gateway.recorder import OpenRecord

UNTOLD: Final = "LiteLLM did not say how it ended"


class OpenRecords:
    """For one event loop. seconds: after them nobody is waited for any more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[str, tuple[OpenRecord, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def keep(self, id: str | None, record: OpenRecord) -> None:
        """A record whose intent is written. id: LiteLLM's; None where it has none."""
        if id is None or id in self._open:
            record.ended("unknown", detail=UNTOLD)
            return
        timer = asyncio.get_running_loop().call_later(self._seconds, self.ended, id, "unknown", None, UNTOLD)
        self._open[id] = (record, timer)

    def ended(self, id: object, how: Outcome, status: int | None = None, detail: str | None = None) -> None:
        """How a call ended. One that is not open, or has ended before, is left alone."""
        if not isinstance(id, str) or id not in self._open:
            return
        record, timer = self._open.pop(id)
        timer.cancel()
        record.ended(how, status=status, detail=detail)

    def close(self) -> None:
        """Nobody says anything any more."""
        for id in tuple(self._open):
            self.ended(id, "unknown", None, UNTOLD)
