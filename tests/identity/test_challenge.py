"""The challenge of a 401 and the addresses in it."""

from __future__ import annotations

from counterseal.identity.challenge import challenge, metadata_url, resource


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


def test_k_19_the_address_in_a_challenge_is_configuration() -> None:
    name, value = challenge("https://gw.example.com", "weather", sent=False)
    assert name == b"www-authenticate"
    assert (
        value == b'Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/mcp/weather"'
    )
    assert challenge("https://gw.example.com", "weather", sent=True)[1] == value + b', error="invalid_token"'
