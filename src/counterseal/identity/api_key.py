"""Who holds an API key. What one looks like is in `key_form.py`.

* The shape is checked before anything is looked up (A-03).
* The table of keys is in memory: a call costs no query. It is read again when the store's generation moves on, which is
  asked twice a second; once the last answer is too old, nobody can be told apart and the call ends with 503 (A-07).
* A key that was given a new secret is held by whoever sends that, and by whoever sends the one before it until its overlap
  is over. Both are the same caller.
* An unknown id takes the same path as a known one: one HMAC, two constant-time comparisons (A-01).
* All refusals look alike to the caller. Which one it was is in the `detail`, with the key's id and nothing else of it.
* Nobody is locked out: a refusal counts against nobody, so no number of guesses keeps a good key out, at any address (A-05).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Protocol

from counterseal.clock import Clock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.keyed import Keyed
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.credentials import REFUSED
from counterseal.identity.key_form import PREFIX, id_in, is_checked, mac

POLL_SECONDS: Final = 0.5
LOOK_AGAIN_SECONDS: Final = 0.2
"""An id or a secret that is not known makes the keys be read again at once, so that a new one works at once; but no sooner
than this after the last time, so that made-up keys cost the store nothing much."""
NOTE_USE_SECONDS: Final = 60.0

_MISSPELT: Final = "not an API key: a character is wrong or missing"

_log = logging.getLogger(__name__)


class KeyRow(Protocol):
    """What is read of a stored key. None: not given; for `servers` and `tools`, no restriction.

    previous_mac, previous_ends: of the secret before this one, and when it ends; None where there was none.
    """

    @property
    def id(self) -> str: ...
    @property
    def mac(self) -> bytes: ...
    @property
    def subject(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def team(self) -> str | None: ...
    @property
    def org(self) -> str | None: ...
    @property
    def agent(self) -> str | None: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def servers(self) -> tuple[str, ...] | None: ...
    @property
    def tools(self) -> tuple[str, ...] | None: ...
    @property
    def expires(self) -> float | None: ...
    @property
    def revoked(self) -> float | None: ...
    @property
    def previous_mac(self) -> bytes | None: ...
    @property
    def previous_ends(self) -> float | None: ...


class KeySource(Protocol):
    """Where keys are kept. Every verb raises CannotTell while that is out of reach."""

    async def generation(self) -> int: ...
    async def api_keys(self) -> tuple[int, Sequence[KeyRow]]: ...
    async def note_use(self, uses: Mapping[str, float]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """caller: who sends the current secret. earlier: the same one, as whoever sends the secret before it; nobody can where
    there was none."""

    mac: bytes = field(repr=False)
    caller: Caller
    earlier_mac: bytes = field(repr=False)
    earlier: Caller
    revoked: bool


class _Unproven(Unauthenticated):
    """Nobody is known with this id and this secret, so far: the store may know more."""


class ApiKeys:
    """The authenticator for API keys. Keep `run` running; `authenticate` answers from memory."""

    def __init__(
        self, source: KeySource, pepper: bytes, clock: Clock, *, stale_seconds: float = LIMITS.store_stale_seconds
    ) -> None:
        self._source = source
        self._keyed = Keyed(pepper)
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._entries: Mapping[str, _Entry] = {}
        self._generation: int | None = None
        self._fresh: float | None = None
        self._used: dict[str, float] = {}
        self._noted: float | None = None
        self._looked: float | None = None
        self._reading = asyncio.Lock()
        # What an unknown id is compared with, and a secret that there never was. It is of 32 bytes like any other, and nobody's.
        self._nobodys = mac(pepper, b"")
        nobody = Caller(kind="api_key", client_id="")
        self._nobody = _Entry(self._nobodys, nobody, self._nobodys, nobody, revoked=True)

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """`holder`, at this moment. The rest of the request doesn't matter to a key."""
        try:
            return self.holder(presented, self._clock.wall())
        except _Unproven:
            known = self._generation
            await self._look_again()
            if self._generation == known:
                raise
        return self.holder(presented, self._clock.wall())

    async def _look_again(self) -> None:
        """The key or its secret may be younger than the last poll. Many who ask at once wait for one answer."""
        asked = self._clock.monotonic()
        async with self._reading:
            if self._looked is not None and asked - self._looked < LOOK_AGAIN_SECONDS:
                return
            self._looked = self._clock.monotonic()
            with contextlib.suppress(CannotTell):  # then what was read before decides, as long as it is recent enough
                await self._read()

    def holder(self, presented: bytes, now: float) -> Caller | None:
        """Who holds this key; None when it is no API key at all. now: seconds since the epoch.

        Raises Unauthenticated for a key that is malformed, unknown, wrong, revoked or expired, with one text for all, and
        CannotTell when the keys were last read too long ago.
        """
        if not presented.startswith(PREFIX):
            return None
        id = id_in(presented)
        if id is None:
            raise _refused(_MISSPELT)
        if (problem := self.healthy()) is not None:
            raise CannotTell("store_unavailable", "API keys cannot be checked now", detail=problem)
        entry = self._entries.get(id, self._nobody)
        presented_mac = self._keyed.mac(presented)
        # Both are compared, whatever the first one says and whoever it is about.
        is_current = hmac.compare_digest(presented_mac, entry.mac)
        is_earlier = hmac.compare_digest(presented_mac, entry.earlier_mac)
        if not (is_current or is_earlier):
            if not is_checked(presented):
                raise _refused(_MISSPELT)
            why = "is unknown" if entry is self._nobody else "has another secret"
            raise _Unproven("credential_invalid", REFUSED, detail=f"API key {id} {why}")
        if entry.revoked:
            raise _refused(f"API key {id} was revoked")
        if _is_over(entry.caller, now):
            raise _refused(f"API key {id} has expired")
        caller = entry.caller if is_current else entry.earlier
        if _is_over(caller, now):
            raise _refused(f"API key {id} has a new secret, and the time of this one is over")
        self._used[id] = now
        return caller

    def healthy(self) -> str | None:
        """None while the keys in memory are recent enough to be believed, else what is wrong."""
        if self._fresh is None:
            return "the API keys have not been read yet"
        age = self._clock.monotonic() - self._fresh
        return None if age <= self._stale_seconds else f"the API keys were last read {age:.0f} s ago"

    async def refresh(self) -> None:
        """Read the keys again if they changed. Raises CannotTell; what was read before stays."""
        async with self._reading:  # one after the other, so that an older answer never comes last
            await self._read()

    async def _read(self) -> None:
        asked = self._clock.monotonic()
        generation = await self._source.generation()
        if generation != self._generation:
            generation, rows = await self._source.api_keys()
            self._entries = {row.id: self._entry(row) for row in rows}
            self._generation = generation
        self._fresh = asked

    def _entry(self, row: KeyRow) -> _Entry:
        caller = caller_of(row)
        earlier_mac = self._nobodys if row.previous_ends is None else row.previous_mac
        return _Entry(
            mac=row.mac,
            caller=caller,
            earlier_mac=earlier_mac or self._nobodys,
            # Whoever sends it loses it sooner, and what was opened with it ends with it.
            earlier=replace(caller, expires=row.previous_ends),
            revoked=row.revoked is not None,
        )

    async def run(self, every: float = POLL_SECONDS) -> None:
        """Refresh every so many seconds, and note now and then which keys were used. Ends by being cancelled."""
        failing = False
        while True:
            await asyncio.sleep(every)  # first, because whoever opens has refreshed
            try:
                await self.refresh()
                await self._note_use()
                failing = False
            except Exception as error:
                # Whatever it was, the next round may find it gone; until then the keys grow stale and calls end with 503.
                if not failing:
                    _log.warning("the store fails: %s", getattr(error, "detail", None) or type(error).__name__)
                failing = True

    async def _note_use(self) -> None:
        now = self._clock.monotonic()
        if not self._used or (self._noted is not None and now - self._noted < NOTE_USE_SECONDS):
            return
        uses, self._used, self._noted = self._used, {}, now
        await self._source.note_use(uses)


def caller_of(row: KeyRow) -> Caller:
    """Who holds a stored key, whether or not it may still be used."""
    holder = {
        "sub": row.subject,
        "user_id": row.subject,
        "email": row.email,
        "team_id": row.team,
        "org_id": row.org,
        "agent_id": row.agent,
        "end_user_id": row.metadata.get("end_user_id"),
    }
    return Caller(
        kind="api_key",
        client_id=row.id,
        subject=row.subject,
        fields=MappingProxyType({name: value for name, value in holder.items() if value}),
        metadata=MappingProxyType(dict(row.metadata)),
        servers=None if row.servers is None else Patterns.of(row.servers),
        tools=None if row.tools is None else Patterns.of(row.tools),
        expires=row.expires,
    )


def _is_over(caller: Caller, now: float) -> bool:
    return caller.expires is not None and now >= caller.expires


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated("credential_invalid", REFUSED, detail=detail)
