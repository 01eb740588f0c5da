"""Claims of a certified identity provider, mapped by the gateway, at a server that other people's software guards.

The server is FastMCP's with its own `JWTVerifier`: once as it is, and once as one that was set up for LiteLLM's tokens and
enforces their scopes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from counterseal.core.names import RESERVED
from tests.support.oidc_provider import OidcProvider
from tests.support.process import free_port
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("oidc-provider", "fastmcp", "pyjwt")]

SEEDS_SCOPES: Final = ("mcp:tools/call", "mcp:tools/whoami:call")
SIGNER: Final[dict[str, Any]] = {
    "mode": "verify_and_resign",
    "end_user_claim_sources": ["claim:profile.name", "sub"],
    "required_claims": ["tenant", {"name": "realm_access.roles", "values": ["reader", "editor"]}],
    "optional_claims": ["department"],
    "add_claims": {"department": "none", "app.level": "{claim.level:int|0}"},
    "set_claims": {"app.roles": "{claim.realm_access.roles}", "app.where": "{call.server}/{call.name}"},
    "remove_claims": ["realm_access"],
}


@pytest.fixture(scope="module")
def idp() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


def token(idp: OidcProvider, trusting: Trusting, **claims: Any) -> str:
    """A person's access token for the server, with more claims."""
    idp.set(resources={trusting.resource: "ES256"}, claims=claims)
    return str(idp.user_tokens(trusting.resource, "carol")["access_token"])


def trusting(folder: Path, idp: OidcProvider, **more: Any) -> Trusting:
    return Trusting(folder, [idp.configuration(claims={"team": "team"})], port=free_port(), **more)


def test_nested_roles_are_validated_mapped_and_arrive_as_configured(idp: OidcProvider, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with trusting(tmp_path, idp, signer=SIGNER) as running:
        held = {"tenant": "acme", "realm_access": {"roles": ["editor"]}, "level": "7", "profile": {"name": "Carol C."}}
        claims = running.call(token(idp, running, **held)).claims
        assert claims["sub"] == "Carol C."
        assert {name: claims[name] for name in claims.keys() - RESERVED} == {
            "tenant": "acme",
            "department": "none",
            "app": {"level": 7, "roles": ["editor"], "where": "whoami/whoami"},
        }
        claims = running.call(token(idp, running, tenant="acme", department="sales")).claims
        assert (claims["sub"], claims["department"], claims["app"]["roles"]) == ("carol", "sales", ["reader"])

        viewer = token(idp, running, realm_access={"roles": ["viewer"]})
        refused = running.refused(viewer, 403, "required_claim_missing")
        assert "`tenant`, `realm_access.roles` (of an expected value)" in refused.message["error"]["message"]
        rule = running.refusals()[refused.record]["rule"]
        assert rule.startswith("servers.whoami.signer.required_claims[0] (counterseal.yaml:")


def test_a_server_that_enforces_litellms_scopes_accepts_its_shape_and_refuses_another(
    idp: OidcProvider, tmp_path: Path
) -> None:
    for name, profile in (("theirs", "litellm"), ("ours", None)):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        with trusting(folder, idp, signer={"profile": profile}, scopes=SEEDS_SCOPES) as running:
            answered = running.call(token(idp, running, team="data", email="c@x", email_verified=True))
            if profile is None:
                assert (answered.status, answered.reason) == (502, "server_refused")
            else:
                claims = answered.claims
                assert claims["scope"].split(" ") == list(SEEDS_SCOPES)
                assert (claims["act"], claims["email"], claims["sub"]) == ({"sub": "data"}, "c@x", "carol")
