"""One identity provider's keys: how often they are asked for, and what serves while they cannot be had."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell
from counterseal.httpclient import Client
from counterseal.identity.fetch import Document, FetchFailed, HttpFetch
from counterseal.identity.jwks import RemoteKeys
from counterseal.jose import strict
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified
from tests.support.jwks_server import JwksServer
from tests.support.tokens import FixedClock, access_claims, jwk, jwks, private_key, token

GOOD = jwks("ES256")


def of_kid(kid: str) -> Unverified:
    return strict.read(token(access_claims(), header={"kid": kid}), LIMITS)


KNOWN = of_kid("ES256")
UNKNOWN = of_kid("made-up")


class Provider:
    """Answers with a document, or a failure, and counts."""

    def __init__(self, document: Any = GOOD, max_age: int | None = None) -> None:
        self.document = document
        self.max_age = max_age
        self.count = 0

    async def __call__(self, url: str) -> Document:
        self.count += 1
        if isinstance(self.document, Exception):
            raise self.document
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        return Document(body, self.max_age)


def keys_of(provider: Provider, clock: FixedClock) -> RemoteKeys:
    return RemoteKeys("corp", "https://idp.example.com/jwks", provider, clock, LIMITS)


async def settled() -> None:
    """Until what was started in the background has run: nothing here waits for anything but the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer(GOOD) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


async def test_keys_are_fetched_at_the_first_token_and_kept() -> None:
    provider = Provider()
    keys = keys_of(provider, FixedClock())
    assert provider.count == 0
    for _ in range(3):
        assert (await keys.find(KNOWN)).kid == "ES256"
    assert provider.count == 1


async def test_k_06_a_thousand_calls_at_a_cold_start_make_one_fetch(server: JwksServer, client: Client) -> None:
    keys = RemoteKeys("corp", server.url, HttpFetch(client, LIMITS, LIMITS.jwks_bytes), FixedClock(), LIMITS)
    server.gate.clear()
    calls = [asyncio.ensure_future(keys.find(KNOWN)) for _ in range(1000)]
    await settled()
    server.gate.set()
    assert {key.kid for key in await asyncio.gather(*calls)} == {"ES256"}
    assert server.count == 1


async def test_a_caller_who_leaves_does_not_end_the_fetch_that_others_wait_for(
    server: JwksServer, client: Client
) -> None:
    keys = RemoteKeys("corp", server.url, HttpFetch(client, LIMITS, LIMITS.jwks_bytes), FixedClock(), LIMITS)
    server.gate.clear()
    leaving, staying = (asyncio.ensure_future(keys.find(KNOWN)) for _ in range(2))
    await settled()
    leaving.cancel()
    await settled()
    server.gate.set()
    assert (await staying).kid == "ES256"
    assert leaving.cancelled()
    assert server.count == 1


async def test_k_05_a_flood_of_made_up_ids_makes_one_fetch_in_a_cool_down(server: JwksServer, client: Client) -> None:
    clock = FixedClock()
    keys = RemoteKeys("corp", server.url, HttpFetch(client, LIMITS, LIMITS.jwks_bytes), clock, LIMITS)
    await keys.find(KNOWN)
    clock.advance(LIMITS.refetch_cooldown_seconds)
    flood = [of_kid(f"made-up-{number}") for number in range(200)]
    for _ in range(2):
        told = await asyncio.gather(*map(keys.find, flood), return_exceptions=True)
        assert {error.code for error in told if isinstance(error, TokenRefused)} == {"key_unknown"}
    assert server.count == 2
    clock.advance(LIMITS.refetch_cooldown_seconds - 0.001)
    with pytest.raises(TokenRefused):
        await keys.find(UNKNOWN)
    assert server.count == 2
    clock.advance(0.001)
    with pytest.raises(TokenRefused):
        await keys.find(UNKNOWN)
    assert server.count == 3


async def test_k_13_a_new_key_is_found_after_the_cool_down_and_a_removed_one_is_not() -> None:
    clock, provider = FixedClock(), Provider()
    keys = keys_of(provider, clock)
    await keys.find(KNOWN)
    provider.document = {"keys": [jwk(private_key("ES256", "new"), kid="new", alg="ES256")]}
    with pytest.raises(TokenRefused):
        await keys.find(of_kid("new"))
    clock.advance(LIMITS.refetch_cooldown_seconds)
    assert (await keys.find(of_kid("new"))).kid == "new"
    with pytest.raises(TokenRefused):
        await keys.find(KNOWN)


async def test_an_algorithm_that_the_key_does_not_have_asks_nobody() -> None:
    clock, provider = FixedClock(), Provider()
    keys = keys_of(provider, clock)
    await keys.find(KNOWN)
    clock.advance(LIMITS.refetch_cooldown_seconds)
    with pytest.raises(TokenRefused) as refused:
        await keys.find(strict.read(token(access_claims(), "ES384", header={"kid": "ES256"}), LIMITS))
    assert refused.value.code == "algorithm"
    assert provider.count == 1


