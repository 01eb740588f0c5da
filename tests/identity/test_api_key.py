"""API keys: their form, and who holds one."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import CallError, CannotTell, Unauthenticated
from counterseal.identity.api_key import LOOK_AGAIN_SECONDS, RANDOM_BYTES, ApiKeys, mac, make_key
from counterseal.identity.identify import Authenticator
from counterseal.store.memory import MemoryStore
from counterseal.store.port import ApiKeyRow
from counterseal.store.sqlite import open_sqlite

PEPPER = b"p" * 32
NOW = 1_800_000_000.0
ID, KEY = make_key(bytes(range(RANDOM_BYTES)))
ROW = ApiKeyRow(id=ID, mac=mac(PEPPER, KEY.encode()), subject="alice", created=NOW - 1)

INBOUND = Inbound("POST", "weather", (), b"", "127.0.0.1")


class HeldClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall(self) -> float:
        return NOW + self.seconds

    def monotonic(self) -> float:
        return self.seconds


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


# what a key looks like


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_a_key_names_its_id_and_is_of_one_form(random: bytes) -> None:
    id, key = make_key(random)
    assert re.fullmatch(r"csk_[a-z0-9]{12}_[0-9A-Za-z]{49}", key)
    assert key.split("_")[1] == id
    assert with_check(key[:-6]) == key.encode()


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_05_every_bit_of_256_is_in_the_secret(one: bytes, other: bytes) -> None:
    assert (make_key(bytes(16) + one) == make_key(bytes(16) + other)) == (one == other)


def test_the_largest_secret_fits() -> None:
    assert make_key(b"\xff" * RANDOM_BYTES)[1] != make_key(b"\xff" * (RANDOM_BYTES - 1) + b"\xfe")[1]


@pytest.mark.parametrize("size", [0, RANDOM_BYTES - 1, RANDOM_BYTES + 1])
def test_a_key_is_not_made_of_fewer_or_more_random_bytes(size: int) -> None:
    with pytest.raises(ValueError):
        make_key(bytes(size))


def test_the_id_says_nothing_about_the_secret() -> None:
    assert make_key(bytes(48))[0] == make_key(bytes(16) + b"\xff" * 32)[0]


# who holds a key


async def test_a_key_that_is_stored_is_its_holders() -> None:
    keys = await keys_of(ROW)
    assert keys.holder(KEY.encode(), NOW) == Caller(
        kind="api_key", client_id=ID, subject="alice", fields={"sub": "alice", "user_id": "alice"}, metadata={}
    )


async def test_a_caller_has_everything_that_its_key_says() -> None:
    row = dataclasses.replace(
        ROW,
        email="alice@example.com",
        team="data",
        org="acme",
        agent="copilot",
        metadata={"cost_centre": "7"},
        servers=("weather",),
        tools=("get_*",),
        expires=NOW + 1,
    )
    caller = (await keys_of(row)).holder(KEY.encode(), NOW)
    assert caller is not None
    assert caller.fields == {
        "sub": "alice",
        "user_id": "alice",
        "email": "alice@example.com",
        "team_id": "data",
        "org_id": "acme",
        "agent_id": "copilot",
    }
    assert (caller.email, caller.team, caller.organisation, caller.agent) == (
        "alice@example.com",
        "data",
        "acme",
        "copilot",
    )
    assert caller.metadata == {"cost_centre": "7"}
    assert caller.expires == NOW + 1
    assert caller.servers is not None
    assert caller.tools is not None
    assert [caller.servers.match(name) for name in ("weather", "weathers")] == [True, False]
    assert [caller.tools.match(name) for name in ("get_forecast", "forget_it")] == [True, False]


async def test_a_key_without_any_server_or_tool_may_use_none() -> None:
    caller = (await keys_of(dataclasses.replace(ROW, servers=(), tools=()))).holder(KEY.encode(), NOW)
    assert caller is not None
    assert caller.servers is not None
    assert caller.tools is not None
    assert not caller.servers.match("weather")
    assert not caller.tools.match("get_forecast")


async def test_it_is_an_authenticator_of_requests() -> None:
    keys: Authenticator = await keys_of(ROW)
    inbound = Inbound(verb="POST", server="weather", headers=(), body=b"", peer="127.0.0.1")
    caller = await keys.authenticate(KEY.encode(), inbound)
    assert caller is not None
    assert caller.client_id == ID


@pytest.mark.parametrize(
    "presented",
    [
        b"",
        b"csk",
        b"CSK_" + KEY[4:].encode(),
        b" " + KEY.encode(),
        b"eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        b"gw_abcdefgh_" + b"x" * 43,
    ],
)
async def test_what_does_not_begin_like_a_key_is_for_others_to_judge(presented: bytes) -> None:
    assert (await keys_of(ROW)).holder(presented, NOW) is None


# refusals


@pytest.mark.parametrize(
    "presented",
    [
        b"csk_",
        b"csk_null",
        KEY[:-1].encode(),
        KEY.encode() + b"x",
        KEY.encode() + b"\n",
        KEY.encode() + b"\x00",
        with_check(f"csk_{ID.upper()}_{KEY[17:-6]}") if ID.upper() != ID else b"csk_",
        with_check(f"csk_{ID}-{KEY[17:-6]}"),
        with_check(f"csk_{ID[:-1]}_{KEY[17:-6]}"),
        with_check(f"csk_{ID}_{KEY[17:-7]}-"),
        with_check(f"csk_' OR 1=1;--_{KEY[17:-6]}"),
        with_check(f"csk_{ID}_{KEY[17:-7]}\u0663"),
        with_check("csk_" + "a" * (1 << 20)),
    ],
)
async def test_a_03_a_11_what_is_not_of_the_form_is_refused_before_anything_is_looked_up(presented: bytes) -> None:
    keys = ApiKeys(MemoryStore(), PEPPER, HeldClock())  # it has read no keys, so a look-up would raise CannotTell
    assert refusal(keys, presented) == "not an API key: a character is wrong or missing"


async def test_every_typo_of_one_character_is_told_from_an_unknown_key() -> None:
    keys = await keys_of(ROW)
    for at in range(4, len(KEY)):
        for typo in {"a", "Z", "0"} - {KEY[at]}:
            assert "a character is wrong" in refusal(keys, (KEY[:at] + typo + KEY[at + 1 :]).encode())


async def test_a_key_that_nobody_made_is_refused() -> None:
    keys = await keys_of(ROW)
    id, key = make_key(secrets.token_bytes(RANDOM_BYTES))
    assert refusal(keys, key.encode()) == f"API key {id} is unknown"


async def test_a_known_id_with_another_secret_is_refused() -> None:
    keys = await keys_of(ROW)
    _, other = make_key(bytes(range(16)) + secrets.token_bytes(32))
    assert other[:17] == KEY[:17]
    assert refusal(keys, other.encode()) == f"API key {ID} has another secret"


async def test_a_key_under_another_pepper_is_refused() -> None:
    keys = await keys_of(dataclasses.replace(ROW, mac=mac(b"q" * 32, KEY.encode())))
    assert refusal(keys, KEY.encode()) == f"API key {ID} has another secret"


async def test_a_key_ends_when_it_expires() -> None:
    keys = await keys_of(dataclasses.replace(ROW, expires=NOW))
    assert keys.holder(KEY.encode(), NOW - 0.001) is not None
    assert refusal(keys, KEY.encode(), NOW) == f"API key {ID} has expired"


async def test_a_revoked_key_is_refused() -> None:
    keys = await keys_of(dataclasses.replace(ROW, revoked=NOW - 1))
    assert refusal(keys, KEY.encode()) == f"API key {ID} was revoked"


async def test_a_01_without_the_secret_nobody_learns_that_a_key_was_revoked_or_has_expired() -> None:
    keys = await keys_of(dataclasses.replace(ROW, revoked=NOW - 1, expires=NOW - 1))
    _, other = make_key(bytes(range(16)) + secrets.token_bytes(32))
    assert "another secret" in refusal(keys, other.encode())


async def test_a_01_an_unknown_id_is_compared_like_a_known_one() -> None:
    """By construction: there is an entry to compare with, of a MAC of the same length, and no key that it accepts."""
    keys = await keys_of(ROW)
    assert len(keys._nobody.mac) == len(ROW.mac) == 32
    assert keys._nobody.revoked


async def test_a_02_nothing_of_a_key_but_its_id_is_in_any_error() -> None:
    rows = dataclasses.replace(ROW, expires=NOW + 5), ROW, dataclasses.replace(ROW, revoked=1.0)
    secret = KEY.split("_")[2]
    pieces = [secret[at : at + 6] for at in range(len(secret) - 5)]
    for row in rows:
        clock = HeldClock()
        keys = await keys_of(row, clock=clock)
        for seconds in (0.0, 100.0):
            clock.seconds = seconds
            for presented in (KEY, KEY[:-1], KEY[:-1] + "?"):
                try:
                    keys.holder(presented.encode(), NOW + 10)
                except CallError as error:
                    said = f"{error!r} {error.message} {error.detail} {error.data}"
                    assert not [piece for piece in pieces if piece in said]
        assert not [piece for piece in pieces if piece in f"{keys!r} {keys._entries!r}"]
        assert repr(row.mac) not in repr(keys._entries)


# keeping up with the store


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


@pytest.fixture
async def source() -> Source:
    store = MemoryStore()
    await store.add_api_key(ROW)
    return Source(store)


async def test_a_look_up_asks_the_store_nothing(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    source.asked.clear()
    assert keys.holder(KEY.encode(), NOW) is not None
    refusal(keys, make_key(secrets.token_bytes(RANDOM_BYTES))[1].encode())
    assert source.asked == []


async def test_keys_are_read_again_only_when_they_changed(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    await keys.refresh()
    assert source.asked == ["generation", "api_keys", "generation"]
    await source.store.revoke_api_key(ID, NOW)
    await keys.refresh()
    assert source.asked[3:] == ["generation", "api_keys"]
    assert "was revoked" in refusal(keys, KEY.encode())


async def test_a_04_a_key_that_another_process_revokes_ends_with_the_next_refresh(tmp_path: Path) -> None:
    ours, theirs = await open_sqlite(tmp_path / "store.db"), await open_sqlite(tmp_path / "store.db")
    await theirs.add_api_key(ROW)
    keys = ApiKeys(ours, PEPPER, HeldClock())
    await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None
    await theirs.revoke_api_key(ID, NOW)
    await keys.refresh()
    assert "was revoked" in refusal(keys, KEY.encode())
    await ours.close()
    await theirs.close()


def cannot_tell(keys: ApiKeys, presented: bytes = KEY.encode()) -> str:
    with pytest.raises(CannotTell) as told:
        keys.holder(presented, NOW)
    assert told.value.reason.code == "store_unavailable"
    assert told.value.detail == keys.healthy()
    return told.value.detail or ""


async def test_a_07_before_the_keys_were_read_nobody_can_be_told(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    assert cannot_tell(keys) == "the API keys have not been read yet"


async def test_a_07_keys_that_were_read_too_long_ago_are_not_believed(source: Source) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    source.down = True
    clock.seconds = LIMITS.store_stale_seconds
    with pytest.raises(CannotTell):
        await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None
    assert keys.healthy() is None
    clock.seconds += 0.001
    assert cannot_tell(keys) == "the API keys were last read 5 s ago"
    assert cannot_tell(keys, make_key(bytes(RANDOM_BYTES))[1].encode())  # neither can an unknown one
    source.down = False
    await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None


async def test_a_07_a_slow_answer_is_as_old_as_its_question(source: Source) -> None:
    clock = HeldClock()

    class Slow(Source):
        async def generation(self) -> int:
            clock.seconds += 4
            return await super().generation()

    keys = ApiKeys(Slow(source.store), PEPPER, clock)
    await keys.refresh()
    clock.seconds += 1
    assert keys.healthy() is None
    clock.seconds += 0.5
    assert keys.healthy() is not None


async def test_run_keeps_on_when_the_store_fails_and_says_so_once(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.down = True
    keys = ApiKeys(source, PEPPER, HeldClock())
    running = asyncio.ensure_future(keys.run(every=0))
    while len(source.asked) < 3:
        source.arrived.clear()
        await source.arrived.wait()
    assert keys.healthy() is not None
    source.down = False
    while "api_keys" not in source.asked:
        source.arrived.clear()
        await source.arrived.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert keys.healthy() is None
    assert caplog.messages == ["the store fails: CannotTell"]


async def test_the_last_use_is_noted_at_once_and_then_once_a_minute(source: Source) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    await keys._note_use()
    assert "note_use" not in source.asked
    for seconds, noted in ((0.0, NOW), (59.0, NOW), (60.0, NOW + 60)):
        clock.seconds = seconds
        await keys.refresh()
        assert keys.holder(KEY.encode(), clock.wall()) is not None
        await keys._note_use()
        assert (await source.store.api_keys())[1][0].last_used == noted


class CountingStore(MemoryStore):
    """Counts how often it is asked whether anything changed."""

    asked = 0

    async def generation(self) -> int:
        self.asked += 1
        return await super().generation()


async def test_a_key_works_from_the_moment_that_it_was_made() -> None:
    store = MemoryStore()
    keys = ApiKeys(store, PEPPER, HeldClock())
    await keys.refresh()
    await store.add_api_key(ROW)
    caller = await keys.authenticate(KEY.encode(), INBOUND)
    assert caller is not None
    assert caller.client_id == ID


async def test_made_up_ids_ask_the_store_no_more_than_five_times_a_second() -> None:
    clock = HeldClock()
    store = CountingStore()
    keys = ApiKeys(store, PEPPER, clock)
    await keys.refresh()
    asked = store.asked
    for _ in range(50):
        with pytest.raises(Unauthenticated):
            await keys.authenticate(KEY.encode(), INBOUND)
    assert store.asked == asked + 1
    clock.seconds += LOOK_AGAIN_SECONDS
    with pytest.raises(Unauthenticated):
        await keys.authenticate(KEY.encode(), INBOUND)
    assert store.asked == asked + 2
