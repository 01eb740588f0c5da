"""The challenges of a 401 and a 403, the scopes and the addresses in them."""

from __future__ import annotations

import pytest

from counterseal.identity.challenge import challenge, insufficient_scope, metadata_url, resource, scope_value

ISSUER = "https://gw.example.com"
METADATA = f"{ISSUER}/.well-known/oauth-protected-resource/mcp/weather"


def test_the_resource_is_the_address_that_a_client_calls() -> None:
    assert resource("https://gw.example.com", "weather") == "https://gw.example.com/mcp/weather"
    assert resource("https://gw.example.com", "") == "https://gw.example.com/mcp"


def test_the_well_known_part_goes_between_host_and_path() -> None:
    assert metadata_url("https://gw.example.com", "weather") == (
        "https://gw.example.com/.well-known/oauth-protected-resource/mcp/weather"
    )
    assert (
        metadata_url("https://gw.example.com", "") == "https://gw.example.com/.well-known/oauth-protected-resource/mcp"
    )
    assert metadata_url("https://example.com:8443/tenant", "weather") == (
        "https://example.com:8443/.well-known/oauth-protected-resource/tenant/mcp/weather"
    )


def test_k_19_the_address_in_a_challenge_is_configuration() -> None:
    name, value = challenge("https://gw.example.com", "weather", sent=False)
    assert name == b"www-authenticate"
    assert (
        value == b'Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/mcp/weather"'
    )
    assert challenge("https://gw.example.com", "weather", sent=True)[1] == value + b', error="invalid_token"'


def test_a_401_names_every_scope_that_a_token_needs_at_once() -> None:
    scopes = ("mcp", "mcp:read")
    assert challenge(ISSUER, "weather", sent=False, scopes=scopes)[1].decode() == (
        f'Bearer resource_metadata="{METADATA}", scope="mcp mcp:read"'
    )
    assert challenge(ISSUER, "weather", sent=True, scopes=scopes)[1].decode() == (
        f'Bearer resource_metadata="{METADATA}", scope="mcp mcp:read", error="invalid_token"'
    )
    assert b"scope" not in challenge(ISSUER, "weather", sent=True, scopes=())[1]


def test_a_403_that_more_scope_mends_names_all_of_it() -> None:
    """RFC 6750 section 3.1: those that the token has, too, because a client asks for exactly these."""
    name, value = insufficient_scope(ISSUER, "weather", ("mcp", "mcp:read"))
    assert name == b"www-authenticate"
    assert value.decode() == (
        f'Bearer error="insufficient_scope", scope="mcp mcp:read", resource_metadata="{METADATA}", '
        'error_description="the token needs all of these scopes"'
    )


@pytest.mark.parametrize(
    "scope", ["mcp", "mcp:tools/call", "api://gateway/.default", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "a"]
)
def test_a_scope_is_what_rfc_6749_says(scope: str) -> None:
    assert scope_value([scope, scope]) == scope


@pytest.mark.parametrize(
    "scope", ["", " ", "a b", 'a"', "a\\", "a\r\nset-cookie: a=b", "a\n", "a\t", "a\x00", "a\x7f", "ä", "a\u2028"]
)
def test_h_04_a_scope_that_could_end_its_quotes_or_the_header_is_none(scope: str) -> None:
    for make in (
        lambda: scope_value(["mcp", scope]),
        lambda: challenge(ISSUER, "weather", sent=False, scopes=["mcp", scope]),
        lambda: insufficient_scope(ISSUER, "weather", ["mcp", scope]),
    ):
        with pytest.raises(ValueError, match="a scope holds a character that none has"):
            make()
    assert scope_value(["mcp"]) == "mcp"
