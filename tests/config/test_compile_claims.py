"""From the keys of a signer to settings: whose keys they are, and where in the file they stand."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.compile_claims import signer_settings
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.origins import Origins
from counterseal.core.permit import ClaimsRefused
from counterseal.core.profiles import COUNTERSEAL, LITELLM
from tests.config.writing import ISSUER, accepted
from tests.core.callers import call, key, token

KEY = bytes(32)
FILE = """\
issuer: https://gateway.example.com
callers: {issuers: [{name: corp, issuer: "https://idp", jwks_uri: "https://idp/k"}]}
signer:
  ttl_seconds: 2m
  set_claims:
    tenant: "{claim.tenant}"
    https://example.com/plan: free
  required_claims: [tenant, {name: azp, values: [ide]}]
servers:
  a: {url: http://a/mcp}
  b:
    url: http://b
    signer:
      audience: urn:b
      bind_arguments: false
      profile: litellm
      required_claims: []
      optional_claims:
        - department
        - [realm, "a.b"]
      add_claims: {level: "{claim.level:int|0}"}
      set_claims: {app: {on: true}}
      remove_claims: [department]
  c: {url: http://c, signer: {mode: verify_and_resign, subject: pairwise}}
""".replace("on: true", "active: true")


def settings(server: str, text: str = FILE) -> SignerSettings:
    return signer_settings(accepted(text), server, algorithm="ES256", pairwise_key=KEY)


def made(server: str, caller: Any, origins: Origins | None = None) -> dict[str, Any]:
    return build_claims(caller, call(name="t"), settings(server), now=1, jti="j", txn="t", origins=origins)


def test_a_token_is_for_the_servers_address_unless_it_has_an_audience() -> None:
    first, second = settings("a"), settings("b")
    assert (first.issuer, first.audience, first.algorithm, first.ttl_seconds) == (ISSUER, "http://a/mcp", "ES256", 120)
    assert first.end_user_claim_sources == ("sub", "preferred_username", "email", "user_id")
    assert (first.bind_arguments, first.profile, first.mode, first.pairwise) == (True, COUNTERSEAL, "sign", None)
    assert (second.audience, second.bind_arguments, second.profile) == ("urn:b", False, LITELLM)
    with pytest.raises(KeyError):
        settings("d")


def test_a_servers_own_operations_stand_in_place_of_the_defaults_key_by_key() -> None:
    caller = token({"tenant": "acme", "azp": "ide", "department": "sales", "realm": {"a.b": 1, "c": 2}})
    default, own = made("a", caller), made("b", caller)
    assert (default["tenant"], default["https://example.com/plan"]) == ("acme", "free")
    assert default.keys().isdisjoint({"department", "realm", "level", "app", "azp"})
    assert (own["realm"], own["level"], own["app"]) == ({"a.b": 1}, 0, {"active": True})
    assert own.keys().isdisjoint({"tenant", "department", "https://example.com/plan"})


def test_what_is_required_is_passed_on_but_for_what_the_gateway_alone_says() -> None:
    """docs/call-token.md."""
    text = FILE.replace('    tenant: "{claim.tenant}"\n', "")
    caller = token({"tenant": "acme", "azp": "ide"})
    claims = build_claims(caller, call(name="t"), settings("a", text), now=1, jti="j", txn="t")
    assert claims["tenant"] == "acme"
    assert "azp" not in claims


def test_a_place_is_that_of_the_part_that_has_the_key() -> None:
    default, own = settings("a"), settings("b")
    assert default.place("ttl_seconds") == own.place("ttl_seconds") == "signer.ttl_seconds (counterseal.yaml:4)"
    assert own.place("audience") == "servers.b.signer.audience (counterseal.yaml:14)"
    assert default.place("mode") == "signer.mode (default)"
    assert [one.where for one in default.operations.set] == [
        "signer.set_claims.tenant (counterseal.yaml:6)",
        'signer.set_claims."https://example.com/plan" (counterseal.yaml:7)',
    ]
    assert [one.where for one in own.operations.passed] == [
        "servers.b.signer.optional_claims[0] (counterseal.yaml:19)",
        "servers.b.signer.optional_claims[1] (counterseal.yaml:20)",
    ]
    assert [one.where for one in own.operations.removed] == ["servers.b.signer.remove_claims[0] (counterseal.yaml:23)"]


def test_a_refusal_and_an_origin_name_the_line() -> None:
    for caller, reason, where in (
        (token({"azp": "ide"}), "required_claim_missing", "signer.required_claims[0] (counterseal.yaml:8)"),
        (token({"tenant": "acme"}), "required_claim_missing", "signer.required_claims[1] (counterseal.yaml:8)"),
    ):
        with pytest.raises(ClaimsRefused) as told:
            made("a", caller)
        assert (told.value.denial.reason, told.value.denial.rule) == (reason, where)
    with pytest.raises(ClaimsRefused) as told:
        made("c", key(fields={"user_id": "alice"}))
    assert told.value.denial.rule == "servers.c.signer.mode (counterseal.yaml:24)"
    origins = Origins()
    made("a", token({"tenant": "acme", "azp": "ide"}), origins)
    assert origins["tenant",].where == "signer.set_claims.tenant (counterseal.yaml:6)"
    assert origins["sub",].where == "signer.end_user_claim_sources (default)"


def test_a_pairwise_subject_is_of_the_server_by_its_name() -> None:
    signer = settings("c")
    assert signer.pairwise is not None
    assert (signer.pairwise.server, signer.pairwise.key) == ("c", KEY)
    assert "pairwise=" in repr(signer)
    assert repr(KEY) not in repr(signer)
