"""The gateway's keys at a server: fetched rarely, kept while they are good, never guessed."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.jose import strict
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.verify import CannotVerify
from counterseal.verify.fetch import Document, Unreachable
from counterseal.verify.keys import CachedKeys, FixedKeys, Keys, keys_from, life_of
from tests.support.tokens import FixedClock, access_claims, jwk, jwks, private_key, token


class Place:
    """Where keys are loaded from: a document, or nothing while it is down."""

    def __init__(self, *algorithms: str) -> None:
        self.document: Any = jwks(*algorithms)
        self.cache_control: str | None = "max-age=300"
        self.down = False
        self.count = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def load(self) -> Document:
        self.count += 1
        self.asked.set()
        self.gate.wait(60)
        if self.down:
            raise Unreachable("it is down")
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        return Document(body, self.cache_control)


def find(keys: Keys, kid: str) -> Key:
    """Drive one search to its end."""
    flow = keys.find(strict.read(token(access_claims(), header={"kid": kid}), LIMITS))
    try:
        flight = next(flow)
        while True:
            done, _ = wait_for([flight], timeout=60)
            flight = flow.send(bool(done))
    except StopIteration as finished:
        key: Key = finished.value
        return key


def cached(place: Place) -> tuple[CachedKeys, FixedClock]:
    clock = FixedClock()
    return CachedKeys(place.load, clock, LIMITS), clock


# ---- life ----


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 300),
        ("max-age=300", 300),
        ("public, max-age=600", 600),
        ('max-age="120"', 120),
        ("MAX-AGE=90", 90),
        ("max-age=0", 60),
        ("max-age=59", 60),
        ("max-age=61", 61),
        ("max-age=3600", 3600),
        ("max-age=3601", 3600),
        ("max-age=315360000", 3600),
        ("max-age=99999999999999999999", 300),
        ("max-age=-5", 300),
        ("max-age=abc", 300),
        ("max-age", 300),
        ("max-age=600,max-age=120", 120),
        ("no-store", 60),
        ("no-cache, max-age=900", 60),
        ("s-maxage=5", 300),
        ("\u0663", 300),
    ],
)
def test_the_life_of_keys_is_held_between_a_minute_and_an_hour(header: str | None, seconds: float) -> None:
    """K-14."""
    assert life_of(header) == seconds


def test_keys_are_fetched_once_while_they_are_fresh() -> None:
    place = Place("ES256")
    keys, clock = cached(place)
    for _ in range(3):
        assert find(keys, "ES256").kid == "ES256"
    clock.advance(299.9)
    find(keys, "ES256")
    assert place.count == 1
    clock.advance(0.1)
    find(keys, "ES256")
    assert place.count == 2


def test_a_wall_clock_that_steps_changes_nothing() -> None:
    """J-16."""
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    clock.step(+86400)
    find(keys, "ES256")
    clock.step(-2 * 86400)
    find(keys, "ES256")
    assert place.count == 1


# ---- rotation ----


def test_a_new_key_is_found_at_its_first_token() -> None:
    """K-13."""
    place = Place("ES256")
    keys, _ = cached(place)
    find(keys, "ES256")
    place.document["keys"].append(jwk(private_key("ES256", "next"), kid="next"))
    assert find(keys, "next").kid == "next"
    assert place.count == 2


def test_an_old_key_ends_with_the_life_of_the_set() -> None:
    """K-13."""
    place = Place("ES256", "ES384")
    keys, clock = cached(place)
    find(keys, "ES256")
    place.document = jwks("ES384")
    find(keys, "ES256")
    clock.advance(300)
    with pytest.raises(TokenRefused):
        find(keys, "ES256")


def test_unknown_kids_cause_one_fetch_in_thirty_seconds() -> None:
    """K-05: distinct and same ones; good tokens go on."""
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    for number in range(50):
        with pytest.raises(TokenRefused):
            find(keys, f"unknown-{number % 40}")
        find(keys, "ES256")
    assert place.count == 2
    clock.advance(29.9)
    with pytest.raises(TokenRefused):
        find(keys, "unknown")
    assert place.count == 2
    clock.advance(0.1)
    with pytest.raises(TokenRefused):
        find(keys, "unknown")
    assert place.count == 3


def test_an_unknown_kid_at_the_first_call_costs_one_fetch() -> None:
    place = Place("ES256")
    keys, _ = cached(place)
    with pytest.raises(TokenRefused):
        find(keys, "unknown")
    assert place.count == 1


# ---- many at once ----


def test_a_hundred_callers_at_the_start_wait_for_one_fetch() -> None:
    """K-06."""
    place = Place("ES256")
    place.gate.clear()
    keys, _ = cached(place)
    with ThreadPoolExecutor(100) as pool:
        searches = [pool.submit(find, keys, "ES256") for _ in range(100)]
        assert place.asked.wait(60)
        place.gate.set()
        assert {search.result(20).kid for search in searches} == {"ES256"}
    assert place.count == 1


def test_an_unknown_kid_waits_for_a_fetch_that_is_under_way() -> None:
    """The second token of a new key is not refused because the first one's fetch still runs."""
    place = Place("ES256")
    keys, _ = cached(place)
    find(keys, "ES256")
    place.document["keys"].append(jwk(private_key("ES256", "next"), kid="next"))
    place.gate.clear()
    place.asked.clear()
    with ThreadPoolExecutor(20) as pool:
        searches = [pool.submit(find, keys, "next") for _ in range(20)]
        assert place.asked.wait(60)
        place.gate.set()
        assert {search.result(20).kid for search in searches} == {"next"}
    assert place.count == 2


