"""On whose behalf a call is made: the first source that names somebody, each asked where its prefix says."""

from __future__ import annotations

from typing import Final

import pytest

from counterseal.core.caller import Caller
from counterseal.core.paths import ABSENT
from counterseal.core.sources import NoSource, NoSubject, Source, Sources, UnfitSubject, said, subject
from tests.core.callers import anonymous, key, token

SOURCES: Final = ("sub", "preferred_username", "email", "user_id")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (token({"sub": "a", "preferred_username": "b"}), "a"),
        (token({"sub": "", "preferred_username": "b"}), "b"),
        (token({"sub": None, "preferred_username": "b"}), "b"),
        (token({"sub": 7, "preferred_username": "b"}), "b"),
        (token({"sub": ["a"], "user_id": "d"}), "d"),
        (token({"sub": "", "user_id": "d"}, fields={"email": "c@x"}), "c@x"),
        (token({"sub": "", "email": "c@x", "email_verified": False, "user_id": "d"}), "d"),
        (token({"sub": "", "email": "c@x", "user_id": "d"}), "d"),
        (token({"sub": "", "email": "c@x", "email_verified": "true", "user_id": "d"}), "d"),
        (token({"sub": ""}), "ide"),
        (key(fields={"user_id": "d"}), "d"),
        (key(fields={"email": "c@x", "user_id": "d"}), "c@x"),
        (key(fields={"user_id": ""}), "apikey:k123"),
        (key(fields={"team_id": "t", "agent_id": "g"}), "apikey:k123"),
        (key(), "apikey:k123"),
        (anonymous(), "anonymous"),
    ],
)
def test_the_subject_is_the_first_source_that_is_a_text(caller: Caller, expected: str) -> None:
    """I-07, I-13: in the configured order; empty is missing; an address counts once it is verified."""
    assert subject(caller, SOURCES) == expected


def test_the_order_and_the_names_of_the_sources_are_the_configurations() -> None:
    caller = token(
        {"sub": "a", "preferred_username": "b", "team_id": "claim"}, fields={"team_id": "field", "org_id": "o"}
    )
    assert subject(caller, ("preferred_username", "sub")) == "b"
    assert subject(caller, ("team_id",)) == "claim"
    assert subject(caller, ("org_id",)) == "o"
    assert subject(caller, ("metadata", "kind", "client_id")) == "ide"
    assert subject(key(metadata={"sub": "admin"}), SOURCES) == "apikey:k123"


def test_for_each_name_a_verified_claim_comes_first_then_a_header_of_a_trusted_peer_then_a_field_of_the_key() -> None:
    """docs/call-token.md, and S8: the same name from three places."""
    everywhere = {"headers": {"user_id": "header", "x-user": "header"}, "fields": {"user_id": "field"}}
    by_token = token({"user_id": "claim"}, **everywhere)
    assert subject(by_token, ("user_id",)) == "claim"
    assert subject(token(**everywhere), ("user_id",)) == "field"  # a token's fields are verified claims too
    assert subject(token(headers={"user_id": "header"}), ("user_id",)) == "header"
    assert subject(key(**everywhere), ("user_id",)) == "header"
    assert subject(key(**everywhere), ("sub", "email", "x-user")) == "header"
    assert subject(key(**{**everywhere, "headers": {}}), ("user_id",)) == "field"
    assert subject(key(**{**everywhere, "headers": {"user_id": ""}}), ("user_id",)) == "field"
    assert subject(token({"sub": "alice"}, headers={"sub": "header"}), ("sub",)) == "alice"
    assert subject(anonymous(), ("user_id",)) == "anonymous"


def test_i_13_the_claim_email_is_never_taken_as_it_is() -> None:
    claimed = {"email": "c@x", "email_verified": True}
    assert subject(token(claimed), ("email",)) == "ide"
    assert subject(token(claimed, fields={"email": "d@x"}), ("email",)) == "d@x"


