"""The identity provider that other flows lean on, seen by itself: its tokens, its rotations and its outages are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest

from tests.support.oidc_provider import RESOURCES, OidcProvider

pytestmark = [pytest.mark.party("oidc-provider", "pyjwt")]

ALGORITHMS = {"rs256": "RS256", "es256": "ES256", "ps256": "PS256", "eddsa": "EdDSA"}


@pytest.fixture(scope="module")
def idp() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


def kids(idp: OidcProvider) -> list[str]:
    return [key["kid"] for key in httpx2.get(idp.jwks, timeout=60).json()["keys"] if key["alg"] == "ES256"]


def signer(idp: OidcProvider) -> str:
    return str(jwt.get_unverified_header(idp.token(RESOURCES["es256"]))["kid"])


def verified(idp: OidcProvider, token: str, name: str) -> dict[str, Any]:
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(httpx2.get(idp.jwks, timeout=60).json()).keys}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, [ALGORITHMS[name]], audience=RESOURCES[name], issuer=idp.issuer)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_resource_has_tokens_of_its_algorithm_for_agents_and_for_people(idp: OidcProvider, name: str) -> None:
    agent = verified(idp, idp.token(RESOURCES[name]), name)
    assert (agent["sub"], agent["client_id"], agent["scope"]) == ("agent", "agent", "mcp:call mcp:list")
    person = verified(idp, idp.user_tokens(RESOURCES[name], "bob")["access_token"], name)
    assert (person["sub"], person["client_id"]) == ("bob", "ide")


def test_an_opaque_token_says_nothing(idp: OidcProvider) -> None:
    assert "." not in idp.token(RESOURCES["opaque"])


def test_more_resources_and_claims_can_be_set(idp: OidcProvider) -> None:
    resource = "http://127.0.0.1:9/mcp/weather"
    idp.set(resources={resource: "ES256"}, claims={"act": {"sub": "planner"}}, seconds=30)
    claims = jwt.decode(idp.token(resource), options={"verify_signature": False})
    assert (claims["aud"], claims["act"], claims["exp"] - claims["iat"]) == (resource, {"sub": "planner"}, 30)
    idp.set(claims={}, seconds=300)
    assert "act" not in jwt.decode(idp.token(RESOURCES["rs256"]), options={"verify_signature": False})


def test_keys_rotate_at_once_or_step_by_step(idp: OidcProvider) -> None:
    (first,) = kids(idp)
    idp.rotate()
    (second,) = kids(idp)
    assert first != second == signer(idp)
    idp.rotate("publish")
    _, third = kids(idp)
    assert signer(idp) == second
    idp.rotate("sign")
    assert kids(idp) == [third, second]
    assert signer(idp) == third
    idp.rotate("retire")
    assert kids(idp) == [third]


def test_what_was_issued_before_a_rotation_is_still_known(idp: OidcProvider) -> None:
    token = idp.token(RESOURCES["opaque"])
    idp.rotate()
    idp.revoke(token)


def test_it_is_down_in_three_ways_and_comes_back(idp: OidcProvider) -> None:
    idp.down("503")
    assert httpx2.get(idp.discovery, timeout=60).status_code == 503
    idp.down("reset")
    with pytest.raises(httpx2.TransportError):
        httpx2.get(idp.discovery, timeout=60)
    idp.down("hang")
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.get(idp.discovery, timeout=0.3)
    assert idp.seen()[-3:] == [("GET", "/.well-known/openid-configuration")] * 3
    idp.down("up")
    assert httpx2.get(idp.discovery, timeout=60).json()["issuer"] == idp.issuer
