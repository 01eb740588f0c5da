"""The claims that a server asks for besides those of every call token."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.verify import VerificationError, Verifier
from counterseal.verify.required import RequiredClaims
from tests.support.tokens import AUDIENCE, ISSUER, FixedClock, call_claims, jwks, token

CLAIMS: dict[str, Any] = {
    "email": "alice@example.com",
    "tenant": {"id": 7, "tier": "gold", "trial": False, "a.b": "dotted"},
    "groups": ["staff", "oncall"],
    "https://example.com/region": "eu",
    "zero": 0,
    "no": False,
    "empty": "",
    "none": None,
    "nobody": [],
    "nothing": {},
}


def passes(required: Any) -> bool:
    try:
        RequiredClaims(required).check(CLAIMS)
    except VerificationError as error:
        assert (error.code, error.status) == ("claim", 401)  # noqa: PT017
        return False
    return True


@pytest.mark.parametrize(
    ("required", "good"),
    [
        ([], True),
        (["email"], True),
        (["email", "tenant.tier"], True),
        (["email", "phone"], False),
        (["tenant.phone"], False),
        (["email.domain"], False),
        (["groups.0"], False),
        (["zero", "no"], True),  # they say something
        (["empty"], False),
        (["none"], False),
        (["nobody"], False),
        (["nothing"], False),
        (["https://example.com/region"], True),
        ([("tenant", "a.b")], True),
        (["tenant.a.b"], False),
        ({("tenant", "tier")}, True),
    ],
)
def test_a_claim_has_to_be_there_and_say_something(required: Any, good: bool) -> None:
    """I-07."""
    assert passes(required) == good


@pytest.mark.parametrize(
    ("expected", "good"),
    [
        ({"tenant.tier": "gold"}, True),
        ({"tenant.tier": "Gold"}, False),
        ({"tenant.tier": ["silver", "gold"]}, True),
        ({"tenant.tier": {"silver"}}, False),
        ({"tenant.id": 7}, True),
        ({"tenant.id": 7.0}, True),
        ({"tenant.id": "7"}, False),
        ({"tenant.trial": False}, True),
        ({"tenant.trial": 0}, False),
        ({"zero": 0}, True),
        ({"zero": False}, False),
        ({"groups": "staff"}, True),
        ({"groups": "admin"}, False),
        ({"groups": ["admin", "oncall"]}, True),
        ({"groups": None}, True),
        ({"phone": None}, False),
        ({"email": None, "tenant.tier": "silver"}, False),
        ({"tenant": "gold"}, False),
    ],
)
def test_a_claim_has_to_say_what_was_asked_for(expected: Any, good: bool) -> None:
    assert passes(expected) == good


def test_a_refusal_names_the_claim_and_quotes_nothing_of_it() -> None:
    with pytest.raises(VerificationError, match=r"`tenant.tier` is not what this server asks for") as caught:
        RequiredClaims({"tenant.tier": "silver"}).check(CLAIMS)
    assert "gold" not in caught.value.message
    with pytest.raises(VerificationError, match=r"`a.b` is missing"):
        RequiredClaims([("a", "b")]).check(CLAIMS)


@pytest.mark.parametrize(
    "required",
    ["email", [""], [".email"], ["a..b"], [()], [("a", "")], [1], {"a": []}, {"a": {}}, {"a": [{}]}, {"a": b"x"}],
)
def test_what_is_no_path_or_no_plain_value_is_refused_at_once(required: Any) -> None:
    with pytest.raises(ValueError, match=r"required_claims|path of a claim|must be"):
        RequiredClaims(required)


async def test_the_verifier_asks_for_them_and_uses_nothing_up_for_a_token_without() -> None:
    which = Verifier(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=jwks("ES256"),
        clock=FixedClock(),
        required_claims={"email": None, "tenant.tier": ["gold", "silver"]},
    )
    call = {"method": "tools/call", "name": "get_weather", "arguments": {}}
    for changes in ({}, {"email": "a@example.com"}, {"email": "a@example.com", "tenant": {"tier": "free"}}):
        with pytest.raises(VerificationError) as caught:
            await which.averify(token(call_claims(**changes)), **call)
        assert caught.value.code == "claim"
    good = token(call_claims(email="a@example.com", tenant={"tier": "gold"}))
    assert (await which.averify(good, **call)).claims["tenant"] == {"tier": "gold"}