@pytest.mark.parametrize("value", ["apikey:abcdefghijkl", "anonymous", "a\nb", "a\u202eb", "x" * 256])
@pytest.mark.parametrize("source", ["sub", "preferred_username", "user_id"])
def test_j_19_no_claim_of_a_provider_makes_a_subject_that_is_ours_or_unseen(source: str, value: str) -> None:
    def caller(claim: str) -> Caller:
        held = {"sub": "alice", source: claim}
        return Caller(kind="token", client_id="ide", issuer="https://i", subject=held["sub"], claims=held)

    with pytest.raises(UnfitSubject):
        subject(caller(value), (source,))
    with pytest.raises(UnfitSubject):  # nor does what a trusted proxy says, whoever calls through it
        subject(key(headers={source: value}), (source,))
    if value in ("apikey:abcdefghijkl", "anonymous"):
        assert subject(key(fields={source: value}), (source,)) == value  # the operator's own word
    else:
        with pytest.raises(UnfitSubject):  # which servers must be able to read all the same
            subject(key(fields={source: value}), (source,))
    with pytest.raises(UnfitSubject):  # nor does the client that is left when there is no claim
        subject(Caller(kind="token", client_id=value, issuer="https://idp.example.com"), (source,))
    assert subject(caller("alice"), (source,)) == "alice"


# ---- prefixes and paths -----------------------------------------------------------------------------------------------

EVERYWHERE: Final = {
    "headers": {"user_id": "header", "email": "header"},
    "fields": {"user_id": "field", "email": "f@x"},
}


@pytest.mark.parametrize(
    ("source", "of_token", "of_key"),
    [
        ("user_id", "claim", "header"),
        ("claim:user_id", "claim", None),
        ("token:user_id", "claim", None),
        ("header:user_id", "header", "header"),
        ("key:user_id", None, "field"),
        ("litellm:user_id", "field", "field"),
        ("email", "f@x", "header"),
        ("claim:email", "f@x", None),
        ("key:email", None, "f@x"),
        ("header:email", "header", "header"),
    ],
)
def test_s8_a_prefix_pins_a_source_to_one_kind(source: str, of_token: str | None, of_key: str | None) -> None:
    by_token = token({"user_id": "claim", "email": "unverified@x"}, **EVERYWHERE)
    assert subject(by_token, (source,)) == (of_token or "ide")
    assert subject(key(**EVERYWHERE), (source,)) == (of_key or "apikey:k123")
    assert subject(anonymous(), (source,)) == "anonymous"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("claim:realm.profile.name", "alice"),
        ("realm.profile.name", "alice"),
        ("https://example.com/name", "namespaced"),
        ("claim:https://example.com/name", "namespaced"),
        (("https://example.com/name",), "namespaced"),
        (("realm", "a.b"), "dotted"),
        ("claim:realm.profile", "ide"),
        ("claim:realm.list", "ide"),
        ("claim:realm.number", "ide"),
        ("claim:realm.empty", "ide"),
        ("claim:realm.profile.name.x", "ide"),
        ("realm.missing", "ide"),
    ],
)
def test_a_path_leads_to_a_claim_and_only_a_text_there_names_somebody(
    source: str | tuple[str, ...], expected: str
) -> None:
    held = {
        "realm": {"profile": {"name": "alice"}, "list": ["alice"], "number": 7, "empty": "", "a.b": "dotted"},
        "https://example.com/name": "namespaced",
    }
    assert subject(token(held), (source,)) == expected


@pytest.mark.parametrize("source", ["key:metadata.unix.name", "metadata.unix.name"])
def test_the_metadata_of_an_api_key_may_name_the_subject(source: str) -> None:
    caller = key(metadata={"unix.name": "alice"}, fields={"user_id": "a7"})
    assert subject(caller, (source, "user_id")) == "alice"
    assert subject(key(fields={"user_id": "a7"}), (source, "user_id")) == "a7"
    assert subject(token({"unix": "x"}, metadata={"unix.name": "alice"}), (source,)) == "ide"


def test_an_end_user_is_a_field_of_an_api_key() -> None:
    caller = key(fields={"end_user_id": "customer-7", "user_id": "a7"})
    for source in ("end_user_id", "key:end_user_id", "litellm:end_user_id"):
        assert subject(caller, (source,)) == "customer-7"