@pytest.mark.parametrize(
    ("max_age", "life"), [(None, 300), (0, 60), (59, 60), (61, 61), (3600, 3600), (3601, 3600), (999_999_999, 3600)]
)
async def test_k_14_keys_live_as_long_as_their_provider_says_between_a_minute_and_an_hour(
    max_age: int | None, life: int
) -> None:
    clock, provider = FixedClock(), Provider(max_age=max_age)
    keys = keys_of(provider, clock)
    await keys.find(KNOWN)
    clock.advance(life)
    await keys.find(KNOWN)
    await settled()
    assert provider.count == 1
    clock.advance(0.001)
    await keys.find(KNOWN)
    await settled()
    assert provider.count == 2


BAD_DOCUMENTS = {
    "unreachable": FetchFailed("no connection"),
    "html": b"<html>503</html>",
    "nothing": b"",
    "no keys": {"keys": []},
    "keys of another kind": {"keys": [{"kty": "oct", "k": "AAAA"}]},
    "not a set": [],
    "null": {"keys": None},
    "too large": b'{"keys": []' + b" " * LIMITS.jwks_bytes + b"}",
    "too many": {"keys": GOOD["keys"] * (LIMITS.jwks_keys + 1)},
    "duplicate members": b'{"keys": [], "keys": []}',
    "deep": b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("bad", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_k_07_a_failed_refresh_leaves_the_good_keys_until_the_limit(bad: Any) -> None:
    clock, provider = FixedClock(), Provider()
    keys = keys_of(provider, clock)
    await keys.find(KNOWN)
    provider.document = bad
    clock.advance(301)
    await keys.find(KNOWN)
    await settled()
    assert provider.count == 2
    assert keys.healthy() is None
    clock.advance(LIMITS.keys_stale_seconds - 301)
    assert (await keys.find(KNOWN)).kid == "ES256"
    clock.advance(1)
    with pytest.raises(CannotTell) as told:
        await keys.find(KNOWN)
    assert told.value.reason.code == "identity_unavailable"
    assert keys.healthy() is not None


@pytest.mark.parametrize("bad", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_k_08_without_keys_from_the_start_nobody_can_tell(bad: Any) -> None:
    clock, provider = FixedClock(), Provider(bad)
    keys = keys_of(provider, clock)
    for _ in range(3):
        with pytest.raises(CannotTell) as told:
            await keys.find(KNOWN)
        assert (told.value.reason.status, told.value.reason.code) == (503, "identity_unavailable")
    assert provider.count == 1
    assert keys.healthy() is not None
    provider.document = GOOD
    clock.advance(1)
    assert (await keys.find(KNOWN)).kid == "ES256"
    assert keys.healthy() is None


async def test_k_08_while_the_provider_fails_a_kid_that_is_not_known_is_503_and_not_401() -> None:
    """It may have rotated, and nobody could hear of it."""
    clock, provider = FixedClock(), Provider()
    keys = keys_of(provider, clock)
    await keys.find(KNOWN)
    provider.document = FetchFailed("no connection")
    clock.advance(LIMITS.refetch_cooldown_seconds)
    for _ in range(2):
        with pytest.raises(CannotTell) as told:
            await keys.find(UNKNOWN)
        assert told.value.reason.code == "identity_unavailable"
        assert (await keys.find(KNOWN)).kid == "ES256"
    assert provider.count == 2
    provider.document = GOOD
    clock.advance(LIMITS.refetch_cooldown_seconds)
    with pytest.raises(TokenRefused):
        await keys.find(UNKNOWN)


async def test_whatever_a_fetch_raises_nobody_is_let_in_and_the_next_one_may_succeed() -> None:
    clock, provider = FixedClock(), Provider(RuntimeError("a defect"))
    keys = keys_of(provider, clock)
    with pytest.raises(CannotTell):
        await keys.find(KNOWN)
    provider.document = GOOD
    clock.advance(1)
    assert (await keys.find(KNOWN)).kid == "ES256"


async def test_k_11_k_12_a_bad_entry_is_left_out_with_an_alarm_and_the_good_ones_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    oct_key = {"kty": "oct", "k": "c2VjcmV0LWNhbmFyeQ", "kid": "hmac"}
    encryption = jwk(private_key("RS256"), kid="enc", use="enc")
    provider = Provider({"keys": [oct_key, encryption, *GOOD["keys"]]})
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert (await keys_of(provider, FixedClock()).find(KNOWN)).kid == "ES256"
    assert len(caplog.records) == 1  # none for `use: enc`, which some providers publish
    assert "corp" in caplog.text
    assert "c2VjcmV0" not in caplog.text


async def test_k_09_a_hanging_provider_holds_up_no_other(server: JwksServer, client: Client) -> None:
    fetch = HttpFetch(client, LIMITS, LIMITS.jwks_bytes)
    server.gate.clear()
    hanging = asyncio.ensure_future(RemoteKeys("slow", server.url, fetch, FixedClock(), LIMITS).find(KNOWN))
    with JwksServer(GOOD) as other:
        keys = RemoteKeys("other", other.url, fetch, FixedClock(), LIMITS)
        assert (await asyncio.wait_for(keys.find(KNOWN), 2)).kid == "ES256"
    assert not hanging.done()
    server.gate.set()
    assert (await hanging).kid == "ES256"


async def test_k_15_two_issuers_at_one_address_have_their_own_keys() -> None:
    clock, one, other = FixedClock(), Provider(), Provider(jwks("RS256"))
    first, second = keys_of(one, clock), keys_of(other, clock)
    await first.find(KNOWN)
    with pytest.raises(TokenRefused):
        await second.find(KNOWN)
