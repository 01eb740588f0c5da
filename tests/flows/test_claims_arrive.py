"""A certified provider's token with nested roles goes through mapping, operations and validation, and arrives as configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.oidc_provider import OidcProvider
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("oidc-provider", "fastmcp")]

SIGNER: dict[str, Any] = {
    "mode": "verify_and_resign",
    "end_user_claim_sources": ["claim:profile.login", "sub"],
    "required_claims": ["realm_access.roles", {"name": "tenant", "values": ["acme", "globex"]}],
    "optional_claims": ["department", "nothing_of_the_kind"],
    "add_claims": {"department": "added only where it is missing", "origin": "corp"},
    "set_claims": {"roles": "{claim.realm_access.roles}", "hello": "{caller.subject} at {call.server}"},
    "remove_claims": ["origin"],
}
CLAIMS: dict[str, Any] = {
    "profile": {"login": "alice@corp"},
    "realm_access": {"roles": ["reader", "writer"]},
    "tenant": "acme",
    "department": "research",
    "secret_of_the_idp": "stays here",
}


def test_nested_roles_arrive_as_configured_and_nothing_else_does(tmp_path: Path) -> None:
    with OidcProvider() as idp:
        issuer = idp.configuration(claims={"roles": "realm_access.roles"}, algorithms=["ES256"])
        policy = [{"permit": {"callers": {"roles": ["writer"]}, "servers": ["whoami"]}}]
        with Trusting(tmp_path, [issuer], signer=SIGNER, policy=policy) as gateway:
            idp.set(resources={gateway.resource: "ES256"}, claims=CLAIMS)
            token = idp.token(gateway.resource)
            claims = gateway.call(token).claims
            assert claims["sub"] == "alice@corp"
            assert claims["roles"] == ["reader", "writer"]
            assert claims["department"] == "research"
            assert claims["hello"] == "agent at whoami"
            assert claims.keys() == {
                *("iss", "aud", "sub", "client_id", "act", "scope", "iat", "nbf", "exp", "jti", "txn"),
                *("authorization_details", "department", "roles", "hello", "tenant", "realm_access"),
            }
            # One edit away each: a role that no rule permits, a claim that is required, a value that is not among those.
            for change, reason in (
                ({"realm_access": {"roles": ["reader"]}}, "policy_denied"),
                ({"tenant": "initech"}, "required_claim_missing"),
                ({"tenant": None}, "required_claim_missing"),
            ):
                idp.set(claims={**CLAIMS, **change})
                gateway.refused(idp.token(gateway.resource), 403, reason)
