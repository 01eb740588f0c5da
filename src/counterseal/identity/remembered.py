"""What was verified lately, so that a caller's next call costs a hash, a look-up and three comparisons.

* An entry is found by the SHA-256 of the whole token and the server that was called; no shorter piece of a token, and nothing
  that it says, leads to anybody (J-28).
* It dies when its issuer has other keys than it was verified with (J-29), after a minute on the clock that nobody sets, and at
  the token's `exp` on the clock that somebody does (J-16).
* Only what was accepted is remembered. A refused token is looked at anew each time, and pushes nothing out.
"""

from __future__ import annotations

import hashlib
from typing import Final, Generic, Protocol, TypeVar

from counterseal.clock import Clock
from counterseal.core.limits import Limits

T = TypeVar("T")

Found = tuple[bytes, str]
"""By what an entry is found."""


class Generation(Protocol):
    """An issuer's keys, as far as it matters here whether they are still the same."""

    @property
    def generation(self) -> int:
        """Another number each time that the keys have become others."""
        ...


class Remembered(Generic[T]):
    """At most `verified_kept_count` entries; the oldest makes room."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._life: Final = limits.verified_kept_seconds
        self._most: Final = limits.verified_kept_count
        self._entries: dict[Found, tuple[T, Generation, int, float, float]] = {}

    @staticmethod
    def found(token: bytes, server: str) -> Found:
        """What an entry for this token at this server is found by."""
        return hashlib.sha256(token).digest(), server

    def get(self, found: Found) -> T | None:
        """What was kept, while it may be believed without another look."""
        entry = self._entries.get(found)
        if entry is None:
            return None
        value, keys, generation, until, exp = entry
        if keys.generation == generation and self._clock.monotonic() < until and self._clock.wall() < exp:
            return value
        del self._entries[found]
        return None

    def keep(self, found: Found, value: T, keys: Generation, generation: int, exp: float) -> None:
        """Keep what was verified just now. generation: that of the keys before the token's was looked for, so that a change in
        between counts as one. exp: when the token ends, on the wall clock."""
        self._entries.pop(found, None)
        if len(self._entries) >= self._most:
            del self._entries[next(iter(self._entries))]
        self._entries[found] = (value, keys, generation, self._clock.monotonic() + self._life, exp)
