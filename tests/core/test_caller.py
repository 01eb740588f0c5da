"""Who calls, told apart from everybody else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.caller import Caller
from tests.core.callers import anonymous, key, token


def test_nobody_is_a_caller_by_default() -> None:
    """Invariant 3: neither what kind of caller it is nor which one has a default."""
    for values in ({}, {"kind": "api_key"}, {"client_id": "k"}):
        with pytest.raises(TypeError):
            Caller(**values)


def test_what_an_api_key_says_of_its_holder() -> None:
    caller = key(fields={"email": "a@example.com", "team_id": "data", "org_id": "acme", "agent_id": "bot"})
    assert (caller.email, caller.team, caller.organisation, caller.agent) == ("a@example.com", "data", "acme", "bot")
    assert (key().email, key().team, key().organisation, key().agent) == (None, None, None, None)


@pytest.mark.parametrize("verified", [False, None, "true", 1, "yes", [], {}, 0])
def test_an_address_counts_once_its_issuer_verified_it(verified: Any) -> None:
    """I-13."""
    claims = {"email": "a@example.com", "email_verified": True}
    assert token(claims).email == "a@example.com"
    assert token({**claims, "email_verified": verified}).email is None
    assert token({"email": "a@example.com"}).email is None
    assert token({**claims, "email": ["a@example.com"]}).email is None


def test_a_token_has_no_address_but_its_claims() -> None:
    assert token(fields={"email": "a@example.com"}).email is None
    assert key(claims={"email": "a@example.com", "email_verified": True}).email is None


def test_the_same_caller_has_the_same_fingerprint() -> None:
    assert token().fingerprint() == token({"groups": ["a"]}, expires=5.0).fingerprint()
    assert len(token().fingerprint()) == 16


def test_two_callers_never_share_a_fingerprint() -> None:
    """M-09: sessions are bound to it; parts that are moved between the fields make another caller."""
    texts = ("", "a", "aa", "a\0", "\0a", "k", "4:a")
    seen = {}
    for kind, issuer, client, subject in itertools.product(("api_key", "token", "anonymous"), texts, texts, texts):
        caller = Caller(kind=kind, issuer=issuer, client_id=client, subject=subject)  # type: ignore[arg-type]
        seen[caller.fingerprint()] = caller
    assert len(seen) == 3 * len(texts) ** 3


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.tuples(_text, _text, _text), st.tuples(_text, _text, _text))
def test_fingerprints_differ_as_callers_do(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """M-09."""

    def fingerprint(parts: tuple[str, str, str]) -> bytes:
        return Caller(kind="token", issuer=parts[0], client_id=parts[1], subject=parts[2]).fingerprint()

    assert (fingerprint(one) == fingerprint(other)) is (one == other)


def test_anonymous_callers_are_one() -> None:
    assert anonymous().fingerprint() == anonymous().fingerprint() != key(client_id="anonymous").fingerprint()
