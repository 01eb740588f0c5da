"""Two identity providers at one gateway: `oidc-provider`, and `oauth2-mock-server`, whose one key has the same `kid`.

A key counts for the issuer that published it and for no other (J-06, K-15).
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import jwt
import pytest

from tests.support.mock_idp import MockIdp
from tests.support.oidc_provider import OidcProvider
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("oidc-provider", "oauth2-mock-server", "fastmcp", "pyjwt")]

KID = "es256-1"


@pytest.fixture(scope="module")
def corp() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[MockIdp]:
    with MockIdp(KID) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, corp: OidcProvider, other: MockIdp) -> Iterator[Trusting]:
    """`agent` may call with a token of the first, `planner` with one of the second."""
    callers = {"agent": corp.issuer, "planner": other.issuer}
    policy = [{"permit": {"callers": {"subject": sub, "issuer": issuer}}} for sub, issuer in callers.items()]
    issuers = [corp.configuration(algorithms=["ES256"]), other.configuration(algorithms=["ES256"])]
    with Trusting(tmp_path_factory.mktemp("trusting"), issuers, policy=policy) as running:
        corp.set(resources={running.resource: "ES256"})
        yield running


def claims(trusting: Trusting, issuer: str, subject: str) -> dict[str, str]:
    return {"iss": issuer, "aud": trusting.resource, "sub": subject, "client_id": subject}


def test_both_are_believed_side_by_side(corp: OidcProvider, other: MockIdp, trusting: Trusting) -> None:
    tokens = {"agent": corp.token(trusting.resource), "planner": other.token(trusting.resource)}
    assert {jwt.get_unverified_header(token)["kid"] for token in tokens.values()} == {KID}
    issuers = {}
    for subject in ("agent", "planner", "agent", "planner"):
        answered = trusting.call(tokens[subject])
        assert (answered.claims["sub"], answered.claims["client_id"]) == (subject, subject)
        issuers[subject] = trusting.intent(answered)["caller"]["issuer"]
    assert issuers == {"agent": corp.issuer, "planner": other.issuer}


def test_j_06_a_key_of_one_does_not_sign_for_the_other_though_the_kid_is_the_same(
    corp: OidcProvider, other: MockIdp, trusting: Trusting
) -> None:
    """Each forged token has a twin, signed by the same key, that differs in `iss` and subject alone."""
    of_corp, of_other = claims(trusting, corp.issuer, "agent"), claims(trusting, other.issuer, "planner")
    refused = [
        trusting.refused(forged, 401, "credential_invalid") for forged in (other.signed(of_corp), corp.signed(of_other))
    ]
    told = trusting.refusals()
    assert [told[answered.record]["detail"].partition(":")[0] for answered in refused] == ["signature", "signature"]
    assert [trusting.call(good).status for good in (corp.signed(of_corp), other.signed(of_other))] == [200, 200]


def test_one_that_names_another_issuer_is_refused(corp: OidcProvider, other: MockIdp, trusting: Trusting) -> None:
    """J-18: not even by a slash."""
    for issuer in (f"{other.issuer}/", "https://evil.example.com", trusting.gateway.issuer):
        trusting.refused(other.signed(claims(trusting, issuer, "planner")), 401, "credential_invalid")
    assert trusting.call(other.signed(claims(trusting, other.issuer, "planner"))).status == 200


def test_a_subject_of_one_is_not_that_subject_of_the_other(
    corp: OidcProvider, other: MockIdp, trusting: Trusting
) -> None:
    """J-19: who somebody is, is (iss, sub)."""
    answered = trusting.refused(other.token(trusting.resource, client="agent"), 403, "policy_denied")
    assert trusting.refusals()[answered.record]["caller"]["issuer"] == other.issuer
    assert trusting.call(corp.token(trusting.resource)).claims["sub"] == "agent"


def test_clients_are_told_of_both(corp: OidcProvider, other: MockIdp, trusting: Trusting) -> None:
    challenge = trusting.refused(None, 401, "credential_missing").headers["www-authenticate"]
    place = challenge.partition('resource_metadata="')[2].partition('"')[0]
    document = httpx2.get(place, timeout=60, trust_env=False).json()
    assert document["resource"] == trusting.resource
    assert document["authorization_servers"] == [corp.issuer, other.issuer]
