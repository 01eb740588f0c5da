"""One document of somebody else, kept: fetched once, fetched again when its life is over, the old one used while that fails.

* Single flight: however many wait, one fetch runs, and whoever leaves does not end it for the others.
* Between two fetches lies a pause, whatever asks for them: a cool-down while there is a document, a second while there is none.
* A fetch that fails, or that finds nothing usable, changes nothing but the reason that is told (K-07).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from counterseal.clock import Clock
from counterseal.core.limits import Limits
from counterseal.identity.fetch import FetchFailed

T = TypeVar("T")

_log = logging.getLogger("counterseal.identity")

_SHORTEST: Final = 60
_LONGEST: Final = 3600
_USUAL: Final = 300
_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What a fetch brought. max_age: as the document says, None where it doesn't."""

    value: T
    max_age: int | None


class Kept(Generic[T]):
    """what: for messages, `issuer corp: its keys`. load: fetches and reads; FetchFailed says why there is nothing usable."""

    def __init__(self, what: str, load: Callable[[], Awaitable[Loaded[T]]], clock: Clock, limits: Limits) -> None:
        self._what = what
        self._load = load
        self._clock = clock
        self._limits = limits
        self._loaded: T | None = None
        self._fresh_until = 0.0
        self._asked: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why the last fetch failed; None after one that did not."""

    @property
    def value(self) -> T | None:
        """The document, while it may be used: its life, and then as long as old ones serve (K-08)."""
        stale_until = self._fresh_until + self._limits.keys_stale_seconds
        return None if self._loaded is None or self._clock.monotonic() > stale_until else self._loaded

    @property
    def asking(self) -> bool:
        """Whether a fetch runs."""
        return self._flight is not None

    def over(self) -> bool:
        """Whether its life is over, or never began."""
        return self._loaded is None or self._clock.monotonic() > self._fresh_until

    def rested(self) -> bool:
        """Whether a fetch may start."""
        if self._flight is not None:
            return False
        pause = _RETRY_SECONDS if self.value is None else self._limits.refetch_cooldown_seconds
        return self._asked is None or self._clock.monotonic() - self._asked >= pause

    def ask(self) -> None:
        """Start a fetch, unless one runs."""
        if self._flight is None:
            self._asked = self._clock.monotonic()
            self._flight = asyncio.ensure_future(self._fly(self._asked))

    async def join(self) -> None:
        """Wait for the fetch that runs, if one does."""
        if self._flight is not None:
            await asyncio.shield(self._flight)

    async def _fly(self, asked: float) -> None:
        before = self.problem
        try:
            loaded = await self._load()
        except Exception as error:  # whatever it was: the old one stays, and whoever needs a new one is told
            self.problem = str(error) if isinstance(error, FetchFailed) else type(error).__name__
            if self.problem != before:
                _log.warning("%s cannot be had: %s", self._what, self.problem)
        else:
            self._loaded, self.problem = loaded.value, None
            self._fresh_until = asked + life(loaded.max_age)
            if before is not None:
                _log.info("%s can be had again", self._what)
        finally:
            self._flight = None


def life(max_age: int | None) -> int:
    """Seconds for which a document is fresh, whatever it says itself (K-14)."""
    return _USUAL if max_age is None else min(max(max_age, _SHORTEST), _LONGEST)
