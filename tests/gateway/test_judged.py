"""What is said of what was found: each fact with its level and its remedy, and nothing that a terminal acts on."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.limits import LIMITS
from counterseal.gateway.judged import Judged, Line, Trust, judge, judge_endpoint
from counterseal.identity.inspection import Answered, Findings, FoundKey, Problem, Source, Tried, inspect
from tests.identity.introspecting import Answers, endpoint
from tests.identity.providing import DISCOVERY, ISSUER, KEYS, Idp
from tests.support.tokens import FixedClock

TRUST = Trust("issuer", "corp", ISSUER, DISCOVERY, None, ("RS256", "ES256"), "algorithms", 30)
CHANNEL = dataclasses.replace(TRUST, kind="channel", name="weather", key="channel_token_algorithms")
FOUND = Findings(
    issuer=ISSUER,
    jwks_uri=KEYS,
    algorithms=("PS256", "RS256"),
    keys=(FoundKey("a", ("RS256",), None),),
    discovery=Answered(None, 0.0),
    key_set=Answered(600, 0.0),
)


def said(found: Findings, trust: Trust = TRUST) -> dict[str, tuple[str, str]]:
    """Level and text by what a line is about."""
    return {line.about: (line.level, line.text) for line in judge(trust, found).lines}


def changed(**changes: Any) -> Findings:
    return dataclasses.replace(FOUND, **changes)


def test_a_provider_that_is_as_it_should_be_has_nothing_against_it() -> None:
    judged = judge(TRUST, FOUND)
    assert (judged.kind, judged.name, judged.level) == ("issuer", "corp", "note")
    assert [(line.level, line.about, line.text) for line in judged.lines] == [
        ("ok", "discovery", f"{DISCOVERY}, kept for 300 s as it names no max-age"),
        ("ok", "issuer", f"{ISSUER}, equal to the byte"),
        ("ok", "jwks_uri", f"{KEYS}, kept for 600 s"),
        ("ok", "algorithms", "the document announces PS256, RS256; `algorithms` has RS256, ES256"),
        ("ok", "key", "'a' for RS256"),
        ("ok", "RS256", "1 key"),
        ("note", "ES256", "no key"),
        ("ok", "clock", "within the leeway of 30 s"),
    ]


def test_where_only_keys_are_configured_there_is_no_document_to_judge() -> None:
    trust = dataclasses.replace(TRUST, discovery_uri=None, jwks_uri=KEYS)
    lines = said(changed(issuer=None, algorithms=(), discovery=None), trust)
    assert lines["issuer"] == ("note", f"{ISSUER} as configured: there is no document to compare it with")
    assert list(lines) == ["issuer", "jwks_uri", "key", "RS256", "ES256", "clock"]


@pytest.mark.parametrize(
    ("max_age", "kept"),
    [
        (None, "kept for 300 s as it names no max-age"),
        (0, "kept for 60 s though its max-age is 0"),
        (60, "kept for 60 s"),
        (3600, "kept for 3600 s"),
        (86400, "kept for 3600 s though its max-age is 86400"),
    ],
)
def test_k_14_how_long_a_document_serves_is_said(max_age: int | None, kept: str) -> None:
    assert said(changed(discovery=Answered(max_age)))["discovery"] == ("ok", f"{DISCOVERY}, {kept}")


def test_k_01_nothing_is_asked_for_on_the_word_of_another_issuer() -> None:
    found = Findings("https://evil.example", KEYS, (), (), (Problem("issuer", "it differs"),), Answered())
    assert said(found)["issuer"] == ("problem", "it differs")
    assert said(found)["jwks_uri"] == ("note", f"{KEYS}, not asked while `issuer` differs")


# ---- algorithms ----


@pytest.mark.parametrize(
    ("announced", "line"),
    [
        (("ES256",), ("ok", "the document announces ES256; `algorithms` has RS256, ES256")),
        ((), ("note", "the document announces none; `algorithms` has RS256, ES256")),
        (
            ("PS512", "HS256", "PS256"),
            (
                "problem",
                "the document announces PS512, HS256, PS256, and `algorithms` has RS256, ES256: "
                "write `algorithms: [PS256, PS512]`, or have the IdP sign with RS256",
            ),
        ),
        (
            ("HS256", "none"),
            (
                "problem",
                "the document announces HS256, none, and `algorithms` has RS256, ES256: "
                "have the IdP sign with RS256, because none of those can be accepted",
            ),
        ),
        (
            tuple(f"X{number}" for number in range(500)),
            (
                "problem",
                "the document announces X0, X1, X2, X3, X4, X5, X6, X7, X8, X9, X10, X11 and 488 more, and `algorithms` has "
                "RS256, ES256: have the IdP sign with RS256, because none of those can be accepted",
            ),
        ),
    ],
    ids=["one in common", "none announced", "none in common", "none usable", "many"],
)
def test_what_is_announced_is_held_against_what_is_accepted(announced: tuple[str, ...], line: tuple[str, str]) -> None:
    assert said(changed(algorithms=announced))["algorithms"] == line


@pytest.mark.parametrize(
    ("announced", "write"), [(("PS256",), "PS256"), ((), "RS256, PS256"), (("RS384",), "RS256, PS256")]
)
def test_keys_for_no_accepted_algorithm_are_a_problem(announced: tuple[str, ...], write: str) -> None:
    trust = dataclasses.replace(CHANNEL, algorithms=("ES256",))
    lines = said(changed(algorithms=announced, keys=(FoundKey("a", ("PS256", "RS256"), None),)), trust)
    assert lines["ES256"] == ("note", "no key")
    assert lines["keys"] == (
        "problem",
        "`channel_token_algorithms` has ES256, and no key is for any of them: "
        f"write `channel_token_algorithms: [{write}]`, or have the IdP sign with ES256",
    )


def test_j_03_two_names_of_one_algorithm_are_two() -> None:
    """A token says one of them, and that one must be accepted."""
    trust = dataclasses.replace(TRUST, algorithms=("Ed25519",))
    found = changed(algorithms=("EdDSA",), keys=(FoundKey("a", ("Ed25519", "EdDSA"), None),))
    assert said(found, trust)["algorithms"][0] == "problem"
    assert said(found, trust)["Ed25519"] == ("ok", "1 key")
    assert said(found, dataclasses.replace(trust, algorithms=("EdDSA",)))["algorithms"][0] == "ok"


# ---- keys ----


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (FoundKey(None, ("ES256",), None), ("ok", "without `kid` for ES256")),
        (FoundKey("enc", (), "`use` is not `sig`"), ("note", "'enc' is not used: `use` is not `sig`")),
        (FoundKey("old", (), "it is too small", alarm=True), ("warning", "'old' is not used: it is too small")),
        (
            FoundKey("own", (), "private parts are published", alarm=True, leaked=True),
            (
                "problem",
                "'own' is not used: private parts are published. Whoever read it can sign with it: have the IdP replace that key",
            ),
        ),
        (
            FoundKey("\x1b[2J\n\u202e", ("ES256",), None),
            ("ok", "'\\x1b[2J\\n\\u202e' for ES256"),
        ),
    ],
    ids=["no kid", "encryption", "small", "leaked", "hostile"],
)
def test_k_12_each_key_is_told_with_why_it_is_not_used(key: FoundKey, line: tuple[str, str]) -> None:
    assert said(changed(keys=(key,)))["key"] == line


# ---- the clock ----


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        (30.0, ("ok", "within the leeway of 30 s")),
        (-30.0, ("ok", "within the leeway of 30 s")),
        (
            31.0,
            (
                "warning",
                "31 s ahead of ours, more than the leeway of 30 s: tokens may be refused as not valid yet, "
                "so set the clock that is wrong",
            ),
        ),
        (
            -95.0,
            (
                "warning",
                "95 s behind ours, more than the leeway of 30 s: tokens may be refused as over before their time, "
                "so set the clock that is wrong",
            ),
        ),
        (None, None),
    ],
)
def test_a_clock_that_differs_by_more_than_the_leeway_is_a_warning(
    ahead: float | None, line: tuple[str, str] | None
) -> None:
    both = Answered(None, ahead)
    assert said(changed(discovery=both, key_set=both)).get("clock") == line
    if line is not None:
        assert said(changed(discovery=both, key_set=Answered(None, 0.0)))["clock"][0] == "ok"


# ---- introspection ----


def test_an_endpoint_is_judged_by_its_answer() -> None:
    asked = endpoint(Answers(b""))
    good = judge_endpoint(asked, Tried(None, Answered(None, 40.0)))
    assert (good.kind, good.name, good.level) == ("introspection", "corp", "warning")
    assert good.lines[0] == Line(
        "ok", "answer", f"{asked.url} answers the gateway's client, and a made-up token is not active there"
    )
    bad = judge_endpoint(asked, Tried("no end in time"))
    assert bad.lines == (Line("problem", "answer", f"{asked.url}: no end in time"),)


# ---- whatever a provider writes ----

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["kid", "kty", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d", "k"])


@given(
    st.text() | ANY,
    st.sampled_from([KEYS, f"{KEYS}\x1b", "https://evil.example/\u202e"]) | ANY,
    st.lists(st.text() | ANY, max_size=20),
    st.lists(st.dictionaries(NAMES, ANY, max_size=8) | ANY, max_size=8),
)
async def test_u_05_a_line_is_printable_and_bounded_whatever_a_provider_wrote(
    issuer: Any, jwks_uri: Any, algorithms: Any, entries: Any
) -> None:
    for said_issuer in (issuer, ISSUER):
        idp = Idp({"keys": entries}, issuer=said_issuer, id_token_signing_alg_values_supported=algorithms)
        idp.documents[DISCOVERY]["jwks_uri"] = jwks_uri
        judged = judge(TRUST, await inspect(Source(ISSUER, DISCOVERY, None, ()), idp, FixedClock(), LIMITS))
        assert judged.lines
        for line in judged.lines:
            assert line.text.isascii()
            assert line.text.isprintable()
            assert len(line.text) < 4000
            json.dumps(line.facts)


def test_the_worst_line_is_the_level_of_all() -> None:
    levels = ("ok", "note", "warning", "problem")
    for count in range(1, 5):
        lines = tuple(Line(level, "", "") for level in reversed(levels[:count]))
        assert Judged("issuer", "corp", lines).level == levels[count - 1]
    assert Judged("issuer", "corp", ()).level == "ok"
