"""When a server that fails may be tried again: at once, then after 1, 2, 4 seconds and so on, up to a ceiling, for each who
started it.

Until then a call is refused at once and told when to come back, so that nobody waits for a program that only ever ends, and none
is started over and over.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from counterseal.errors import ServerError

_FIRST: Final = 1.0
_STEADY: Final = 60.0
"""Who has lived so long did not fail at its start: the count begins anew."""
_KEPT: Final = 1000
_MANY: Final = 3
"""So many failures in a row are worth telling."""


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    until: float


class BackOff:
    """most: seconds of the longest wait. now: a clock that never steps backward."""

    def __init__(self, most: float, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._failed: OrderedDict[bytes, _Failed] = OrderedDict()
        self._in_a_row = 0
        self._why = ""

    def check(self, owner: bytes) -> None:
        """Raises ServerError with Retry-After where it is too early for this owner."""
        failed = self._failed.get(owner)
        left = 0.0 if failed is None else failed.until - self._now()
        if left > 0:
            seconds = math.ceil(left)
            raise ServerError(
                "server_unreachable",
                f"the server has failed and is started again in {seconds} s at the earliest",
                detail=self._why,
                headers=((b"retry-after", str(seconds).encode()),),
            )

    def failed(self, owner: bytes, lived: float, why: str) -> None:
        """lived: for how many seconds it worked before."""
        before = self._failed.pop(owner, None)
        times = 1 if before is None or lived >= _STEADY else before.times + 1
        wait = 0.0 if times == 1 else min(self._most, _FIRST * 2 ** min(times - 2, 30))
        self._failed[owner] = _Failed(times, self._now() + wait)
        if len(self._failed) > _KEPT:
            self._failed.popitem(last=False)
        self._in_a_row = 1 if lived >= _STEADY else self._in_a_row + 1
        self._why = why

    def worked(self) -> None:
        """A call was answered."""
        self._in_a_row = 0

    def healthy(self) -> str | None:
        """What is wrong where it keeps failing; None as long as it does not."""
        if self._in_a_row < _MANY:
            return None
        return f"it failed {self._in_a_row} times in a row: {self._why}"
