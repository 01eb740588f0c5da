"""What a server asks of its callers' credentials: a token, and claims in it."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.frozen import freeze
from counterseal.core.paths import steps_of
from counterseal.core.requirements import Required, claims_missing, token_required
from tests.core.callers import anonymous, key, token


def required(name: str, values: tuple[Any, ...] | None = None) -> Required:
    return Required(steps_of(name), values, f"required_claims: {name}")


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_i_07_null_and_empty_are_missing(value: Any) -> None:
    held = freeze({"a": value, "o": {"b": value}, "x": {"y": 1}})
    for name in ("a", "o.b", "missing", "o.missing", "a.b.c"):
        assert not required(name).met(token(held))
    assert required("x.y").met(token(held))


@pytest.mark.parametrize("value", [False, 0, 0.0, "x", [0], {"a": None}, True])
def test_i_07_false_and_nought_are_there(value: Any) -> None:
    held = freeze({"a": value, "o": {"b": value}})
    assert required("a").met(token(held))
    assert required("o.b").met(token(held))


@pytest.mark.parametrize(
    ("value", "values", "met"),
    [
        ("acme", ("acme", "other"), True),
        ("acme", ("other",), False),
        ("Acme", ("acme",), False),
        ("", ("",), False),
        (True, (True,), True),
        (False, (False,), True),
        (True, (1,), False),
        (1, (True,), False),
        (1, (1,), True),
        (1.0, (1,), False),
        ("1", (1,), False),
        ("true", (True,), False),
        (["a", "admin"], ("admin",), True),
        (["a"], ("admin",), False),
        ([["admin"]], ("admin",), False),
        ([{"a": "admin"}], ("admin",), False),
        ({"admin": "admin"}, ("admin",), False),
        ("admin,a", ("admin",), False),
    ],
)
def test_i_06_an_expected_value_is_of_the_same_type(value: Any, values: tuple[Any, ...], met: bool) -> None:
    assert required("a", values).met(token(freeze({"a": value}))) is met


def test_i_07_what_a_channel_token_or_a_header_says_is_not_looked_at() -> None:
    caller = key(headers={"tenant": "acme"})
    assert not required("tenant").met(caller)
    assert required("tenant").met(key(metadata={"tenant": "acme"}))


def test_an_api_key_says_its_fields_and_its_metadata() -> None:
    caller = key(fields={"email": "a@x", "team_id": "data"}, metadata={"tenant": "acme", "empty": ""})
    for name, met in {"email": True, "team_id": True, "tenant": True, "empty": False, "metadata.tenant": True}.items():
        assert required(name).met(caller) is met
    assert required("tenant", ("acme",)).met(caller)
    assert not required("tenant", ("other",)).met(caller)
    assert not required("tenant").met(anonymous())


def test_i_13_an_address_is_there_if_its_issuer_vouches_for_it() -> None:
    assert not required("email").met(token({"email": "a@x", "email_verified": False}))
    assert required("email").met(token({"email": "a@x"}, fields={"email": "a@x"}))


def test_reserved_claims_may_be_asked_for() -> None:
    """They are only looked at."""
    caller = token({"azp": "ide", "scope": "a b"})
    assert required("azp", ("ide",)).met(caller)
    assert required("sub", ("alice",)).met(caller)


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        (token(), "the access token lacks them: they must come from https://idp"),
        (key(), "the API key lacks them: they must be among its fields or its metadata"),
        (anonymous(), "an anonymous caller has none"),
    ],
)
def test_a_refusal_names_all_claims_at_once_and_where_they_should_come_from(caller: Any, says: str) -> None:
    denial = claims_missing(caller, [required("tenant"), required("realm.role", ("secret-role",))]).denial
    assert denial.reason == "required_claim_missing"
    assert denial.message.startswith("the call needs the claims `tenant`, `realm.role` (of an expected value); ")
    assert says in denial.message
    assert "secret-role" not in denial.message
    assert denial.rule == "required_claims: tenant"


@pytest.mark.parametrize(("caller", "has"), [(key(), "an API key"), (anonymous(), "no credential")])
def test_s10_a_refusal_says_that_a_token_is_needed(caller: Any, has: str) -> None:
    denial = token_required(caller, "weather", "signer.mode (c.yaml:3)").denial
    assert (denial.reason, denial.rule) == ("token_required", "signer.mode (c.yaml:3)")
    assert "'weather'" in denial.message
    assert denial.message.endswith(has)