@pytest.mark.parametrize(
    ("source", "vouched", "expected"),
    [
        ("claim:profile.email", None, "ide"),
        ("claim:profile.email", "other@x", "ide"),
        ("claim:profile.email", "a@x", "a@x"),
        ("profile.email", None, "ide"),
        (("profile", "email"), "a@x", "a@x"),
        ("claim:profile.mail", None, "m@x"),
    ],
)
def test_i_13_no_path_leads_to_an_address_that_its_issuer_does_not_vouch_for(
    source: str | tuple[str, ...], vouched: str | None, expected: str
) -> None:
    """`email_verified` beside it is the issuer's rule, which has spoken before (identity/accept.py)."""
    held = {"profile": {"email": "a@x", "email_verified": True, "mail": "m@x"}, "email": "a@x"}
    fields = {} if vouched is None else {"email": vouched}
    assert subject(token(held, fields=fields), (source,)) == expected


def test_only_a_bare_name_and_a_header_ask_for_a_header() -> None:
    """What they ask for is what the identity room strips from everybody who is not trusted."""
    asked = {
        "x-user": "x-user",
        "header:X-User": "X-User",
        "claim:x-user": None,
        "key:user_id": None,
        "litellm:user_id": None,
        "a.b": None,
        "https://example.com/user": None,
    }
    assert {source: Source.of(source).header for source in asked} == asked


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "empty"),
        ("claim:", "empty"),
        ("header:", "empty"),
        ("a..b", "empty"),
        ((), "empty"),
        (("a", ""), "empty"),
        ("e mail", "white space"),
        ("claim:e\u202email", "cannot be seen"),
        ("cliam:email", "a prefix that there is not"),
        ("urn:example:x", "a prefix that there is not"),
        ("key:user", "did you mean `user_id`"),
        ("key:metadata.", "no field of an API key"),
        ("key:role", "there is user_id, email"),
        ("litellm:org_id", "no field"),
        ("litellm:metadata.x", "no field"),
    ],
)
def test_a_source_that_means_nothing_is_told(source: str | tuple[str, ...], says: str) -> None:
    with pytest.raises(NoSource, match=says):
        Source.of(source)


def test_s11_with_no_source_left_nobody_is_named_by_a_credential() -> None:
    """The key's id is drawn at random and is no part of its secret."""
    assert subject(key(client_id="k3m9x0a7q2fz"), ()) == "apikey:k3m9x0a7q2fz"


def test_where_a_person_is_asked_for_the_client_does_not_stand_in() -> None:
    sources = Sources.of(("preferred_username",), of_a_person=True)
    assert sources.subject(token({"preferred_username": "alice"})) == ("alice", "claim", "preferred_username")
    for nobody in (token(), key(), anonymous()):
        with pytest.raises(NoSubject):
            sources.subject(nobody)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (token({"preferred_username": "a"}), ("a", "claim", "preferred_username")),
        (token(fields={"email": "a@x"}), ("a@x", "claim", "email")),
        (key(headers={"x-user": "a"}), ("a", "header", "x-user")),
        (key(fields={"user_id": "a"}), ("a", "key", "user_id")),
        (key(metadata={"unix": "a"}), ("a", "key", "metadata.unix")),
        (key(), ("apikey:k123", "caller", "the API key's id")),
        (token(), ("ide", "caller", "the token's client")),
    ],
)
def test_the_source_that_won_is_told(caller: Caller, expected: tuple[str, str, str]) -> None:
    sources = Sources.of(("preferred_username", "email", "x-user", "user_id", "metadata.unix"))
    assert sources.subject(caller) == expected


def test_what_a_credential_says_under_a_name_is_a_claim_or_a_field_or_metadata() -> None:
    held = {"tenant": "acme", "a": {"b": 1}, "email": "u@x"}
    by_token = token(held, fields={"email": "a@x"}, metadata={"tenant": "other"})
    by_key = key(fields={"team_id": "data"}, metadata={"tenant": "acme", "a.b": "1", "team_id": "other"})
    asked = {("tenant",): "acme", ("a", "b"): 1, ("email",): "a@x", ("sub",): "alice", ("x",): ABSENT}
    assert {path: said(path)(by_token) for path in asked} == asked
    asked = {("tenant",): "acme", ("metadata", "tenant"): "acme", ("a", "b"): "1", ("team_id",): "data", ("x",): ABSENT}
    assert {path: said(path)(by_key) for path in asked} == asked
    assert all(said(path)(anonymous()) is ABSENT for path in asked)
