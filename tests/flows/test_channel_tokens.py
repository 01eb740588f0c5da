"""A person's access token of one identity provider, and beside it the channel token of an agent, of another one.

The server, whose verifier is FastMCP's own, sees the person as the subject and the agent as who acts; a call whose channel token
is missing or bad never reaches it (I-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.support.mock_idp import MockIdp
from tests.support.oidc_provider import OidcProvider
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("oidc-provider", "oauth2-mock-server", "fastmcp")]


@pytest.fixture(scope="module")
def people() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def agents() -> Iterator[MockIdp]:
    with MockIdp() as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, people: OidcProvider, agents: MockIdp) -> Iterator[Trusting]:
    signer = {
        "channel_token_discovery_uri": agents.discovery,
        "channel_token_allow_insecure_loopback": True,
        "channel_token_required": True,
    }
    issuers = [people.configuration(algorithms=["ES256"])]
    with Trusting(tmp_path_factory.mktemp("trusting"), issuers, signer=signer) as running:
        people.set(resources={running.resource: "ES256"})
        yield running


@pytest.fixture
def alice(people: OidcProvider, trusting: Trusting) -> str:
    token: str = people.user_tokens(trusting.resource)["access_token"]
    return token


def test_the_agent_acts_for_the_person(agents: MockIdp, trusting: Trusting, alice: str) -> None:
    answered = trusting.call(alice, X_Channel_Token=agents.token(trusting.resource))
    assert (answered.claims["sub"], answered.claims["client_id"]) == ("alice", "ide")
    assert answered.claims["act"] == {"sub": "planner", "client_id": "planner"}
    intent = trusting.intent(answered)
    assert (intent["channel_token"], intent["caller"]["subject"]) == ("verified", "alice")


def test_who_acted_before_stays_below(people: OidcProvider, agents: MockIdp, trusting: Trusting) -> None:
    people.set(claims={"act": {"sub": "assistant"}})
    token = people.user_tokens(trusting.resource, "bob")["access_token"]
    people.set(claims={})
    claims = trusting.call(token, X_Channel_Token=agents.token(trusting.resource)).claims
    assert (claims["sub"], claims["act"]) == (
        "bob",
        {"sub": "planner", "client_id": "planner", "act": {"sub": "assistant"}},
    )


def test_an_agent_that_may_act_does_and_another_does_not(
    people: OidcProvider, agents: MockIdp, trusting: Trusting
) -> None:
    people.set(claims={"may_act": {"sub": "planner"}})
    token = people.user_tokens(trusting.resource)["access_token"]
    people.set(claims={})
    stranger = agents.token(trusting.resource, client="stranger")
    trusting.refused(token, 403, "actor_refused", X_Channel_Token=stranger)
    assert trusting.call(token, X_Channel_Token=agents.token(trusting.resource)).status == 200


def forged(people: OidcProvider, agents: MockIdp, trusting: Trusting) -> str:
    head, other = agents.token(trusting.resource), agents.token(trusting.resource)
    return f"{head.rpartition('.')[0]}.{other.rpartition('.')[2]}"


BAD: Final[dict[str, Callable[[OidcProvider, MockIdp, Trusting], str]]] = {
    "signature": forged,
    "audience": lambda people, agents, trusting: agents.token(trusting.gateway.at("another")),
    "issuer": lambda people, agents, trusting: people.token(trusting.resource),
    "key_unknown": lambda people, agents, trusting: people.signed({"iss": agents.issuer, "aud": trusting.resource}),
    "malformed": lambda people, agents, trusting: "an-opaque-channel-token-of-nobody",
}
"""What the record says of a refused channel token, and the token."""


def test_a_call_with_a_bad_channel_token_is_refused_and_the_record_says_why(
    people: OidcProvider, agents: MockIdp, trusting: Trusting, alice: str
) -> None:
    refused = {
        why: trusting.refused(alice, 403, "channel_token_invalid", X_Channel_Token=bad(people, agents, trusting))
        for why, bad in BAD.items()
    }
    told = trusting.refusals()
    for why, answered in refused.items():
        entry = told[answered.record]
        assert entry["detail"].startswith(f"channel token: {why}: ")
        assert entry["caller"]["subject"] == "alice"
        assert "www-authenticate" not in answered.headers  # another access token would not help
    assert len({answered.message["error"]["message"] for answered in refused.values()}) == 1
    assert trusting.call(alice, X_Channel_Token=agents.token(trusting.resource)).status == 200


def test_a_call_without_one_is_refused_where_the_server_asks_for_it(
    agents: MockIdp, trusting: Trusting, alice: str
) -> None:
    trusting.refused(alice, 403, "channel_token_missing")
    assert trusting.call(alice, X_Channel_Token=agents.token(trusting.resource)).status == 200


def test_a_channel_token_alone_is_nobody(agents: MockIdp, trusting: Trusting) -> None:
    channel = agents.token(trusting.resource)
    trusting.refused(None, 401, "credential_missing", X_Channel_Token=channel)
    trusting.refused(channel, 401, "credential_invalid", X_Channel_Token=channel)
