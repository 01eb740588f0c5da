"""A look at what an identity provider has: everything that is wrong is told, and nothing that is wrong is followed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from counterseal.core.limits import LIMITS
from counterseal.identity.fetch import Document, FetchFailed
from counterseal.identity.inspection import (
    NONE_USABLE,
    Answered,
    Findings,
    FoundKey,
    Problem,
    Source,
    Tried,
    inspect,
    inspect_endpoint,
)
from tests.identity.introspecting import Answers, endpoint
from tests.identity.providing import DISCOVERY, DOWN, GOOD, ISSUER, KEYS, Idp, keys, one_key
from tests.support.leaping import LeapingTime
from tests.support.tokens import NOW, FixedClock, jwk, private_key

BY_DISCOVERY = Source(ISSUER, DISCOVERY, None, ())
BY_KEYS = Source(ISSUER, None, KEYS, ())
CAME = Answered()
SYMMETRIC = {"kty": "oct", "k": "AAAA"}


async def looked_at(idp: Any, source: Source = BY_DISCOVERY, clock: FixedClock | None = None) -> Findings:
    return await inspect(source, idp, clock or FixedClock(), LIMITS)


async def test_an_inspection_says_what_there_is() -> None:
    idp = Idp(id_token_signing_alg_values_supported=["RS256", "ES256"])
    idp.max_age = {KEYS: 600}
    found = Findings(
        issuer=ISSUER,
        jwks_uri=KEYS,
        algorithms=("RS256", "ES256"),
        keys=(FoundKey("ES256", ("ES256",), None),),
        discovery=Answered(None),
        key_set=Answered(600),
    )
    assert await looked_at(idp) == found
    assert await looked_at(idp, BY_KEYS) == dataclasses.replace(found, issuer=None, algorithms=(), discovery=None)
    assert idp.asked == [DISCOVERY, KEYS, KEYS]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (jwk(private_key("RS256"), kid="enc", use="enc"), FoundKey("enc", (), "`use` is not `sig`")),
        (
            jwk(rsa.generate_private_key(65537, 1024), kid="small"),
            FoundKey("small", (), "an RSA key of less than 2048 bits", alarm=True),
        ),
        (SYMMETRIC, FoundKey(None, (), "a symmetric key is published", alarm=True, leaked=True)),
        (
            one_key("whole") | {"d": "AAAA"},
            FoundKey("whole", (), "private parts are published", alarm=True, leaked=True),
        ),
        ("x", FoundKey(None, (), "not an object", alarm=True)),
    ],
    ids=["encryption", "small", "symmetric", "private", "no object"],
)
async def test_k_11_k_12_a_key_that_is_not_used_is_told_with_its_reason(entry: Any, found: FoundKey) -> None:
    good = FoundKey("ES256", ("ES256",), None)
    assert (await looked_at(Idp(keys(*GOOD["keys"], entry)))).keys == (good, found)


async def test_j_07_two_keys_of_one_kid_are_both_told() -> None:
    idp = Idp(keys(one_key("same"), one_key("same", "other"), *GOOD["keys"]))
    found = (await looked_at(idp)).keys
    assert [key.kid for key in found] == ["ES256", "same", "same"]
    assert {key.problem for key in found[1:]} == {"another key has the same `kid`"}


@pytest.mark.parametrize(
    ("documents", "said", "at", "problem"),
    [
        ({DISCOVERY: DOWN}, Findings(), "discovery", "no connection"),
        ({DISCOVERY: b"{"}, Findings(), "discovery", "not strict JSON"),
        ({DISCOVERY: ValueError("c4n4ry")}, Findings(), "discovery", "ValueError"),
        (
            {DISCOVERY: {"issuer": f"{ISSUER}/", "jwks_uri": KEYS}},
            Findings(issuer=f"{ISSUER}/", jwks_uri=KEYS, discovery=CAME),
            "issuer",
            "a slash at the end",
        ),
        (
            {DISCOVERY: {"issuer": ISSUER, "jwks_uri": "https://evil.example/k"}},
            Findings(issuer=ISSUER, jwks_uri="https://evil.example/k", discovery=CAME),
            "jwks_uri",
            "add evil.example to `jwks_hosts`",
        ),
        ({DISCOVERY: {"issuer": ISSUER}}, Findings(issuer=ISSUER, discovery=CAME), "jwks_uri", "has no `jwks_uri`"),
        ({KEYS: DOWN}, Findings(issuer=ISSUER, jwks_uri=KEYS, discovery=CAME), "keys", "no connection"),
        (
            {KEYS: b"[]"},
            Findings(issuer=ISSUER, jwks_uri=KEYS, discovery=CAME, key_set=CAME),
            "keys",
            "array `keys`",
        ),
        (
            {KEYS: keys(SYMMETRIC)},
            Findings(
                issuer=ISSUER,
                jwks_uri=KEYS,
                keys=(FoundKey(None, (), "a symmetric key is published", alarm=True, leaked=True),),
                discovery=CAME,
                key_set=CAME,
            ),
            "keys",
            NONE_USABLE,
        ),
    ],
    ids=["down", "not JSON", "an error of ours", "issuer", "host", "no address", "keys down", "no set", "none usable"],
)
async def test_what_failed_is_told_with_what_came_before_it(
    documents: dict[str, Any], said: Findings, at: str, problem: str
) -> None:
    """K-01, K-02: no keys are asked for where a token could not lead there."""
    idp = Idp()
    idp.documents.update(documents)
    found = await looked_at(idp)
    (told,) = found.problems
    assert (told.at, problem in told.text, "c4n4ry" in told.text) == (at, True, False)
    assert dataclasses.replace(found, problems=()) == said
    assert "https://evil.example/k" not in idp.asked


async def test_k_01_k_02_another_issuer_and_another_host_are_told_at_once() -> None:
    idp = Idp(issuer="https://evil.example", jwks_uri="http://evil.example/k")
    found = await looked_at(idp)
    assert [problem.at for problem in found.problems] == ["issuer", "jwks_uri"]
    assert idp.asked == [DISCOVERY]


async def test_where_no_other_host_can_be_allowed_no_key_for_it_is_named() -> None:
    idp = Idp(jwks_uri="https://keys.example.net/k")
    (problem,) = (await looked_at(idp, dataclasses.replace(BY_DISCOVERY, jwks_hosts=None))).problems
    assert problem.text.endswith("if that is right, configure it in place of the document")


async def test_k_09_both_documents_together_are_given_up_in_the_time_for_one() -> None:
    idp = Idp()
    slow, _ = idp.hang(DISCOVERY), idp.hang(KEYS)
    time = LeapingTime()
    inspecting = asyncio.ensure_future(inspect(BY_DISCOVERY, idp, FixedClock(), LIMITS))
    await time.leap_when(lambda: idp.asked == [DISCOVERY], 0.6 * LIMITS.fetch_seconds)
    slow.set()
    await time.leap_when(lambda: idp.asked == [DISCOVERY, KEYS], 0.6 * LIMITS.fetch_seconds)
    found = await inspecting
    assert (found.issuer, found.problems) == (ISSUER, (Problem("keys", "no end in time"),))


# ---- the clock of whoever answered ----


class Slow:
    """Answers after some seconds of our clock, with what the other clock says at some moment."""

    def __init__(self, clock: FixedClock, seconds: float, date: float | None) -> None:
        self.clock, self.seconds, self.date = clock, seconds, date

    async def __call__(self, url: str) -> Document:
        self.clock.advance(self.seconds)
        return Document(json.dumps(GOOD).encode(), None, self.date)


@pytest.mark.parametrize(
    ("seconds", "date", "ahead"),
    [
        (0, NOW, 0),
        (0, NOW - 1, 0),
        (4, NOW - 1, 0),
        (4, NOW + 4, 0),
        (4, NOW + 5, 1),
        (0, NOW + 95, 95),
        (0, NOW - 2, -1),
        (4, NOW - 91, -90),
        (0, None, None),
    ],
)
async def test_a_clock_is_ahead_or_behind_only_as_far_as_is_certain(
    seconds: float, date: float | None, ahead: float | None
) -> None:
    """A date is cut to the second, and nobody knows when in an exchange it was read."""
    clock = FixedClock()
    found = await looked_at(Slow(clock, seconds, date), BY_KEYS, clock)
    assert found.key_set == Answered(None, ahead)


# ---- an introspection endpoint ----


async def tried(answer: Any, **changes: Any) -> Tried:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return await inspect_endpoint(endpoint(Answers(body), **changes), b"made-up", FixedClock(), LIMITS)


async def test_an_endpoint_that_does_not_know_a_made_up_token_is_as_it_should_be() -> None:
    assert await tried({"active": False}) == Tried(None, CAME)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"active": True}, "it calls a token active that was made up just now"),
        ({"active": "false"}, "the answer is not an object with `active` that is true or false"),
        (b"<html>", "the answer is not strict JSON"),
        (b"[" * 100 + b"]" * 100, "the answer is not strict JSON"),
        (b" " * (64 * 1024 + 1), "the answer has more than 65536 bytes"),
    ],
    ids=["active", "text", "html", "deep", "large"],
)
async def test_n_02_an_endpoint_that_answers_anything_else_is_told(answer: Any, problem: str) -> None:
    found = await tried(answer)
    assert (found.problem or "").startswith(problem)


class Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document:
        raise self.error


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_are_told_as_such(status: int) -> None:
    asked = endpoint(Refusing(FetchFailed(f"the answer's status is {status}")))
    found = await inspect_endpoint(asked, b"made-up", FixedClock(), LIMITS)
    says = f"the answer's status is {status}: it does not accept the gateway's own client credentials, so check them"
    assert found == Tried(says)


async def test_an_endpoint_that_fails_tells_nothing_of_the_question() -> None:
    found = await inspect_endpoint(endpoint(Refusing(ValueError("c4n4ry"))), b"made-up", FixedClock(), LIMITS)
    assert found == Tried("ValueError")


async def test_k_09_an_endpoint_that_hangs_is_given_up() -> None:
    class Hanging:
        async def __call__(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[Any]) -> Document:
            await asyncio.Event().wait()
            raise AssertionError

    limits = dataclasses.replace(LIMITS, fetch_seconds=0.05)
    assert await inspect_endpoint(endpoint(Hanging()), b"made-up", FixedClock(), limits) == Tried("no end in time")
