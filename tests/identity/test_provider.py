"""One identity provider's keys: how often they are asked for, which are in force, and what serves while none can be had."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell
from counterseal.identity.provider import Provider
from counterseal.jose import jws, strict
from counterseal.jose.refusal import TokenRefused
from tests.identity.providing import (
    DOWN,
    GOOD,
    ISSUER,
    KEYS,
    KNOWN,
    UNKNOWN,
    Idp,
    by_keys,
    keys,
    of_kid,
    one_key,
    settled,
)
from tests.support.leaping import LeapingTime
from tests.support.tokens import FixedClock, access_claims, jwk, jwks, private_key, token

COOL_DOWN = LIMITS.refetch_cooldown_seconds


async def refusal(provider: Provider, unverified: strict.Unverified) -> str:
    with pytest.raises(TokenRefused) as refused:
        await provider.find(unverified)
    return refused.value.code


async def nobody_can_tell(provider: Provider, unverified: strict.Unverified = KNOWN) -> None:
    with pytest.raises(CannotTell) as told:
        await provider.find(unverified)
    assert (told.value.reason.status, told.value.reason.code) == (503, "identity_unavailable")
    assert told.value.detail is not None
    assert told.value.detail.startswith("issuer corp: ")


async def test_keys_are_fetched_at_the_first_token_and_kept() -> None:
    idp = Idp()
    provider = by_keys(idp, FixedClock())
    assert idp.asked == []
    for _ in range(3):
        assert (await provider.find(KNOWN)).kid == "ES256"
    assert idp.asked == [KEYS]


async def test_k_06_a_thousand_calls_at_a_cold_start_make_one_fetch() -> None:
    idp = Idp()
    provider = by_keys(idp, FixedClock())
    gate = idp.hang(KEYS)
    calls = [asyncio.ensure_future(provider.find(KNOWN)) for _ in range(1000)]
    await settled()
    gate.set()
    assert {key.kid for key in await asyncio.gather(*calls)} == {"ES256"}
    assert idp.count() == 1


async def test_a_caller_who_leaves_does_not_end_the_fetch_that_others_wait_for() -> None:
    idp = Idp()
    provider = by_keys(idp, FixedClock())
    gate = idp.hang(KEYS)
    leaving, staying = (asyncio.ensure_future(provider.find(KNOWN)) for _ in range(2))
    await settled()
    leaving.cancel()
    await settled()
    gate.set()
    assert (await staying).kid == "ES256"
    assert leaving.cancelled()
    assert idp.count() == 1


# ---- K-05: ids that nobody knows ----


async def test_k_05_a_flood_of_made_up_ids_makes_one_fetch_in_a_cool_down() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    clock.advance(COOL_DOWN)
    distinct = [of_kid(f"made-up-{number}") for number in range(200)]
    for flood in (distinct, [UNKNOWN] * 200):
        told = await asyncio.gather(*map(provider.find, flood), return_exceptions=True)
        assert {error.code for error in told if isinstance(error, TokenRefused)} == {"key_unknown"}
        assert idp.count() == 2
    clock.advance(COOL_DOWN - 0.001)
    assert await refusal(provider, UNKNOWN) == "key_unknown"
    assert idp.count() == 2
    clock.advance(0.001)
    assert await refusal(provider, UNKNOWN) == "key_unknown"
    assert idp.count() == 3


async def test_k_05_while_the_flood_waits_good_tokens_do_not_and_few_of_the_flood_do() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    clock.advance(COOL_DOWN)
    gate = idp.hang(KEYS)
    flood = [asyncio.ensure_future(provider.find(UNKNOWN)) for _ in range(10_000)]
    await settled()
    waiting = [task for task in flood if not task.done()]
    assert len(waiting) == LIMITS.unknown_kid_count
    told = await asyncio.gather(*(task for task in flood if task.done()), return_exceptions=True)
    assert {error.code for error in told if isinstance(error, TokenRefused)} == {"key_unknown"}
    assert len(told) == 10_000 - LIMITS.unknown_kid_count
    with pytest.raises(StopIteration) as found:  # it comes to its end without waiting for anything
        provider.find(KNOWN).send(None)
    assert found.value.value.kid == "ES256"
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert idp.count() == 2
    clock.advance(COOL_DOWN)
    assert await refusal(provider, UNKNOWN) == "key_unknown"  # and those that went may be followed by others
    assert idp.count() == 3


async def test_k_05_an_issuer_that_is_flooded_costs_another_nothing() -> None:
    clock, flooded, other = FixedClock(), Idp(), Idp()
    one, two = by_keys(flooded, clock), by_keys(other, clock)
    await asyncio.gather(one.find(KNOWN), two.find(KNOWN))
    clock.advance(COOL_DOWN)
    await asyncio.gather(*(one.find(UNKNOWN) for _ in range(100)), return_exceptions=True)
    assert (flooded.count(), other.count()) == (2, 1)


async def test_an_algorithm_that_the_key_does_not_have_asks_nobody() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    clock.advance(COOL_DOWN)
    other = strict.read(token(access_claims(), "ES384", header={"kid": "ES256"}), LIMITS)
    assert await refusal(provider, other) == "algorithm"
    assert idp.count() == 1


# ---- K-07, K-08, K-09: a provider that fails ----

BAD_DOCUMENTS = {
    "unreachable": DOWN,
    "a defect of ours": RuntimeError("canary"),
    "html": b"<html>503</html>",
    "nothing": b"",
    "no keys": {"keys": []},
    "keys of another kind": {"keys": [{"kty": "oct", "k": "AAAA"}]},
    "not a set": [],
    "null": {"keys": None},
    "too large": b'{"keys": []' + b" " * LIMITS.jwks_bytes + b"}",
    "too many": {"keys": GOOD["keys"] * (LIMITS.jwks_keys + 1)},
    "a hundred thousand": b'{"keys": [' + b"{}," * 100_000 + b"{}]}",
    "duplicate members": b'{"keys": [], "keys": []}',
    "deep": b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("bad", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_k_07_a_failed_refresh_leaves_the_good_keys_until_the_limit(bad: Any) -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    generation = provider.generation
    idp.documents[KEYS] = bad
    clock.advance(301)
    for _ in range(int(LIMITS.keys_stale_seconds // 100)):
        assert (await provider.find(KNOWN)).kid == "ES256"
        await settled()
        assert (provider.healthy(), provider.generation) == (None, generation)
        clock.advance(99.9)
    assert idp.count() == 37
    clock.advance(3)
    await nobody_can_tell(provider)
    assert provider.healthy() is not None
    assert provider.generation != generation
    idp.documents[KEYS] = GOOD
    clock.advance(1)
    assert (await provider.find(KNOWN)).kid == "ES256"
    assert provider.healthy() is None


@pytest.mark.parametrize("bad", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_k_08_without_keys_from_the_start_nobody_can_tell(bad: Any) -> None:
    clock, idp = FixedClock(), Idp(bad)
    provider = by_keys(idp, clock)
    for _ in range(3):
        await nobody_can_tell(provider)
    assert idp.count() == 1
    assert provider.healthy()
    assert "canary" not in (provider.healthy() or "")
    idp.documents[KEYS] = GOOD
    clock.advance(1)
    assert (await provider.find(KNOWN)).kid == "ES256"
    assert provider.healthy() is None


async def test_k_08_while_the_provider_fails_a_kid_that_is_not_known_is_503_and_not_401() -> None:
    """It may have rotated, and nobody could hear of it."""
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    idp.documents[KEYS] = DOWN
    clock.advance(COOL_DOWN)
    for _ in range(2):
        await nobody_can_tell(provider, UNKNOWN)
        assert (await provider.find(KNOWN)).kid == "ES256"
    assert idp.count() == 2
    idp.documents[KEYS] = GOOD
    clock.advance(COOL_DOWN)
    assert await refusal(provider, UNKNOWN) == "key_unknown"


async def test_k_08_a_provider_that_was_never_reached_is_not_healthy_before_a_token_comes() -> None:
    idp = Idp(DOWN)
    provider = by_keys(idp, FixedClock())
    running = asyncio.ensure_future(provider.run())
    await settled()
    assert provider.healthy() == "no connection"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_whoever_runs_it_fetches_what_is_due_before_a_token_comes() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    provider.look()
    await settled()
    for _ in range(3):
        provider.look()
        await settled()
    assert idp.count() == 1
    clock.advance(301)
    provider.look()
    await settled()
    assert idp.count() == 2


async def test_k_09_a_hanging_provider_holds_up_no_known_kid_and_is_given_up_in_time() -> None:
    """Cold, everybody waits for as long as one fetch may take; with keys at hand, nobody does."""
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    gate = idp.hang(KEYS)
    time = LeapingTime()
    finding = [asyncio.ensure_future(provider.find(KNOWN)) for _ in range(50)]
    await time.leap_when(lambda: idp.count() == 1, LIMITS.fetch_seconds)
    told = await asyncio.gather(*finding, return_exceptions=True)
    assert all(isinstance(error, CannotTell) for error in told)
    assert provider.healthy() == "no end in time"
    gate.set()
    clock.advance(1)
    await provider.find(KNOWN)
    idp.hang(KEYS)
    clock.advance(301)
    for _ in range(50):
        with pytest.raises(StopIteration):
            provider.find(KNOWN).send(None)
    await settled()
    assert idp.count() == 3


# ---- K-11, K-12, J-07, J-22: entries of a set ----


async def test_k_11_k_12_a_bad_entry_is_left_out_with_an_alarm_and_the_good_ones_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    oct_key = {"kty": "oct", "k": "c2VjcmV0LWNhbmFyeQ", "kid": "hmac"}
    encryption = jwk(private_key("RS256"), kid="enc", use="enc")
    clock, idp = FixedClock(), Idp(keys(oct_key, encryption, *GOOD["keys"]))
    provider = by_keys(idp, clock)
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert (await provider.find(KNOWN)).kid == "ES256"
        await provider.refresh()
    assert len(caplog.records) == 1  # none for `use: enc`, which some providers publish, and one for the other, not two
    assert "corp" in caplog.text
    assert "c2VjcmV0" not in caplog.text
    for kid in ("hmac", "enc"):
        clock.advance(COOL_DOWN)
        assert await refusal(provider, of_kid(kid)) == "key_unknown"


WEAK = {
    "RSA of 1024 bits": lambda: {"kty": "RSA", "n": "w" * 171, "e": "AQAB"},
    "RSA with e = 1": lambda: {**jwk(private_key("RS256")), "e": "AQ"},
    "RSA with an even e": lambda: {**jwk(private_key("RS256")), "e": "AQAA"},
    "a point that is not on the curve": lambda: {**one_key("weak"), "y": one_key("weak", "other")["y"]},
    "a short x": lambda: {**one_key("weak"), "x": one_key("weak")["x"][:-2]},
    "secp256k1": lambda: {**one_key("weak"), "crv": "secp256k1"},
    "private parts": lambda: {**one_key("weak"), "d": "AAAA"},
    "the alg of another kind of key": lambda: {**one_key("weak"), "alg": "RS256"},
    "not an object": lambda: 7,
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK.keys())
async def test_j_22_a_weak_key_is_left_out_and_the_rest_of_the_set_is_used(
    weak: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = weak()
    entry = {**made, "kid": "weak"} if isinstance(made, dict) else made
    provider = by_keys(Idp(keys(entry, *GOOD["keys"])), FixedClock())
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert (await provider.find(KNOWN)).kid == "ES256"
    assert len(caplog.records) == 1
    assert await refusal(provider, of_kid("weak")) == "key_unknown"


async def test_j_07_one_kid_for_two_keys_names_neither(caplog: pytest.LogCaptureFixture) -> None:
    both = keys(one_key("twice"), one_key("twice", "other"), *GOOD["keys"])
    with caplog.at_level(logging.WARNING, "counterseal"):
        provider = by_keys(Idp(both), FixedClock())
        assert await refusal(provider, of_kid("twice")) == "key_unknown"
        assert (await provider.find(KNOWN)).kid == "ES256"
    assert caplog.text.count("same `kid`") == 2
    assert (
        await by_keys(Idp(keys(one_key("twice"), one_key("twice"))), FixedClock()).find(of_kid("twice"))
    ).kid == "twice"


async def test_a_member_that_only_one_provider_knows_chooses_no_key() -> None:
    """Entra writes an `issuer` into each key; it means nothing here, whatever it says."""
    entry = {**one_key("ES256"), "issuer": "https://evil.example/{tenantid}/v2.0", "x5t": "AAAA", "x5c": ["AAAA"]}
    provider = by_keys(Idp(keys(entry)), FixedClock())
    assert (await provider.find(of_kid("ES256", iss="https://other.example"))).kid == "ES256"


# ---- K-13, J-29: rotation ----


async def test_k_13_a_new_key_is_found_after_the_cool_down_and_a_removed_one_is_not() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    idp.documents[KEYS] = keys(one_key("new", "new"))
    assert await refusal(provider, of_kid("new")) == "key_unknown"
    clock.advance(COOL_DOWN)
    assert (await provider.find(of_kid("new"))).kid == "new"
    assert await refusal(provider, KNOWN) == "key_unknown"


async def test_k_13_where_keys_overlap_ten_tokens_a_second_see_no_wrong_refusal() -> None:
    """Old key alone, both, signing with the new, new alone: each for one life. The provider keeps all of its promises."""
    clock, idp = FixedClock(), Idp(keys(one_key("old")))
    provider = by_keys(idp, clock)
    signed = {kid: of_kid(kid) for kid in ("old", "new")}
    phases = [
        (keys(one_key("old")), "old"),
        (keys(one_key("old"), one_key("new", "new")), "old"),
        (keys(one_key("old"), one_key("new", "new")), "new"),
        (keys(one_key("new", "new")), "new"),
    ]
    for document, signing in phases:
        idp.documents[KEYS] = document
        for _ in range(3050):  # a life of 300 s, and then some
            assert (await provider.find(signed[signing])).kid == signing
            clock.advance(0.1)
        await settled()
    assert await refusal(provider, signed["old"]) == "key_unknown"
    assert 4 <= idp.count() <= 6


async def test_k_13_another_key_under_a_known_kid_is_an_alarm_and_waits_for_a_full_refresh(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, idp = FixedClock(), Idp(keys(one_key("a"), one_key("b")))
    provider = by_keys(idp, clock)
    old = await provider.find(of_kid("a"))
    idp.documents[KEYS] = keys(one_key("a", "other"), one_key("b"), one_key("c"))
    clock.advance(COOL_DOWN)
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert (await provider.find(of_kid("c"))).kid == "c"  # brought about by a token: new ids only
    assert caplog.messages == ["issuer corp: another key than before has the kid 'a'"]
    for _ in range(2):
        await nobody_can_tell(provider, of_kid("a"))
    assert (await provider.find(of_kid("b"))).kid == "b"
    assert idp.count() == 2
    clock.advance(COOL_DOWN)
    assert (await provider.find(of_kid("b"))).kid == "b"  # and a full refresh in the background
    await settled()
    assert idp.count() == 3
    new = await provider.find(of_kid("a"))
    assert new.thumbprint != old.thumbprint
    presented = strict.read(token(access_claims(), header={"kid": "a"}, key=private_key("ES256", "other")), LIMITS)
    assert jws.verify(presented, new)
    with pytest.raises(TokenRefused):
        jws.verify(presented, old)


async def test_k_13_a_token_without_a_kid_meets_no_key_that_waits() -> None:
    clock, idp = FixedClock(), Idp(keys(one_key("a")))
    provider = by_keys(idp, clock)
    without = strict.read(token(access_claims(), header=b'{"alg":"ES256"}'), LIMITS)
    assert (await provider.find(without)).kid == "a"
    idp.documents[KEYS] = keys(one_key("a", "other"))
    clock.advance(COOL_DOWN)
    assert await refusal(provider, UNKNOWN) == "key_unknown"
    await nobody_can_tell(provider, without)
    clock.advance(COOL_DOWN)
    provider.look()
    await settled()
    assert (await provider.find(without)).kid == "a"


@pytest.mark.parametrize("full", ["refresh", "life"])
async def test_k_13_a_full_refresh_takes_the_other_key_and_tells(full: str, caplog: pytest.LogCaptureFixture) -> None:
    clock, idp = FixedClock(), Idp(keys(one_key("a")))
    provider = by_keys(idp, clock)
    old = await provider.find(of_kid("a"))
    idp.documents[KEYS] = keys(one_key("a", "other"))
    with caplog.at_level(logging.WARNING, "counterseal"):
        if full == "refresh":
            await provider.refresh()
        else:
            clock.advance(301)
            assert await provider.find(of_kid("a")) == old
            await settled()
        assert (await provider.find(of_kid("a"))).thumbprint != old.thumbprint
        await provider.refresh()
    assert len(caplog.records) == 1


async def test_a_kid_in_the_log_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    idp = Idp(keys(one_key("a\nforged\x1b[2J")))
    provider = by_keys(idp, FixedClock())
    await provider.refresh()
    idp.documents[KEYS] = keys(one_key("a\nforged\x1b[2J", "other"))
    with caplog.at_level(logging.WARNING, "counterseal"):
        await provider.refresh()
    assert caplog.messages[0].isprintable()


async def test_j_29_the_generation_changes_with_the_keys_in_force_and_with_nothing_else() -> None:
    clock, idp = FixedClock(), Idp(keys(one_key("a"), one_key("b")))
    provider = by_keys(idp, clock)
    seen = [provider.generation]

    async def now(*entries: dict[str, Any] | Exception, changed: bool) -> None:
        failing = entries and isinstance(entries[0], Exception)
        idp.documents[KEYS] = entries[0] if failing else {"keys": list(entries)}
        await provider.refresh()
        assert provider.generation == provider.generation
        assert (provider.generation not in seen) is changed
        seen.append(provider.generation)

    await now(one_key("a"), one_key("b"), changed=True)
    await now(one_key("b"), one_key("a"), changed=False)  # in another order
    await now({**one_key("a"), "x5t": "AAAA"}, one_key("b"), changed=False)
    await now(DOWN, changed=False)
    await now(one_key("a"), changed=True)  # removed
    await now(one_key("a"), one_key("c"), changed=True)  # added
    await now(one_key("a", "other"), one_key("c"), changed=True)  # replaced
    await now({**one_key("a", "other"), "alg": "ES384"}, one_key("c"), changed=True)  # of no use any more
    idp.documents[KEYS] = DOWN
    clock.advance(300 + LIMITS.keys_stale_seconds)
    assert provider.generation == seen[-1]
    clock.advance(0.001)
    assert provider.generation not in seen  # they may not be used any more


async def test_j_29_a_key_that_was_removed_is_not_found_a_moment_after_the_refresh() -> None:
    idp = Idp(keys(one_key("a"), one_key("b")))
    provider = by_keys(idp, FixedClock())
    assert (await provider.find(of_kid("a"))).kid == "a"
    before = provider.generation
    idp.documents[KEYS] = keys(one_key("b"))
    await provider.refresh()
    assert provider.generation != before
    assert await refusal(provider, of_kid("a")) == "key_unknown"
    assert (await provider.find(of_kid("b"))).kid == "b"


async def test_k_14_keys_live_as_long_as_their_provider_says() -> None:
    clock, idp = FixedClock(), Idp()
    idp.max_age[KEYS] = 120
    provider = by_keys(idp, clock)
    await provider.find(KNOWN)
    clock.advance(120)
    await provider.find(KNOWN)
    await settled()
    assert idp.count() == 1
    clock.advance(0.001)
    await provider.find(KNOWN)
    await settled()
    assert idp.count() == 2


# ---- K-15, J-06: two issuers ----


async def test_j_06_k_15_the_same_kid_at_two_issuers_names_two_keys() -> None:
    clock = FixedClock()
    one, two = by_keys(Idp(keys(one_key("1"))), clock), by_keys(Idp(keys(one_key("1", "other"))), clock)
    of_two = strict.read(token(access_claims(), header={"kid": "1"}, key=private_key("ES256", "other")), LIMITS)
    assert jws.verify(of_two, await two.find(of_two))
    with pytest.raises(TokenRefused, match="signature"):
        jws.verify(of_two, await one.find(of_two))


async def test_k_15_two_issuers_at_one_address_have_their_own_keys() -> None:
    clock, idp = FixedClock(), Idp()
    first, second = by_keys(idp, clock), by_keys(idp, clock)
    await first.find(KNOWN)
    idp.documents[KEYS] = jwks("RS256")
    assert await refusal(second, KNOWN) == "key_unknown"
    assert (await first.find(KNOWN)).kid == "ES256"


@pytest.mark.parametrize("addresses", [{}, {"discovery_uri": f"{ISSUER}/d", "jwks_uri": KEYS}])
def test_a_provider_has_either_a_discovery_document_or_an_address_for_its_keys(addresses: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either"):
        Provider(
            "corp",
            issuer=ISSUER,
            discovery_uri=addresses.get("discovery_uri"),
            jwks_uri=addresses.get("jwks_uri"),
            jwks_hosts=(),
            fetch=Idp(),
            clock=FixedClock(),
            limits=LIMITS,
        )