def test_keys_that_came_while_somebody_looked_are_looked_at_before_a_refusal() -> None:
    """The fetch of another ends between the look at the old keys and the question whether one may fetch."""
    place = Place("ES256")
    keys, _ = cached(place)
    find(keys, "ES256")
    place.document["keys"].append(jwk(private_key("ES256", "next"), kid="next"))
    may_refetch = keys._may_refetch

    def late() -> bool:
        keys._may_refetch = may_refetch  # type: ignore[method-assign]
        assert find(keys, "next").kid == "next"
        return may_refetch()

    keys._may_refetch = late  # type: ignore[method-assign]
    assert find(keys, "next").kid == "next"
    assert place.count == 2
    with pytest.raises(TokenRefused):
        find(keys, "gone")
    assert place.count == 2


# ---- out of reach ----


def test_stale_keys_are_good_for_an_hour_and_then_nobody_can_tell() -> None:
    """K-08."""
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    place.down = True
    clock.advance(300)
    assert find(keys, "ES256").kid == "ES256"
    clock.advance(3599.9)
    assert find(keys, "ES256").kid == "ES256"
    clock.advance(0.1)
    with pytest.raises(CannotVerify) as caught:
        find(keys, "ES256")
    assert caught.value.status == 503
    place.down = False
    clock.advance(1)
    assert find(keys, "ES256").kid == "ES256"


def test_while_stale_keys_are_used_the_place_is_asked_every_thirty_seconds() -> None:
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    place.down = True
    clock.advance(300)
    for _ in range(10):
        find(keys, "ES256")
    assert place.count == 2
    clock.advance(30)
    find(keys, "ES256")
    assert place.count == 3


def test_without_any_keys_nobody_can_tell_and_the_place_is_not_hammered() -> None:
    """K-08."""
    place = Place("ES256")
    place.down = True
    keys, clock = cached(place)
    for _ in range(10):
        with pytest.raises(CannotVerify, match="it is down"):
            find(keys, "ES256")
    assert place.count == 1
    place.down = False
    clock.advance(1)
    assert find(keys, "ES256").kid == "ES256"


def test_an_unknown_kid_is_not_refused_while_the_place_is_down() -> None:
    """503 and never 401: the gateway may have a new key."""
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    place.down = True
    for _ in range(3):
        with pytest.raises(CannotVerify):
            find(keys, "next")
    assert place.count == 2
    assert find(keys, "ES256").kid == "ES256"
    place.down = False
    clock.advance(30)
    with pytest.raises(TokenRefused):
        find(keys, "next")


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b'{"keys":[]}', {"keys": [{"kty": "oct", "k": "AAAA"}]}, b"x" * (256 * 1024 + 1)]
)
def test_a_bad_document_never_wipes_good_keys(document: Any) -> None:
    """K-07."""
    place = Place("ES256")
    keys, clock = cached(place)
    find(keys, "ES256")
    good, place.document = place.document, document
    clock.advance(300)
    assert find(keys, "ES256").kid == "ES256"
    clock.advance(3600)
    with pytest.raises(CannotVerify):
        find(keys, "ES256")
    place.document = good
    clock.advance(1)
    assert find(keys, "ES256").kid == "ES256"


def test_whatever_goes_wrong_while_loading_wakes_those_who_wait() -> None:
    def broken() -> Document:
        raise RuntimeError("a bug")

    with pytest.raises(CannotVerify, match="RuntimeError"):
        find(CachedKeys(broken, FixedClock(), LIMITS), "ES256")


def test_who_waits_too_long_is_told_and_the_next_one_does_not_wait() -> None:
    """K-09: a place that never answers holds up one caller for a while, and the others not at all."""
    place = Place("ES256")
    place.gate.clear()
    keys, _ = cached(place)
    unverified = strict.read(token(access_claims()), LIMITS)
    first = keys.find(unverified)
    next(first)
    with pytest.raises(CannotVerify, match="in time"):
        first.send(False)
    with pytest.raises(CannotVerify):
        next(keys.find(unverified))
    place.gate.set()


# ---- other places ----


def test_a_jwks_that_is_handed_over_is_used_as_it_is() -> None:
    keys = keys_from(jwks("ES256"), allow_insecure=False, clock=FixedClock(), limits=LIMITS)
    assert isinstance(keys, FixedKeys)
    assert find(keys, "ES256").kid == "ES256"
    with pytest.raises(TokenRefused):
        find(keys, "unknown")
    with pytest.raises(ValueError, match="no usable key"):
        keys_from({"keys": []}, allow_insecure=False, clock=FixedClock(), limits=LIMITS)


def test_a_file_is_read_again_for_an_unknown_kid(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks("ES256")))
    keys = keys_from(str(file), allow_insecure=False, clock=FixedClock(), limits=LIMITS)
    assert find(keys, "ES256").kid == "ES256"
    file.write_text(json.dumps({"keys": [jwk(private_key("ES256", "next"), kid="next")]}))
    assert find(keys, "ES256").kid == "ES256"
    assert find(keys, "next").kid == "next"


def test_a_file_that_is_missing_is_out_of_reach(tmp_path: Path) -> None:
    keys = keys_from(tmp_path / "missing.json", allow_insecure=False, clock=FixedClock(), limits=LIMITS)
    with pytest.raises(CannotVerify, match="cannot be read"):
        find(keys, "ES256")


def test_a_dropped_key_is_logged_and_a_quiet_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """K-12."""
    place = Place("ES256")
    place.document["keys"] += [{"kty": "oct", "k": "c2VjcmV0"}, jwk(private_key("RS256"), use="enc")]
    keys, _ = cached(place)
    find(keys, "ES256")
    assert [record.getMessage() for record in caplog.records] == [
        "key 1 of the gateway's set was dropped: a symmetric key is published"
    ]
