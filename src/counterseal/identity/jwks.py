"""The keys of one identity provider: fetched once, kept, asked for again when they may have changed.

* Single flight: however many calls wait, one fetch runs.
* A `kid` that the set does not have asks again, at most once a cool-down; until then such tokens are refused at once, so a
  flood of made-up ids costs nothing (threats.md K-05).
* While the provider fails, the last good keys serve for an hour; after that nobody can tell, which is 503 (K-07, K-08).
  Nor can anybody tell of a `kid` that they don't have: the provider may have a new key.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from counterseal.clock import Clock
from counterseal.core.limits import Limits
from counterseal.errors import CannotTell
from counterseal.identity.fetch import Fetch, FetchFailed
from counterseal.jose.jwk import Key, KeySet, NotAKeySet, read_jwks
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

_log = logging.getLogger("counterseal.identity")

_SHORTEST: Final = 60
_LONGEST: Final = 3600


class RemoteKeys:
    """One JWKS address. name: the issuer's, for messages."""

    def __init__(self, name: str, url: str, fetch: Fetch, clock: Clock, limits: Limits) -> None:
        self._name = name
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._limits = limits
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._life = 0.0
        self._asked: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self.generation = 0
        """Another number each time that the keys were fetched."""

    def healthy(self) -> str | None:
        """None while keys are at hand that may be used, else why not."""
        if self._keys is None:
            return self._problem
        return self._problem if self._age() > self._limits.keys_stale_seconds else None

    async def find(self, unverified: Unverified) -> Key:
        """The key for a token. Raises TokenRefused where there is none, CannotTell where no keys can be had."""
        keys = await self._current()
        try:
            return keys.find(unverified)
        except TokenRefused as refused:
            if refused.code != "key_unknown" or not self._may_ask():
                raise self._in_doubt(refused) from None
        # The provider may have rotated since.
        await self._refresh()
        try:
            return (await self._current()).find(unverified)
        except TokenRefused as refused:
            raise self._in_doubt(refused) from None

    def _in_doubt(self, refused: TokenRefused) -> Exception:
        """A kid that is not known proves nothing while the last fetch failed."""
        return self._cannot_tell() if refused.code == "key_unknown" and self._problem is not None else refused

    def _cannot_tell(self) -> CannotTell:
        return CannotTell(
            "identity_unavailable",
            "the identity provider's keys cannot be had now",
            detail=f"issuer {self._name}: {self._problem}",
        )

    async def _current(self) -> KeySet:
        if self._keys is None or self._age() > self._life:
            if self._keys is None or self._age() > self._limits.keys_stale_seconds:
                if self._may_ask():
                    await self._refresh()
            elif self._may_ask():
                self._start()  # good enough for this call; the next one finds newer
        keys = self._keys
        if keys is None or self._age() > self._limits.keys_stale_seconds:
            raise self._cannot_tell()
        return keys

    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched

    def _may_ask(self) -> bool:
        if self._flight is not None:
            return True  # joining a fetch that runs costs nothing
        if self._asked is None:
            return True
        wait = 1.0 if self._keys is None else self._limits.refetch_cooldown_seconds
        return self._clock.monotonic() - self._asked >= wait

    async def _refresh(self) -> None:
        # Shielded: a caller who leaves must not end the fetch that others wait for.
        await asyncio.shield(self._start())

    def _start(self) -> asyncio.Task[None]:
        if self._flight is None:
            self._asked = self._clock.monotonic()
            self._flight = asyncio.ensure_future(self._fetch_keys())
        return self._flight

    async def _fetch_keys(self) -> None:
        try:
            document = await self._fetch(self._url)
            keys = read_jwks(document.body, self._limits)
            for note in keys.notes:
                if note.alarm:
                    _log.warning("issuer %s: key %d of its JWKS is left out: %s", self._name, note.index, note.reason)
            if not keys.keys:
                raise NotAKeySet("no key in it can be used")
        except Exception as error:  # whatever it was: old keys stay, and whoever needs new ones is told
            self._problem = str(error) if isinstance(error, FetchFailed | NotAKeySet) else type(error).__name__
            _log.warning("issuer %s: its keys cannot be had: %s", self._name, self._problem)
        else:
            self._keys, self._problem = keys, None
            self.generation += 1
            self._fetched = self._clock.monotonic()
            life = document.max_age if document.max_age is not None else 300
            self._life = min(max(life, _SHORTEST), _LONGEST)
        finally:
            self._flight = None
