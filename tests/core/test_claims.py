"""The claims of a call token are those of contract.md section 5, each from where it says, and no others."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.caller import Caller, Channel
from counterseal.core.canonical import NotCanonical, arguments_digest
from counterseal.core.claims import (
    ACT_DEPTH,
    RESERVED,
    ActorRefused,
    SignerSettings,
    UnfitSubject,
    actor,
    build_claims,
    chain_depth,
    check_actor,
    operation,
    subject,
)
from counterseal.core.frozen import freeze
from counterseal.core.methods import METHODS
from tests.core.callers import anonymous, call, key, token

SOURCES: Final = ("sub", "preferred_username", "email", "user_id")
SIGNER: Final = SignerSettings("https://gateway.example.com", "https://weather.internal/mcp", "ES256", 60, SOURCES)
NOW: Final = 1_800_000_000


def claims(caller: Caller, **changes: Any) -> dict[str, Any]:
    asked = call(**{"name": "get_weather", "arguments": {"city": "Oslo"}, **changes})
    return build_claims(caller, asked, SIGNER, now=NOW, jti="J", txn="T")


def test_a_call_token_has_exactly_the_claims_of_the_contract() -> None:
    assert claims(key(fields={"user_id": "alice", "agent_id": "bot"})) == {
        "iss": "https://gateway.example.com",
        "aud": "https://weather.internal/mcp",
        "sub": "alice",
        "client_id": "k123",
        "act": {"sub": "bot"},
        "scope": "mcp:tools/call:get_weather",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "jti": "J",
        "txn": "T",
        "authorization_details": [
            {
                "type": "mcp_call",
                "locations": ["https://weather.internal/mcp"],
                "actions": ["tools/call"],
                "identifier": "get_weather",
                "arguments_digest": arguments_digest({"city": "Oslo"}),
            }
        ],
    }


def test_nothing_else_that_a_caller_has_leaves_the_gateway() -> None:
    """I-12, invariant 9: neither other claims, nor metadata, nor reserved ones that the IdP's token has."""
    held = dict.fromkeys(RESERVED - {"sub", "act"}, "forged") | {"groups": ["admins"], "email": "a@b", "nonce": "n"}
    made = claims(token(held, metadata={"cost": "9"}, fields={"team_id": "data"}))
    assert made.keys() == claims(key()).keys() == RESERVED - {"azp", "cnf"}
    assert "forged" not in str(made)
    assert "admins" not in str(made)


def test_every_claim_of_a_call_token_is_reserved() -> None:
    """I-04: a configuration that names one is refused at start."""
    times, who = {"exp", "nbf", "iat"}, {"sub", "act", "client_id", "azp"}
    assert times | who | {"iss", "aud", "jti", "scope", "cnf", "txn", "authorization_details"} == RESERVED
    assert claims(key()).keys() <= RESERVED


def test_claims_are_made_anew_for_each_call() -> None:
    """I-08, I-09: nothing in one call's claims is a part of another's, or of the caller."""
    caller = token(act={"sub": "agent", "act": {"sub": "tool"}})
    one, other = claims(caller), claims(caller)
    one["act"]["sub"] = "forged"
    one["authorization_details"][0]["actions"].append("forged")
    assert other == claims(caller)
    assert caller.act == {"sub": "agent", "act": {"sub": "tool"}}


@pytest.mark.parametrize("ttl", [1, 60, 900])
def test_a_token_begins_now_and_ends_after_its_life(ttl: int) -> None:
    signer = SignerSettings("i", "a", "ES256", ttl, SOURCES)
    made = build_claims(key(), call(name="a"), signer, now=NOW, jti="J", txn="T")
    assert (made["iat"], made["nbf"], made["exp"]) == (NOW, NOW, NOW + ttl)


# ---- the operation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_message_is_bound_to_its_method_and_name(method: str) -> None:
    """S-02, S-07: one scope, one operation; the digest where the method has arguments."""
    named = method in ("tools/call", "prompts/get", "resources/read")
    made = build_claims(key(), call(method, "n" if named else None), SIGNER, now=NOW, jti="J", txn="T")
    (details,) = made["authorization_details"]
    assert details["actions"] == [method]
    assert details.get("identifier") == ("n" if named else None)
    assert ("arguments_digest" in details) is (method in ("tools/call", "prompts/get"))
    assert made["scope"] == ("mcp:tools/call:n" if method == "tools/call" else f"mcp:{method}")


