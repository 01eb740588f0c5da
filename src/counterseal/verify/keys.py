"""The gateway's public keys as a server holds them: fetched rarely, kept while they are good, never guessed.

* Fresh keys are used as they are; their life comes from Cache-Control, at least a minute and at most an hour.
* Keys that are not fresh any more are fetched again first. If that fails they stay good for one more hour.
* A `kid` that is not there causes one fetch, at most every 30 seconds: the gateway may have a new key.
* However many callers wait, one fetch is under way, in a thread of its own. Everyone else waits for that one.
* Where no keys can be had the answer is CannotVerify, never a refusal of a token that may be good.

`find` is a generator that yields what has to be waited for, so that the synchronous and the asynchronous verifier share it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Protocol

from counterseal.clock import Clock
from counterseal.core.limits import Limits
from counterseal.jose.jwk import Key, KeySet, NotAKeySet, read_jwks
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified
from counterseal.verify.errors import CannotVerify
from counterseal.verify.fetch import Address, Document, Unreachable, fetch

Finding = Generator["Future[None]", bool, Key]
"""Yields what to wait for; is sent whether that ended in time; returns the key."""

LEAST_LIFE: Final = 60.0
MOST_LIFE: Final = 3600.0
USUAL_LIFE: Final = 300.0
"""Where nothing says how long the keys may be kept."""

_RETRY_SECONDS: Final = 1.0
_MAX_AGE: Final = re.compile(r"\s*max-age\s*=\s*\"?([0-9]{1,10})\"?\s*", re.IGNORECASE)
_log: Final = logging.getLogger("counterseal.verify")


class Keys(Protocol):
    """Finds the key for a token."""

    def at_hand(self, unverified: Unverified) -> Key | None:
        """The key, where nothing has to be waited for; None where `find` has to be asked. Raises TokenRefused."""
        ...

    def find(self, unverified: Unverified) -> Finding:
        """Raises TokenRefused where there is none, CannotVerify where nobody can tell."""
        ...


def keys_from(
    jwks: str | PathLike[str] | Mapping[str, Any], *, allow_insecure: bool, clock: Clock, limits: Limits
) -> Keys:
    """jwks: an http or https address, the path of a file, or a JWKS itself. Raises ValueError for what is none of these."""
    if isinstance(jwks, Mapping):
        return FixedKeys(jwks, limits)
    place = fspath(jwks)
    if "://" in place:
        address = Address.parse(place, allow_insecure=allow_insecure)
        return CachedKeys(lambda: fetch(address, limits), clock, limits)
    return CachedKeys(lambda: _read_file(Path(place), limits), clock, limits)


def life_of(cache_control: str | None) -> float:
    """Seconds for which keys are fresh (RFC 9111 section 5.2.2), held between a minute and an hour (K-14)."""
    if cache_control is None:
        return USUAL_LIFE
    directives = cache_control.split(",")
    if any(directive.strip().lower() in ("no-store", "no-cache") for directive in directives):
        return LEAST_LIFE
    ages = [int(match[1]) for match in map(_MAX_AGE.fullmatch, directives) if match]
    return max(LEAST_LIFE, min([*ages, MOST_LIFE])) if ages else USUAL_LIFE


class FixedKeys:
    """A JWKS that was handed over and never changes."""

    def __init__(self, document: Mapping[str, Any], limits: Limits) -> None:
        """Raises ValueError for a document without one usable key."""
        self._keys = _usable(read_jwks(document, limits))

    def at_hand(self, unverified: Unverified) -> Key | None:
        return self._keys.find(unverified)

    def find(self, unverified: Unverified) -> Finding:
        yield from ()
        return self._keys.find(unverified)


@dataclass(frozen=True, slots=True)
class _Held:
    """Keys and until when they are fresh and usable, on the monotonic clock."""

    keys: KeySet
    fresh_until: float
    stale_until: float


class CachedKeys:
    """A JWKS that is loaded from somewhere and kept. load: blocks; raises Unreachable."""

    def __init__(self, load: Callable[[], Document], clock: Clock, limits: Limits) -> None:
        self._load = load
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._flight: Future[None] | None = None
        self._failed_at: float | None = None
        self._problem = "they were never fetched"
        self._refetched_at: float | None = None

    def at_hand(self, unverified: Unverified) -> Key | None:
        held = self._held
        if held is None or self._clock.monotonic() >= held.fresh_until:
            return None
        return held.keys.by_kid(unverified)

    def find(self, unverified: Unverified) -> Finding:
        held = self._held
        fetched = False
        if self._needs_loading(held):
            held, fetched = (yield from self._reload()), True
        if held is None or self._clock.monotonic() >= held.stale_until:
            raise CannotVerify(f"the gateway's keys cannot be had: {self._problem}")
        try:
            return held.keys.find(unverified)
        except TokenRefused as refused:
            if refused.code != "key_unknown" or fetched:
                raise self._in_doubt(refused) from None
            if self._may_refetch():
                yield from self._reload()
            elif self._held is held:  # else somebody else's fetch has ended since we looked, maybe with the key
                raise self._in_doubt(refused) from None
        held = self._held
        assert held is not None
        try:
            return held.keys.find(unverified)
        except TokenRefused as refused:
            raise self._in_doubt(refused) from None

    def _needs_loading(self, held: _Held | None) -> bool:
        now = self._clock.monotonic()
        if held is not None and now < held.fresh_until:
            return False
        if self._failed_at is None:
            return True
        usable = held is not None and now < held.stale_until
        pause = self._limits.refetch_cooldown_seconds if usable else _RETRY_SECONDS
        return now - self._failed_at >= pause

    def _may_refetch(self) -> bool:
        """Whether an unknown kid may cause a fetch now (K-05); it may always wait for one that is under way."""
        now = self._clock.monotonic()
        with self._lock:
            if self._flight is not None:
                return True
            if self._refetched_at is not None and now - self._refetched_at < self._limits.refetch_cooldown_seconds:
                return False
            self._refetched_at = now
            return True

    def _in_doubt(self, refused: TokenRefused) -> Exception:
        """A kid that we don't know proves nothing while the last fetch failed: the gateway may have a new key."""
        if refused.code == "key_unknown" and self._failed_at is not None:
            return CannotVerify(f"the token's key is not known and the gateway's keys cannot be had: {self._problem}")
        return refused

    def _reload(self) -> Generator[Future[None], bool, _Held | None]:
        if not (yield self._start()):
            self._failed("no answer in time")
        return self._held

    def _start(self) -> Future[None]:
        """The fetch that is under way, or a new one."""
        with self._lock:
            if self._flight is None:
                flight: Future[None] = Future()
                flight.set_running_or_notify_cancel()  # nobody who waits for it can cancel it for the others
                threading.Thread(target=self._fly, args=(flight,), name="counterseal-jwks", daemon=True).start()
                self._flight = flight
            return self._flight

    def _fly(self, flight: Future[None]) -> None:
        started = self._clock.monotonic()
        try:
            document = self._load()
            keys = _usable(read_jwks(document.body, self._limits))
            fresh_until = started + life_of(document.cache_control)
            self._held = _Held(keys, fresh_until, fresh_until + self._limits.keys_stale_seconds)
            self._failed_at = None
        except (Unreachable, ValueError) as error:
            self._failed(str(error))
        except Exception as error:  # whatever it was: old keys stay, and whoever waits is told
            self._failed(type(error).__name__)
        finally:
            with self._lock:
                self._flight = None
            flight.set_result(None)

    def _failed(self, problem: str) -> None:
        self._problem = problem
        self._failed_at = self._clock.monotonic()
        _log.warning("the gateway's keys could not be fetched: %s", problem)


def _usable(keys: KeySet) -> KeySet:
    for note in keys.notes:
        if note.alarm:
            _log.warning("key %d of the gateway's set was dropped: %s", note.index, note.reason)
    if not keys.keys:
        raise NotAKeySet("the set has no usable key")
    return keys


def _read_file(path: Path, limits: Limits) -> Document:
    try:
        with path.open("rb") as file:
            return Document(file.read(limits.jwks_bytes + 1))
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}") from None
