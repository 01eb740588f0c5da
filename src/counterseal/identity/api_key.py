"""API keys: what they look like, and who holds one.

A key is `csk_<id>_<secret><check>`: an id of 12 characters of a-z0-9, 256 bits of secret as 43 characters in base 62, and
the CRC-32 of everything before it as 6. The prefix and the check let a scanner recognise a leaked key, and tell a typo
from an unknown key; the id is what logs, records and claims may say.

* The shape is checked before anything is looked up (threats.md A-03).
* The table of keys is in memory: a call costs no query. It is read again when the store's generation moves on, which is
  asked every second; once the last answer is too old, nobody can be told apart and the call ends with 503 (A-07).
* An unknown id takes the same path as a known one: one HMAC, one constant-time comparison (A-01).
* All refusals look alike to the caller. Which one it was is in the `detail`, with the key's id and nothing else of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from counterseal.clock import Clock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.credentials import REFUSED

PREFIX: Final = b"csk_"
RANDOM_BYTES: Final = 48
"""How many random bytes `make_key` takes: 16 for the id, 32 for the secret."""

POLL_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 0.2
"""An id that is not known makes the keys be read again at once, so that a new key works at once; but no sooner than this after
the last time, so that made-up ids cost the store nothing much."""
NOTE_USE_SECONDS: Final = 60.0

_SHAPE: Final = re.compile(rb"csk_([a-z0-9]{12})_[0-9A-Za-z]{43}([0-9A-Za-z]{6})")
_LOWER: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_log = logging.getLogger(__name__)


def make_key(random: bytes) -> tuple[str, str]:
    """A new key's id and its whole text, from RANDOM_BYTES random bytes. Raises ValueError for fewer or more."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made from {RANDOM_BYTES} random bytes")
    id = _in_base(int.from_bytes(random[:16], "big"), _LOWER, 12)
    body = f"csk_{id}_{_in_base(int.from_bytes(random[16:], 'big'), _BASE62, 43)}"
    return id, body + _check(body.encode())


def mac(pepper: bytes, key: bytes) -> bytes:
    """What the store holds instead of the key: HMAC-SHA-256 of its whole text."""
    return hmac.digest(pepper, key, "sha256")


def _check(body: bytes) -> str:
    return _in_base(zlib.crc32(body), _BASE62, 6)


def _in_base(number: int, digits: str, length: int) -> str:
    """The last `length` digits of the number; 43 digits in base 62 hold any 256 bits."""
    text = []
    for _ in range(length):
        number, digit = divmod(number, len(digits))
        text.append(digits[digit])
    return "".join(reversed(text))


class KeyRow(Protocol):
    """What is read of a stored key. None: not given; for `servers` and `tools`, no restriction."""

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


class KeySource(Protocol):
    """Where keys are kept. Every verb raises CannotTell while that is out of reach."""

    async def generation(self) -> int: ...
    async def api_keys(self) -> tuple[int, Sequence[KeyRow]]: ...
    async def note_use(self, uses: Mapping[str, float]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    mac: bytes = field(repr=False)
    caller: Caller
    revoked: bool


class ApiKeys:
    """The authenticator for API keys. Keep `run` running; `authenticate` answers from memory."""

    def __init__(
        self, source: KeySource, pepper: bytes, clock: Clock, *, stale_seconds: float = LIMITS.store_stale_seconds
    ) -> None:
        self._source = source
        # Keyed once and copied for each call, which costs half of keying it anew.
        self._keyed = hmac.new(pepper, digestmod="sha256")
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._entries: Mapping[str, _Entry] = {}
        self._generation: int | None = None
        self._fresh: float | None = None
        self._used: dict[str, float] = {}
        self._noted: float | None = None
        self._looked: float | None = None
        # What an unknown id is compared with. Its MAC is of 32 bytes like any other, and nobody's.
        self._nobody = _Entry(mac(pepper, b""), Caller(kind="api_key", client_id=""), revoked=True)

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """`holder`, at this moment. The rest of the request doesn't matter to a key."""
        shape = _SHAPE.fullmatch(presented)
        if shape is not None and shape[1].decode() not in self._entries:
            await self._look_again()
        return self.holder(presented, self._clock.wall())

    async def _look_again(self) -> None:
        """The key may be younger than the last poll."""
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        with contextlib.suppress(CannotTell):  # then what was read before decides, as long as it is recent enough
            await self.refresh()

    def holder(self, presented: bytes, now: float) -> Caller | None:
        """Who holds this key; None when it is no API key at all. now: seconds since the epoch.

        Raises Unauthenticated for a key that is malformed, unknown, wrong, revoked or expired, with one text for all, and
        CannotTell when the keys were last read too long ago.
        """
        if not presented.startswith(PREFIX):
            return None
        shape = _SHAPE.fullmatch(presented)
        if shape is None:
            raise _refused("not an API key: a character is wrong or missing")
        if (problem := self.healthy()) is not None:
            raise CannotTell("store_unavailable", "API keys cannot be checked now", detail=problem)
        id = shape[1].decode()
        entry = self._entries.get(id, self._nobody)
        presented_mac = self._keyed.copy()
        presented_mac.update(presented)
        proven = hmac.compare_digest(presented_mac.digest(), entry.mac)
        if not proven and _check(presented[:-6]).encode() != shape[2]:
            raise _refused("not an API key: a character is wrong or missing")
        if entry is self._nobody:
            raise _refused(f"API key {id} is unknown")
        if not proven:
            raise _refused(f"API key {id} has another secret")
        if entry.revoked:
            raise _refused(f"API key {id} was revoked")
        caller = entry.caller
        if caller.expires is not None and now >= caller.expires:
            raise _refused(f"API key {id} has expired")
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
        asked = self._clock.monotonic()
        generation = await self._source.generation()
        if generation != self._generation:
            generation, rows = await self._source.api_keys()
            self._entries = {row.id: _Entry(row.mac, _caller(row), row.revoked is not None) for row in rows}
            self._generation = generation
        self._fresh = asked

    async def run(self, every: float = POLL_SECONDS) -> None:
        """Refresh for ever, and note now and then which keys were used. Ends by being cancelled."""
        failing = False
        while True:
            try:
                await self.refresh()
                await self._note_use()
                failing = False
            except Exception as error:
                # Whatever it was, the next round may find it gone; until then the keys grow stale and calls end with 503.
                if not failing:
                    _log.warning("the store fails: %s", getattr(error, "detail", None) or type(error).__name__)
                failing = True
            await asyncio.sleep(every)

    async def _note_use(self) -> None:
        now = self._clock.monotonic()
        if not self._used or (self._noted is not None and now - self._noted < NOTE_USE_SECONDS):
            return
        uses, self._used, self._noted = self._used, {}, now
        await self._source.note_use(uses)


def _caller(row: KeyRow) -> Caller:
    holder = {
        "sub": row.subject,
        "user_id": row.subject,
        "email": row.email,
        "team_id": row.team,
        "org_id": row.org,
        "agent_id": row.agent,
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


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated("credential_invalid", REFUSED, detail=detail)
