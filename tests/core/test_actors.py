"""Who acts for the subject: nothing that is merely claimed, and no more of them than a chain may have."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.actors import ACT_DEPTH, ActorRefused, actor, chain_depth, check_actor
from counterseal.core.caller import Caller, Channel
from counterseal.core.frozen import freeze
from tests.core.callers import anonymous, key, token


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
    """J-32, docs/call-token.md: nothing is replaced."""
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
        {"sub": ""},
        {"sub": "a", "act": {"client_id": ""}},
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
