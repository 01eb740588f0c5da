"""An API key for tests, a clock that a test moves, and who holds what."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Final

import pytest

from counterseal.core.call import Inbound
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.api_key import ApiKeys
from counterseal.identity.key_form import RANDOM_BYTES, mac, make_key
from counterseal.store.memory import MemoryStore
from counterseal.store.port import ApiKeyRow

PEPPER: Final = b"p" * 32
NOW: Final = 1_800_000_000.0
ID, KEY = make_key(bytes(range(RANDOM_BYTES)))
ROW: Final = ApiKeyRow(id=ID, mac=mac(PEPPER, KEY.encode()), subject="alice", created=NOW - 1)
NEW_KEY: Final = make_key(bytes(range(1, RANDOM_BYTES + 1)), ID)[1]
"""A second secret for the same key."""
ROTATED: Final = ROW.rotated(mac(PEPPER, NEW_KEY.encode()), NOW + 60)

INBOUND: Final = Inbound("POST", "weather", (), b"", "127.0.0.1")


class HeldClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall(self) -> float:
        return NOW + self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Source:
    """A store of keys that fails on demand and counts what it is asked."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.down = False
        self.asked: list[str] = []
        self.arrived = asyncio.Event()

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        self.arrived.set()
        if self.down:
            raise CannotTell("store_unavailable", "the store cannot be reached")

    async def generation(self) -> int:
        self._answer("generation")
        return await self.store.generation()

    async def api_keys(self) -> tuple[int, tuple[ApiKeyRow, ...]]:
        self._answer("api_keys")
        return await self.store.api_keys()

    async def note_use(self, uses: Mapping[str, float]) -> None:
        self._answer("note_use")
        await self.store.note_use(uses)


async def keys_of(*rows: ApiKeyRow, clock: HeldClock | None = None) -> ApiKeys:
    store = MemoryStore()
    for row in rows:
        await store.add_api_key(row)
    keys = ApiKeys(store, PEPPER, clock or HeldClock())
    await keys.refresh()
    return keys


def refusal(keys: ApiKeys, presented: bytes, now: float = NOW) -> str:
    """The detail of the refusal, once it is the same refusal to the caller as any other."""
    with pytest.raises(Unauthenticated) as refused:
        keys.holder(presented, now)
    assert refused.value.reason.code == "credential_invalid"
    assert refused.value.message == "the credential was not accepted"
    assert refused.value.data == {}
    assert refused.value.detail is not None
    return refused.value.detail


def with_check(body: str) -> bytes:
    """A key with a right checksum, as somebody who guesses would send it."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = digits[digit] + check
    return (body + check).encode()
