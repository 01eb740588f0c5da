"""What the issuer publishes: what is configured and what exists, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from counterseal.issuer import documents
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner
from tests.support.tokens import private_key

ISSUER = "https://gateway.example.com/tenant"
RING = KeyRing.of([LocalSigner(private_key(name), name) for name in ("ES256", "RS256", "Ed25519")])


def read(document: bytes) -> Any:
    return json.loads(document)


def test_k_18_the_jwks_holds_every_live_key_and_public_members_alone() -> None:
    keys = read(documents.jwks(RING))["keys"]
    assert [key["alg"] for key in keys] == ["ES256", "RS256", "Ed25519"]
    assert set().union(*keys) == {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}


def test_k_18_the_documents_are_the_same_bytes_each_time() -> None:
    again = KeyRing.of([LocalSigner(private_key(name), name) for name in ("ES256", "RS256", "Ed25519")])
    assert documents.jwks(RING) == documents.jwks(again)
    assert documents.openid_configuration(ISSUER, RING) == documents.openid_configuration(ISSUER, again)


def test_the_issuer_in_both_discovery_documents_is_the_configured_one_to_the_byte() -> None:
    for document in (documents.openid_configuration(ISSUER, RING), documents.authorization_server(ISSUER)):
        found = read(document)
        assert (found["issuer"], found["jwks_uri"]) == (ISSUER, f"{ISSUER}/.well-known/jwks.json")


def test_discovery_has_what_openid_requires_and_names_nothing_that_does_not_exist() -> None:
    found = read(documents.openid_configuration(ISSUER, RING))
    required = {"issuer", "authorization_endpoint", "jwks_uri", "response_types_supported", "subject_types_supported"}
    assert required | {"id_token_signing_alg_values_supported"} == set(found)
    assert found["id_token_signing_alg_values_supported"] == ["ES256", "RS256", "Ed25519"]
    assert found["authorization_endpoint"].startswith("urn:")
    assert set(read(documents.authorization_server(ISSUER))) == {"issuer", "jwks_uri", "response_types_supported"}


def protected(*scopes: str, providers: tuple[str, ...] = ("https://idp.example.com",)) -> Any:
    return read(documents.protected_resource(f"{ISSUER}/mcp/weather", "Forecasts", providers, scopes))


def test_a_protected_resource_is_the_address_that_is_called_and_who_issues_tokens_for_it() -> None:
    assert protected() == {
        "resource": f"{ISSUER}/mcp/weather",
        "resource_name": "Forecasts",
        "bearer_methods_supported": ["header"],
        "authorization_servers": ["https://idp.example.com"],
    }
    both = ("https://idp.example.com", "https://other.example.com")
    assert protected(providers=both)["authorization_servers"] == list(both)
    assert "authorization_servers" not in protected(providers=())


def test_a_protected_resource_names_the_scopes_that_a_token_needs_each_once() -> None:
    assert protected("mcp", "mcp:read", "mcp")["scopes_supported"] == ["mcp", "mcp:read"]
    assert "scopes_supported" not in protected()


def test_offline_access_is_between_a_client_and_its_identity_provider() -> None:
    assert protected("mcp", "offline_access")["scopes_supported"] == ["mcp"]
    assert "scopes_supported" not in protected("offline_access")


def test_an_issuer_with_a_path_is_found_by_every_form_that_readers_know() -> None:
    assert documents.places("https://gw.example.com", "openid-configuration") == ("/.well-known/openid-configuration",)
    assert documents.places("https://example.com/tenant", "openid-configuration") == (
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    )
