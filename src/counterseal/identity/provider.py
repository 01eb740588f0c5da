"""One identity provider: where its keys are, which of them are in force, and for how long.

* Where there are keys, a token whose `kid` they have never waits. What is due is fetched in the background.
* A `kid` that they don't have asks again, at most once a cool-down. A few tokens wait for that; the rest are refused at once,
  so that a flood of made-up ids costs nothing (K-05).
* While the provider fails, the last good keys serve for an hour after their life; after that nobody can tell, which is 503
  (K-07, K-08). Nor can anybody tell of a `kid` that they don't have: the provider may have a new key.
* Another key under a `kid` that was known is an alarm. Since anybody can bring about a fetch with a made-up `kid`, such a fetch
  takes new ids only: the other key waits for a full refresh, and until then its `kid` names neither (K-13).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from counterseal.clock import Clock
from counterseal.core.limits import Limits
from counterseal.errors import CannotTell
from counterseal.identity.discovery import keys_address, read_discovery, read_keys, shown
from counterseal.identity.fetch import Fetch, FetchFailed
from counterseal.identity.inspection import NONE_USABLE, Findings, Source, inspect
from counterseal.identity.kept import Kept, Loaded
from counterseal.jose.jwk import Key, KeySet, Note
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

_log = logging.getLogger("counterseal.identity")

_LOOK_SECONDS: Final = 5.0


class Provider:
    """name: the configuration's, for messages. issuer: what a discovery document must say. Exactly one of discovery_uri and
    jwks_uri is given. jwks_hosts: where keys may be, beside the host of the discovery document; None where there is no way to
    allow others."""

    def __init__(
        self,
        name: str,
        *,
        issuer: str,
        discovery_uri: str | None,
        jwks_uri: str | None,
        jwks_hosts: tuple[str, ...] | None,
        fetch: Fetch,
        clock: Clock,
        limits: Limits,
    ) -> None:
        if (discovery_uri is None) == (jwks_uri is None):
            raise ValueError("a provider has either a discovery document or an address for its keys")
        self._name = name
        self._source = Source(issuer, discovery_uri, jwks_uri, jwks_hosts)
        self._fetch = fetch
        self._clock = clock
        self._limits = limits
        self._discovery: Kept[str] | None = None
        if discovery_uri is not None:
            self._discovery = Kept(f"issuer {name}: its discovery document", self._load_discovery, clock, limits)
        self._keys: Kept[KeySet] = Kept(f"issuer {name}: its keys", self._load_keys, clock, limits)
        self._full = True
        self._from: str | None = None
        self._seen: tuple[Key, ...] = ()
        self._unconfirmed: frozenset[str | None] = frozenset()
        self._told: tuple[Note, ...] = ()
        self._waiting = 0
        self._generation = 0
        self._counted: KeySet | None = None

    @property
    def generation(self) -> int:
        """Another number whenever other keys are in force than when it was last read (J-29)."""
        keys = self._in_force()
        if keys is not self._counted:
            if _content(keys) != _content(self._counted):
                self._generation += 1
            self._counted = keys
        return self._generation

    def healthy(self) -> str | None:
        """None while keys are in force, or nothing failed yet; else why not."""
        return None if self._in_force() is not None else self._problem()

    async def find(self, unverified: Unverified) -> Key:
        """The key for a token. Raises TokenRefused where there is none, CannotTell where no keys can be had."""
        self.look()
        keys = self._in_force() or await self._wait()
        try:
            return keys.find(unverified)
        except TokenRefused as refused:
            # The provider may have rotated since.
            if refused.code != "key_unknown" or not await self._asked_anew():
                raise self._in_doubt(refused, unverified) from None
        try:
            return (self._in_force() or await self._wait()).find(unverified)
        except TokenRefused as refused:
            raise self._in_doubt(refused, unverified) from None

    def look(self) -> None:
        """Start to fetch what is due, in the background."""
        if self._discovery is not None and self._discovery.over() and self._discovery.rested():
            self._discovery.ask()
        if self._due() and self._keys.rested():
            self._full = True
            self._keys.ask()

    async def run(self) -> None:
        """Look for ever, so that no token comes before the keys do. Ends by being cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def refresh(self) -> None:
        """Fetch everything anew, whatever its life, and wait for it. What fails leaves the old one in force."""
        for kept in self._documents():
            await kept.join()
            self._full = True
            kept.ask()
            await kept.join()

    async def inspect(self) -> Findings:
        """Ask the provider, beside everything that is kept. Never raises because of it: a problem is a finding."""
        return await inspect(self._source, self._fetch, self._clock, self._limits)

    # ---- for a token ----

    def _in_force(self) -> KeySet | None:
        if self._discovery is not None and self._discovery.value is None:
            return None
        return self._keys.value

    async def _wait(self) -> KeySet:
        """For the fetches that run, since there are no keys in force."""
        for kept in self._documents():
            if kept.value is None:
                await kept.join()
        keys = self._in_force()
        if keys is None:
            raise self._cannot_tell()
        return keys

    async def _asked_anew(self) -> bool:
        """Whether the keys were asked for again because of a token. Such tokens never fill the gateway while they wait."""
        if self._waiting >= self._limits.unknown_kid_count:
            return False
        if not self._keys.asking:
            if not self._keys.rested():
                return False
            self._full = False
            self._keys.ask()
        self._waiting += 1
        try:
            await self._keys.join()
        finally:
            self._waiting -= 1
        return True

    def _in_doubt(self, refused: TokenRefused, unverified: Unverified) -> Exception:
        """A kid that is not known proves nothing while the last fetch failed, or while two keys claim it."""
        if refused.code != "key_unknown":
            return refused
        claimed = unverified.kid in self._unconfirmed or (unverified.kid is None and self._unconfirmed)
        return self._cannot_tell() if claimed or self._keys.problem is not None else refused

    def _cannot_tell(self) -> CannotTell:
        return CannotTell(
            "identity_unavailable",
            "the identity provider's keys cannot be had now",
            detail=f"issuer {self._name}: {self._problem() or 'another key has the same kid, until a full refresh'}",
        )

    def _problem(self) -> str | None:
        return self._keys.problem or (self._discovery.problem if self._discovery is not None else None)

    # ---- the documents ----

    def _documents(self) -> Sequence[Kept[str] | Kept[KeySet]]:
        return (self._keys,) if self._discovery is None else (self._discovery, self._keys)

    def _due(self) -> bool:
        moved = self._discovery is not None and self._discovery.value not in (None, self._from)
        return self._keys.over() or moved or bool(self._unconfirmed)

    async def _where(self) -> str:
        """The address of the keys. Waits for the discovery document where there is none."""
        if self._discovery is None:
            assert self._source.jwks_uri is not None
            return self._source.jwks_uri
        if self._discovery.value is None:
            if self._discovery.rested():
                self._discovery.ask()
            await self._discovery.join()
        if self._discovery.value is None:
            raise FetchFailed(self._discovery.problem or "there is no discovery document")
        return self._discovery.value

    async def _load_discovery(self) -> Loaded[str]:
        uri, source = self._source.discovery_uri, self._source
        assert uri is not None
        document = await self._fetch(uri)
        said = read_discovery(document.body, self._limits)
        address = keys_address(said, issuer=source.issuer, uri=uri, hosts=source.jwks_hosts)
        return Loaded(address, document.max_age)

    async def _load_keys(self) -> Loaded[KeySet]:
        full = self._full
        try:
            async with asyncio.timeout(self._limits.fetch_seconds):  # with the wait for the discovery document
                address = await self._where()
                found = await self._read_keys(address)
        except TimeoutError:
            raise FetchFailed("no end in time") from None
        for note in found.value.notes:
            if note.alarm and note not in self._told:
                _log.warning("issuer %s: key %d of its JWKS is left out: %s", self._name, note.index, note.reason)
        self._told = found.value.notes
        if not found.value.keys:
            raise FetchFailed(NONE_USABLE)
        self._from = address
        return replace(found, value=self._agreed(found.value, full))

    def _agreed(self, found: KeySet, full: bool) -> KeySet:
        """K-13. What of a set may be used: all of it after a full refresh, else what does not replace a key by another."""
        known = {key.kid: key.thumbprint for key in self._seen}
        same = {key.kid for key in found.keys if known.get(key.kid, key.thumbprint) == key.thumbprint}
        other = frozenset(key.kid for key in found.keys if key.kid is not None) - same
        for kid in other:
            _log.warning("issuer %s: another key than before has the kid %s", self._name, shown(kid))
        self._seen = found.keys
        self._unconfirmed = frozenset() if full else other
        if full or not other:
            return found
        return KeySet(tuple(key for key in found.keys if key.kid not in other), found.notes)

    async def _read_keys(self, uri: str) -> Loaded[KeySet]:
        document = await self._fetch(uri)
        return Loaded(read_keys(document.body, self._limits), document.max_age)


def _content(keys: KeySet | None) -> frozenset[Key]:
    return frozenset(keys.keys) if keys is not None else frozenset()
