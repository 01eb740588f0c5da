"""Who calls, told apart from everybody else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.caller import Caller, Channel
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


def test_a_claim_that_nobody_looked_at_is_no_field_of_a_caller() -> None:
    """I-13: what `identity` took from the claims by the issuer's rules is in the fields, and nothing else counts."""
    held = {"email": "a@example.com", "email_verified": True, "team_id": "data", "roles": ["admin"], "scope": "all"}
    caller = token(held)
    assert (caller.email, caller.team, caller.roles, caller.scopes) == (None, None, (), ())
    assert token(held, fields={"email": "b@example.com"}).email == "b@example.com"


def test_the_same_caller_has_the_same_fingerprint() -> None:
    assert token().fingerprint() == token({"groups": ["a"]}, expires=5.0).fingerprint()
    assert token().fingerprint() == token(roles=("a",), scopes=("b",), channel_ignored=True).fingerprint()
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


def test_m_09_who_else_speaks_for_a_call_is_part_of_who_calls() -> None:
    """A session that was opened through one channel, or for one person, is none of another."""
    channels = [
        None,
        Channel(issuer="i", subject="s"),
        Channel(issuer="i", client_id="s"),
        Channel(issuer="i", subject="s", client_id="s"),
        Channel(issuer="is", subject="s"),
        Channel(issuer="j", subject="s"),
        Channel(issuer="i", subject="t"),
    ]
    named: list[dict[str, str]] = [
        {},
        {"user": "a"},
        {"user": "b"},
        {"email": "a"},
        {"user": "a", "email": "a"},
        {"usera": ""},
    ]
    callers = [token(channel=channel, headers=headers) for channel in channels for headers in named]
    assert len({caller.fingerprint() for caller in callers}) == len(channels) * len(named)
    one = token(headers={"user": "a", "email": "b"})
    assert one.fingerprint() == token(headers={"email": "b", "user": "a"}).fingerprint()


def test_the_actor_of_a_channel_is_what_its_token_says_and_no_more() -> None:
    assert Channel(issuer="i", subject="s").actor == {"sub": "s"}
    assert Channel(issuer="i", client_id="c").actor == {"client_id": "c"}
    assert Channel(issuer="i", subject="s", client_id="c").actor == {"sub": "s", "client_id": "c"}


def test_anonymous_callers_are_one() -> None:
    assert anonymous().fingerprint() == anonymous().fingerprint() != key(client_id="anonymous").fingerprint()
