"""The claims-set rules, each with its boundary."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from counterseal.jose.claims import LATEST, ClaimRules, check
from counterseal.jose.jws import Verified
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import ABSENT, AUDIENCE, ISSUER, NOW, access_claims

RULES = ClaimRules(issuer=ISSUER, audiences=(AUDIENCE,), types=("at+jwt",))


def verified(typ: str | None = "at+jwt", **changes: Any) -> Verified:
    return Verified(MappingProxyType(access_claims(**changes)), "ES256", "k", typ)


def accepted(rules: ClaimRules = RULES, now: float = NOW, typ: str | None = "at+jwt", **changes: Any) -> None:
    check(verified(typ, **changes), rules, now)


def refused(rules: ClaimRules = RULES, now: float = NOW, typ: str | None = "at+jwt", **changes: Any) -> TokenRefused:
    accepted(RULES)
    with pytest.raises(TokenRefused) as caught:
        check(verified(typ, **changes), rules, now)
    return caught.value


def test_a_sound_token_passes() -> None:
    accepted()


# ---- issuer and audience ----


@pytest.mark.parametrize(
    "iss",
    [
        ISSUER + "/",
        ISSUER[:-1],
        ISSUER + ".evil.example",
        ISSUER.upper(),
        "https://Gateway.example.com",
        "https://gateway.example.com:443",
        "https://user@gateway.example.com",
        "https://gateway.example.com@evil.example",
        "https://gateway%2eexample.com",
        "https://g\u0430teway.example.com",
        "https://xn--gteway-4nf.example.com",
        "http://gateway.example.com",
        " " + ISSUER,
        "",
        ISSUER.encode(),
        [ISSUER],
        {ISSUER: True},
        None,
        1,
        ABSENT,
    ],
)
def test_the_issuer_is_equal_to_the_byte(iss: Any) -> None:
    """J-18."""
    assert refused(iss=iss).code == "issuer"


@pytest.mark.parametrize(
    "aud",
    [
        AUDIENCE + "/",
        AUDIENCE[:-1],
        AUDIENCE + "/admin",
        AUDIENCE.upper(),
        "https://weather.example.com",
        "https://files.example.com/mcp",
        "*",
        "",
        ISSUER,
        [],
        ["https://files.example.com/mcp"],
        [AUDIENCE, 1],
        [AUDIENCE, None],
        [[AUDIENCE]],
        [AUDIENCE] * 11,
        {AUDIENCE: True},
        {"aud": AUDIENCE},
        None,
        1,
        True,
        ABSENT,
    ],
)
def test_the_audience_is_an_exact_member(aud: Any) -> None:
    """J-17."""
    assert refused(aud=aud).code == "audience"


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["https://files.example.com/mcp", AUDIENCE], [AUDIENCE] * 10])
def test_ours_alone_or_in_a_short_list_passes(aud: Any) -> None:
    """J-17."""
    accepted(aud=aud)


def test_a_list_is_refused_where_one_audience_is_asked_for() -> None:
    """J-17."""
    single = replace(RULES, single_audience=True)
    accepted(single)
    assert "list" in refused(single, aud=[AUDIENCE]).detail


def test_any_of_several_audiences_passes() -> None:
    several = replace(RULES, audiences=("https://a.example", AUDIENCE))
    accepted(several)
    accepted(several, aud="https://a.example")
    assert refused(several, aud="https://b.example").code == "audience"


@pytest.mark.parametrize(
    ("aud", "say"),
    [
        (AUDIENCE + "/", "slash at the end"),
        (AUDIENCE.upper(), "upper and lower case"),
        (AUDIENCE[:-4], "only the beginning"),
        (AUDIENCE + "/x", "goes on"),
        ("https://files.example.com/mcp", "is another"),
        (ISSUER, "issuer itself"),
        ([], "list"),
        (ABSENT, "missing"),
    ],
)
def test_the_usual_slips_are_told_apart(aud: Any, say: str) -> None:
    assert say in refused(aud=aud).detail


# ---- kind ----


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_kind_is_compared_without_case_and_prefix(typ: str) -> None:
    """RFC 7515 section 4.1.9."""
    accepted(typ=typ)


@pytest.mark.parametrize(
    "typ",
    [
        *("JWT", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "JOSE+JSON", "entity-statement+jwt"),
        *("token-introspection+jwt", "oauth-authz-req+jwt", "client-authentication+jwt", "txntoken+jwt", "ID"),
        *("", "at+jwt ", "at +jwt", "application/application/at+jwt", "text/at+jwt", "at+jwt;v=1", None),
    ],
)
def test_another_kind_of_token_is_refused(typ: str | None) -> None:
    """J-20: everything else about it is right."""
    assert refused(typ=typ).code == "typ"


def test_a_token_without_typ_passes_only_where_it_may() -> None:
    """J-20."""
    untyped = replace(RULES, untyped=True)
    accepted(untyped, typ=None)
    accepted(untyped)
    assert refused(untyped, typ="JWT").code == "typ"
    accepted(replace(RULES, types=("at+jwt", "JWT")), typ="JWT")


@pytest.mark.parametrize("events", [{"http://schemas.openid.net/event/backchannel-logout": {}}, {}, None])
def test_a_security_event_is_no_access_token(events: Any) -> None:
    """J-20: a logout token whose `typ` was left out or set wrongly."""
    assert refused(events=events).code == "typ"


def test_a_bound_token_needs_its_proof() -> None:
    """J-31."""
    assert refused(cnf={"jkt": "abc"}).code == "confirmation"
    accepted(replace(RULES, confirmed=True), cnf={"jkt": "abc"})


# ---- times ----

NO_DATES = [
    None,
    True,
    False,
    "1800000060",
    [NOW],
    {},
    -1,
    -0.5,
    float("inf"),
    float("-inf"),
    float("nan"),
    1e30,
    10**30,
    LATEST + 1,
]


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NO_DATES)
def test_a_time_is_a_finite_number_within_the_years_that_there_are(claim: str, value: Any) -> None:
    """J-14."""
    assert refused(**{claim: value}).code == "time"


def test_times_may_have_fractions_and_reach_to_the_ends() -> None:
    """J-14."""
    accepted(exp=NOW + 0.5, iat=NOW - 0.5, nbf=NOW - 0.25)
    accepted(exp=LATEST, iat=0, nbf=0)
    accepted(iat=ABSENT, nbf=ABSENT)


def test_exp_is_required() -> None:
    """J-14."""
    assert refused(exp=ABSENT).code == "time"


@pytest.mark.parametrize("leeway", [0, 30, 60])
def test_a_token_is_over_at_exp_plus_the_leeway(leeway: float) -> None:
    """J-14: to the millisecond."""
    rules = replace(RULES, leeway=leeway)
    end = NOW + 60 + leeway
    accepted(rules, end - 0.001)
    assert refused(rules, end).code == "expired"
    assert refused(rules, end + 0.001).code == "expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_begins_the_leeway_before_nbf_and_iat(claim: str) -> None:
    """J-14, J-15."""
    others = {"nbf": NOW, "iat": NOW} | {claim: NOW + 40}
    accepted(now=NOW + 10, exp=NOW + 90, **others)
    assert refused(now=NOW + 9.999, exp=NOW + 90, **others).code == "not_yet_valid"


def test_the_leeway_is_at_most_a_minute() -> None:
    """8.2: n and n + 1."""
    replace(RULES, leeway=60)
    for leeway in (-1, 60.1, float("nan")):
        with pytest.raises(ValueError, match="leeway"):
            replace(RULES, leeway=leeway)


def test_a_longest_life_is_held_and_makes_iat_required() -> None:
    """J-15: n, n + 1."""
    limited = replace(RULES, longest_life=900)
    accepted(limited, exp=NOW + 900)
    assert refused(limited, exp=NOW + 901).code == "lifetime"
    assert refused(limited, exp=NOW + 900.001).code == "lifetime"
    assert refused(limited, iat=ABSENT).code == "lifetime"
    accepted(exp=NOW + 901)


def test_times_that_contradict_each_other_are_refused() -> None:
    """J-15."""
    accepted(now=NOW + 50, nbf=NOW + 60)
    assert refused(now=NOW + 50, nbf=NOW + 60.5).code == "lifetime"
    assert refused(now=NOW + 50, iat=NOW + 60.5, nbf=ABSENT).code == "lifetime"


# ---- subject ----


@pytest.mark.parametrize(
    "sub",
    [
        *(None, 1, True, ["alice"], {"sub": "alice"}, "", "a" * 256, "a" * 10_000, ABSENT),
        *("a\r\nb", "a\nb", "a\x00b", "\x7f", "a\x1b[2Jb", "a\u0085b"),
        *(
            "a\u200bb",
            "a\u200db",
            "a\u202eb",
            "a\u2066b",
            "\ufeffalice",
            "a\u00adb",
            "a\u2028b",
            "a\ud800b",
            "a\U000e0041",
        ),
    ],
)
def test_a_subject_is_a_short_plain_text(sub: Any) -> None:
    """J-19: other types, lengths, line breaks, NUL, BiDi, zero width, lone surrogates, tags."""
    assert refused(sub=sub).code == "subject"


@pytest.mark.parametrize(
    "sub", ["alice", "a" * 255, "Ålice Ünal", "王小明", "alice smith", "a|b/c:d", "user\u00a01", "👩"]
)
def test_other_subjects_pass(sub: str) -> None:
    """J-19."""
    accepted(sub=sub)


def test_a_subject_may_be_optional_and_is_still_held_to_the_rules() -> None:
    optional = replace(RULES, subject=False)
    accepted(optional, sub=ABSENT)
    assert refused(optional, sub="").code == "subject"
    assert refused(optional, sub=None).code == "subject"


# ---- texts ----


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp"])
def test_a_refusal_quotes_nothing_of_the_token(claim: str) -> None:
    secret = "s3cr3t\nvalue"
    assert "s3cr3t" not in refused(**{claim: secret}).detail
    assert "s3cr3t" not in refused(typ=secret).detail


def test_rules_without_an_issuer_or_audience_cannot_be_made() -> None:
    """An empty rule would pass an empty claim."""
    for wrong in ({"issuer": ""}, {"audiences": ()}, {"audiences": ("",)}):
        with pytest.raises(ValueError, match="empty"):
            replace(RULES, **wrong)  # type: ignore[arg-type]
