"""Each call token is good for one call: the memory of the `jti` that were used."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from typing import Protocol

from counterseal.clock import Clock
from counterseal.verify.errors import CannotVerify


class SingleUse(Protocol):
    """A place that remembers tokens until they are over. Several processes that serve one audience share one."""

    def claim(self, jti: str, expires: float) -> bool | Future[bool]:
        """True for the first claim of a `jti`, False for every later one; of two at once, one wins.

        expires: seconds since the epoch from which the token is refused anyway, so that it may be forgotten.
        It is called on the event loop: a store that has to wait answers at once with a Future, and waits in a thread of its
        own. Whatever it raises means that nobody can tell: 503, and never a pass.
        """
        ...


class MemorySingleUse:
    """For one process. Bounded: full of tokens that still live, it refuses rather than forgets one."""

    def __init__(self, clock: Clock, capacity: int = 200_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._by_end: dict[int, list[str]] = {}
        self._forgotten = 0
        """Tokens that end up to here were forgotten. A clock that steps back must not revive them (J-16)."""

    def claim(self, jti: str, expires: float) -> bool:
        end = math.ceil(expires)
        now = self._clock.wall()
        with self._lock:
            if jti in self._seen or end <= self._forgotten:
                return False
            if end not in self._by_end:
                self._forget(now)
            if len(self._seen) >= self._capacity:
                self._forget(now)
                if len(self._seen) >= self._capacity:
                    raise CannotVerify(f"the memory for single use is full: {self._capacity} tokens are still alive")
            self._seen.add(jti)
            self._by_end.setdefault(end, []).append(jti)
        return True

    def _forget(self, now: float) -> None:
        for end in [end for end in self._by_end if end <= now]:
            self._seen.difference_update(self._by_end.pop(end))
            self._forgotten = max(self._forgotten, end)
