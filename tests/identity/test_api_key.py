"""Who holds an API key."""

from __future__ import annotations

import dataclasses
import secrets

import pytest

from counterseal.config.signer import Signer
from counterseal.core.caller import Caller
from counterseal.core.sources import subject
from counterseal.errors import CallError, Unauthenticated
from counterseal.identity.api_key import ApiKeys
from counterseal.identity.identify import Authenticator
from counterseal.identity.key_form import RANDOM_BYTES, mac, make_key
from counterseal.store.memory import MemoryStore
from tests.identity.keys import (
    ID,
    INBOUND,
    KEY,
    NEW_KEY,
    NOW,
    PEPPER,
    ROTATED,
    ROW,
    HeldClock,
    Source,
    keys_of,
    refusal,
    with_check,
)

# who holds a key


async def test_a_key_that_is_stored_is_its_holders() -> None:
    keys = await keys_of(ROW)
    assert keys.holder(KEY.encode(), NOW) == Caller(
        kind="api_key", client_id=ID, subject="alice", fields={"sub": "alice", "user_id": "alice"}, metadata={}
    )


async def test_its_subject_comes_before_its_address_unless_the_configuration_says_otherwise() -> None:
    caller = (await keys_of(dataclasses.replace(ROW, email="alice@example.com"))).holder(KEY.encode(), NOW)
    assert caller is not None
    assert subject(caller, Signer().end_user_claim_sources) == "alice"
    assert subject(caller, ["email", "sub"]) == "alice@example.com"


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
    caller = await keys.authenticate(KEY.encode(), INBOUND)
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


# two secrets for one key


async def test_the_end_user_of_a_key_is_in_its_metadata() -> None:
    caller = (await keys_of(dataclasses.replace(ROW, metadata={"end_user_id": "c7"}))).holder(KEY.encode(), NOW)
    assert caller is not None
    assert caller.fields == {"sub": "alice", "user_id": "alice", "end_user_id": "c7"}


async def test_both_secrets_of_a_key_make_the_same_caller_until_the_earlier_one_ends() -> None:
    keys = await keys_of(dataclasses.replace(ROTATED, email="alice@example.com", servers=("weather",)))
    new, earlier = (keys.holder(key.encode(), NOW + 59.999) for key in (NEW_KEY, KEY))
    assert new is not None
    assert earlier is not None
    assert new.fingerprint() == earlier.fingerprint() == (await keys_of(ROW)).holder(KEY.encode(), NOW).fingerprint()  # type: ignore[union-attr]
    assert dataclasses.replace(earlier, expires=None) == new
    assert refusal(keys, KEY.encode(), NOW + 60) == f"API key {ID} has a new secret, and the time of this one is over"
    assert keys.holder(NEW_KEY.encode(), NOW + 60) == new


async def test_what_was_opened_with_the_earlier_secret_ends_with_it() -> None:
    """`Caller.expires` is what ends streams."""
    keys = await keys_of(ROTATED)
    expires = [caller and caller.expires for caller in (keys.holder(key.encode(), NOW) for key in (NEW_KEY, KEY))]
    assert expires == [None, NOW + 60]


async def test_without_an_overlap_the_earlier_secret_has_ended_at_once() -> None:
    keys = await keys_of(ROW.rotated(ROTATED.mac, NOW))
    assert "the time of this one is over" in refusal(keys, KEY.encode(), NOW)
    assert keys.holder(NEW_KEY.encode(), NOW) is not None


async def test_the_secret_before_the_earlier_one_is_just_another_secret() -> None:
    newest = make_key(bytes(RANDOM_BYTES), ID)[1]
    keys = await keys_of(ROTATED.rotated(mac(PEPPER, newest.encode()), NOW + 60))
    assert keys.holder(newest.encode(), NOW) is not None
    assert keys.holder(NEW_KEY.encode(), NOW) is not None
    assert refusal(keys, KEY.encode()) == f"API key {ID} has another secret"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"revoked": NOW}, "was revoked"), ({"expires": NOW}, "has expired")],
    ids=["revoked", "expired"],
)
async def test_a_04_a_key_that_ended_ended_with_both_its_secrets(changes: dict[str, float], why: str) -> None:
    keys = await keys_of(dataclasses.replace(ROTATED, **changes))  # type: ignore[arg-type]
    for key in (NEW_KEY, KEY):
        assert refusal(keys, key.encode()) == f"API key {ID} {why}"


async def test_an_earlier_secret_without_an_end_has_none() -> None:
    """No command writes such a row: fail closed."""
    keys = await keys_of(dataclasses.replace(ROTATED, previous_ends=None))
    assert refusal(keys, KEY.encode()) == f"API key {ID} has another secret"


async def test_a_key_that_never_had_another_secret_has_no_earlier_one() -> None:
    keys = await keys_of(ROW)
    assert keys._entries[ID].earlier_mac == keys._nobody.mac


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


async def test_a_04_a_key_ends_at_the_moment_that_it_expires() -> None:
    keys = await keys_of(dataclasses.replace(ROW, expires=NOW))
    assert keys.holder(KEY.encode(), NOW - 0.001) is not None
    assert refusal(keys, KEY.encode(), NOW) == f"API key {ID} has expired"


async def test_a_04_expiry_needs_no_look_at_the_store() -> None:
    store = MemoryStore()
    await store.add_api_key(dataclasses.replace(ROW, expires=NOW + 2))
    source, clock = Source(store), HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    source.asked.clear()
    clock.seconds = 1.999
    assert await keys.authenticate(KEY.encode(), INBOUND) is not None
    clock.seconds = 2.0
    with pytest.raises(Unauthenticated) as refused:
        await keys.authenticate(KEY.encode(), INBOUND)
    assert refused.value.detail == f"API key {ID} has expired"
    assert source.asked == []


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
    assert len(keys._nobody.mac) == len(keys._nobody.earlier_mac) == len(ROW.mac) == 32
    assert keys._nobody.revoked


async def test_a_02_nothing_of_a_key_but_its_id_is_in_any_error() -> None:
    rows = dataclasses.replace(ROW, expires=NOW + 5), ROW, dataclasses.replace(ROW, revoked=1.0), ROTATED
    secrets = KEY.split("_")[2], NEW_KEY.split("_")[2]
    pieces = [secret[at : at + 6] for secret in secrets for at in range(len(secret) - 5)]
    for row in rows:
        clock = HeldClock()
        keys = await keys_of(row, clock=clock)
        for seconds in (0.0, 100.0):
            clock.seconds = seconds
            for presented in (KEY, KEY[:-1], KEY[:-1] + "?", NEW_KEY):
                try:
                    keys.holder(presented.encode(), NOW + 100)
                except CallError as error:
                    said = f"{error!r} {error.message} {error.detail} {error.data}"
                    assert not [piece for piece in pieces if piece in said]
        assert not [piece for piece in pieces if piece in f"{keys!r} {keys._entries!r}"]
        assert repr(row.mac) not in repr(keys._entries)
        assert repr(ROTATED.previous_mac) not in repr(keys._entries)