def test_absent_arguments_are_bound_as_none_at_all() -> None:
    absent = operation(call(name="a"), SIGNER)
    assert absent == operation(call(name="a", arguments={}), SIGNER)
    assert absent != operation(call(name="a", arguments={"a": None}), SIGNER)


def test_arguments_are_bound_unless_the_configuration_says_otherwise() -> None:
    unbound = SignerSettings("i", "a", "ES256", 60, SOURCES, bind_arguments=False)
    asked = call(name="a", arguments={"n": 2**53})
    assert "arguments_digest" not in operation(asked, unbound)
    with pytest.raises(NotCanonical):
        operation(asked, SIGNER)


# ---- the subject ------------------------------------------------------------------------------------------------------


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
    assert subject(caller, ("metadata", "kind", "client_id", "")) == "ide"
    assert subject(key(metadata={"sub": "admin"}), SOURCES) == "apikey:k123"


def test_for_each_name_a_verified_claim_comes_first_then_a_header_of_a_trusted_peer_then_a_field_of_the_key() -> None:
    """contract.md section 5, and S8: the same name from three places."""
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


# ---- the actors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (key(), {"sub": "https://gateway"}),
        (key(fields={"team_id": "data"}), {"sub": "data"}),
        (key(fields={"team_id": "data", "agent_id": "bot"}), {"sub": "bot"}),
        (key(fields={"team_id": "", "agent_id": ""}), {"sub": "https://gateway"}),
        (token(act={"sub": "ide"}, fields={"agent_id": "bot"}), {"sub": "ide"}),
        (token(act={"sub": "a", "act": {"sub": "b"}}), {"sub": "a", "act": {"sub": "b"}}),
        (token({"act": {"sub": "forged"}, "agent_id": "forged"}), {"sub": "https://gateway"}),
        (anonymous(), {"sub": "https://gateway"}),
    ],
)
def test_the_actor_is_who_made_the_call_on_the_subjects_behalf(caller: Caller, expected: dict[str, Any]) -> None:
    """I-12, J-32: a verified chain is kept, and nothing that is merely claimed becomes one."""
    assert actor(caller, "https://gateway") == expected


def chain(depth: int, **outermost: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"sub": "last"}
    for _ in range(depth - 1):
        node = {"sub": "a", "act": node}
    return {**node, **outermost}


CHANNEL: Final = Channel(issuer="https://channels", subject="line-1", client_id="app")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (token(channel=CHANNEL), {"sub": "line-1", "client_id": "app"}),
        (key(channel=CHANNEL, fields={"agent_id": "bot"}), {"sub": "line-1", "client_id": "app"}),
        (dataclasses.replace(anonymous(), channel=CHANNEL), {"sub": "line-1", "client_id": "app"}),
        (
            token(channel=CHANNEL, act={"sub": "a", "act": {"sub": "b"}}),
            {"sub": "line-1", "client_id": "app", "act": {"sub": "a", "act": {"sub": "b"}}},
        ),
        (
            token(channel=Channel(issuer="i", client_id="app"), act={"sub": "a"}),
            {"client_id": "app", "act": {"sub": "a"}},
        ),
    ],
)
def test_a_verified_channel_is_the_outermost_actor_and_the_verified_chain_stays_below(
    caller: Caller, expected: dict[str, Any]
) -> None:
    """J-32, contract.md section 5: nothing is replaced."""
    assert actor(caller, "https://gateway") == expected
    check_actor(caller, "https://gateway")


def test_j_32_a_channel_above_a_chain_that_is_as_long_as_it_may_be_is_one_too_many() -> None:
    check_actor(token(channel=CHANNEL, act=chain(ACT_DEPTH - 1)), "https://gateway")
    assert chain_depth(actor(token(channel=CHANNEL, act=chain(ACT_DEPTH - 1)), "https://gateway")) == ACT_DEPTH
    check_actor(token(act=chain(ACT_DEPTH)), "https://gateway")
    with pytest.raises(ActorRefused, match="more than 4"):
        check_actor(token(channel=CHANNEL, act=chain(ACT_DEPTH)), "https://gateway")


