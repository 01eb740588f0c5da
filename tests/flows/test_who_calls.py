"""A gateway as its owner runs it, with a certified identity provider that it finds by its discovery document."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.calls import modern_headers, tool_call
from tests.support.gateway import Gateway
from tests.support.hostile import HostileServer
from tests.support.oidc_provider import AGENT, GATEWAY, RESOURCES, SCOPE, OidcProvider

pytestmark = [pytest.mark.party("oidc-provider")]

JWTS = [name for name in RESOURCES if name != "opaque"]


@dataclass(frozen=True, slots=True)
class Running:
    idp: OidcProvider
    gateway: Gateway
    server: HostileServer

    def call(self, token: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        asked = tool_call("get_weather", {"city": "Oslo"})
        body, sent = json.dumps(asked).encode(), modern_headers(asked, Authorization=f"Bearer {token}", **headers)
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.gateway.at("weather"), body, sent), timeout=60
            ) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def reason(self, token: str, **headers: str) -> str:
        """Why a call is refused, without a call to the server."""
        calls = self.server.calls
        _, answer = self.call(token, **headers)
        assert self.server.calls == calls
        return str(answer["error"]["data"]["reason"])

    @property
    def heard(self) -> dict[str, Any]:
        """The claims of the last call token."""
        claims: dict[str, Any] = jwt.decode(self.server.seen[-1].token, options={"verify_signature": False})
        return claims


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("who-calls")
    folder.chmod(0o700)
    secret = folder / "secret"
    secret.write_text(GATEWAY.secret)
    secret.chmod(0o600)
    with OidcProvider() as idp, HostileServer() as server:
        asked = {"endpoint": idp.introspection, "client_id": GATEWAY.id, "client_secret": f"file:{secret}"}
        issuer = {
            "name": "certified",
            "allow_insecure_loopback": True,
            "discovery_uri": idp.discovery,
            "audience": list(RESOURCES.values()),
            "algorithms": ["RS256", "ES256", "PS256", "EdDSA", "Ed25519"],
            "required_scopes": SCOPE.split(),
            "claims": {"roles": "realm_access.roles", "groups": "groups"},
            "introspection": asked,
        }
        signer = {
            "channel_token_discovery_uri": idp.discovery,
            "channel_token_audience_in": RESOURCES["es256"],
            "channel_token_allow_insecure_loopback": True,
        }
        weather = {"url": server.url, "signer": signer}
        callers = {"api_keys": False, "issuers": [issuer]}
        asks = {"scopes": "mcp:call", "groups": "oncall", "roles": ["*"], "issuer": idp.issuer}
        policy = [{"permit": {"callers": asks}}, {"deny": {"callers": {"subject": "mallory"}}}]
        with Gateway(folder, {"weather": weather}, callers=callers, policy=policy) as gateway:
            yield Running(idp, gateway, server)


@pytest.mark.parametrize("form", RESOURCES)
def test_every_form_of_access_token_makes_the_same_caller(running: Running, form: str) -> None:
    """RS256, ES256, PS256, EdDSA, and one that only the provider itself can read."""
    status, answer = running.call(running.idp.token(RESOURCES[form]))
    assert status == 200, answer
    assert (running.heard["sub"], running.heard["client_id"]) == (AGENT.id, AGENT.id)


@pytest.mark.parametrize("form", RESOURCES)
def test_a_person_who_signed_in_is_the_subject_and_the_id_token_is_nobody(running: Running, form: str) -> None:
    granted = running.idp.user_tokens(RESOURCES[form], "carol")
    status, answer = running.call(granted["access_token"])
    assert status == 200, answer
    assert (running.heard["sub"], running.heard["client_id"]) == ("carol", "ide")
    assert running.reason(granted["id_token"]) == "credential_invalid"


def test_rules_ask_about_what_the_token_says(running: Running) -> None:
    granted = running.idp.user_tokens(RESOURCES["es256"], "mallory")
    assert running.reason(granted["access_token"]) == "policy_denied"


@pytest.mark.parametrize("form", RESOURCES)
def test_a_token_that_says_too_little_is_told_all_that_is_needed(running: Running, form: str) -> None:
    assert running.reason(running.idp.token(RESOURCES[form], "mcp:call")) == "insufficient_scope"


def test_a_channel_of_the_same_provider_is_the_actor(running: Running) -> None:
    own, channel = running.idp.token(RESOURCES["rs256"]), running.idp.token(RESOURCES["es256"])
    status, answer = running.call(own, **{"X-Channel-Token": f"Bearer {channel}"})
    assert status == 200, answer
    assert running.heard["act"] == {"sub": AGENT.id, "client_id": AGENT.id}
    assert running.reason(own, **{"X-Channel-Token": own}) == "channel_token_invalid"
    assert running.reason(own, **{"X-Channel-Token": "opaque"}) == "channel_token_invalid"


def test_what_was_asked_of_the_provider_is_little(running: Running) -> None:
    """S1, and the whole module: one discovery document and one key set; no opaque token twice; no JWT at all."""
    for _ in range(3):
        running.call(running.idp.token(RESOURCES["rs256"]))
    paths = [path for _, path in running.idp.seen()]
    assert paths.count("/.well-known/openid-configuration") <= 2
    assert paths.count("/jwks") <= 2


def test_each_part_is_ready(running: Running) -> None:
    with urllib.request.urlopen(f"{running.gateway.url}/readyz", timeout=60) as answer:
        parts = json.loads(answer.read())["parts"]
    assert parts == {"keys": "ok", "audit": "ok", "issuer certified": "ok", "introspection certified": "ok"}