GATEWAY: Final = "https://gateway"
ACTORS: Final = {
    "channel": (token(channel=CHANNEL), {"sub": "line-1", "iss": "https://channels", "client_id": "app"}),
    "chain": (
        token(act={"sub": "a", "iss": "https://i", "client_id": "c", "act": {"sub": "b"}}),
        {"sub": "a", "iss": "https://i", "client_id": "c"},
    ),
    "agent": (token(fields={"agent_id": "bot", "team_id": "data"}), {"sub": "bot"}),
    "team": (token(fields={"team_id": "data"}), {"sub": "data"}),
    "gateway": (token(), {"sub": GATEWAY}),
}


@pytest.mark.parametrize(("caller", "named"), ACTORS.values(), ids=ACTORS)
def test_may_act_names_who_acts_by_each_of_its_members(caller: Caller, named: dict[str, str]) -> None:
    """RFC 8693 section 4.4: each member that it has must be the actor's, and the actor must have it."""

    def held_against(may_act: dict[str, Any]) -> None:
        check_actor(dataclasses.replace(caller, may_act=may_act), GATEWAY)

    held_against(named)
    for member in ("sub", "iss", "client_id"):
        if member in named:
            held_against({member: named[member]})
            held_against({member: named[member], "email": "what nobody compares"})
        for wrong in ("other", named.get(member, "") + "x", named.get(member, "A").upper() + " "):
            with pytest.raises(ActorRefused, match=member):
                held_against({**named, member: wrong})


def test_may_act_is_about_the_outermost_actor_alone() -> None:
    caller = token(act={"sub": "a", "act": {"sub": "b"}})
    check_actor(dataclasses.replace(caller, may_act={"sub": "a"}), GATEWAY)
    with pytest.raises(ActorRefused):
        check_actor(dataclasses.replace(caller, may_act={"sub": "b"}), GATEWAY)
    through = dataclasses.replace(caller, channel=CHANNEL)
    with pytest.raises(ActorRefused):
        check_actor(dataclasses.replace(through, may_act={"sub": "a"}), GATEWAY)


def test_a_chain_has_at_most_four_actors() -> None:
    """J-32: at n, at n + 1 and far beyond."""
    assert ACT_DEPTH == 4
    assert [chain_depth(chain(n)) for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    for depth in (5, 1_000, 100_000):
        with pytest.raises(ValueError, match="more than 4"):
            chain_depth(chain(depth))


def test_i_09_a_frozen_chain_leaves_as_a_plain_one() -> None:
    caller = token(act=freeze({"sub": "a", "act": {"sub": "b", "roles": ["x", {"y": 1}]}}))
    made = actor(caller, GATEWAY)
    assert json.loads(json.dumps(made)) == {"sub": "a", "act": {"sub": "b", "roles": ["x", {"y": 1}]}}
    made["act"]["roles"].append("forged")
    assert "forged" not in str(actor(caller, GATEWAY))


def test_an_actor_may_be_named_by_its_client() -> None:
    assert chain_depth({"client_id": "ide", "act": {"sub": "a", "client_id": 5}}) == 2
    assert chain_depth({"sub": "a", "act": None}) == 1


@pytest.mark.parametrize(
    "act",
    [
        {},
        {"sub": 5},
        {"sub": None},
        {"client_id": ["a"]},
        {"act": {"sub": "a"}},
        [],
        "a",
        5,
        {"sub": 5, "client_id": "a"},
    ],
)
def test_a_chain_that_names_nobody_is_refused(act: Any) -> None:
    """J-32: at either place."""
    with pytest.raises(ValueError, match="an actor is"):
        chain_depth(act)
    with pytest.raises(ValueError, match="an actor is"):
        chain_depth({"sub": "a", "act": act})


_any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["sub", "act", "client_id"]), inner),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["sub", "act", "client_id"]), _any))
def test_a_chain_is_counted_or_refused_and_nothing_else(act: dict[str, Any]) -> None:
    """J-32."""
    try:
        depth = chain_depth(act)
    except ValueError:
        return
    node: Any = act
    for _ in range(depth):
        assert isinstance(node.get("sub", node.get("client_id")), str)
        node = node.get("act")
    assert node is None


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
    assert subject(key(fields={source: value}), (source,)) == value  # the operator's own word
    with pytest.raises(UnfitSubject):  # nor does the client that is left when there is no claim
        subject(Caller(kind="token", client_id=value, issuer="https://idp.example.com"), (source,))
    assert subject(caller("alice"), (source,)) == "alice"
