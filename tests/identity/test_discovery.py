"""What a provider says about itself: what is read of it, and what its keys' address must be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.identity.discovery import Discovery, keys_address, read_discovery, shown
from counterseal.identity.fetch import FetchFailed

ISSUER = "https://idp.example.com"
URI = f"{ISSUER}/.well-known/openid-configuration"
KEYS = f"{ISSUER}/keys"


def document(**changes: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": KEYS, **changes}).encode()


def address(issuer: str = ISSUER, jwks_uri: str | None = KEYS, *, uri: str = URI, hosts: tuple[str, ...] = ()) -> str:
    return keys_address(Discovery(issuer, jwks_uri, ()), issuer=ISSUER, uri=uri, hosts=hosts)


def test_three_members_are_read_and_the_rest_decides_nothing() -> None:
    body = document(id_token_signing_alg_values_supported=["RS256", "ES256"], authorization_endpoint="file:///")
    assert read_discovery(body, LIMITS) == Discovery(ISSUER, KEYS, ("RS256", "ES256"))


@pytest.mark.parametrize("value", [None, 7, True, [], {}, [ISSUER]], ids=str)
def test_what_is_not_a_text_is_absent(value: Any) -> None:
    body = document(
        issuer=value, jwks_uri=value, id_token_signing_alg_values_supported=value if value != [ISSUER] else 1
    )
    assert read_discovery(body, LIMITS) == Discovery(None, None, ())


def test_only_what_looks_like_the_name_of_an_algorithm_is_one() -> None:
    body = document(
        id_token_signing_alg_values_supported=["ES256", "", "\x1b[2J", 7, None, ["RS256"], "A" * 33, "ES 256"]
    )
    assert read_discovery(body, LIMITS).algorithms == ("ES256",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>503</html>",
        b"[]",
        b"null",
        b'"https://idp.example.com"',
        b"\xef\xbb\xbf" + document(),
        document().decode().encode("utf-16"),
        document() + b"{}",
        document()[:-1],
        b'{"issuer": "https://idp.example.com", "issuer": "https://evil.example", "jwks_uri": "https://idp.example.com/keys"}',
        b'{"jwks_uri": "https://idp.example.com/keys", "jwks\\u005furi": "https://evil.example/keys"}',
        b'{"issuer": NaN}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        document(a=[0] * 20_000),
    ],
)
def test_a_text_that_two_readers_could_read_differently_is_no_document(body: bytes) -> None:
    with pytest.raises(FetchFailed, match="discovery document"):
        read_discovery(body, LIMITS)
    assert read_discovery(document(), LIMITS).issuer == ISSUER


def test_k_10_a_document_may_be_as_long_as_the_ceiling_and_no_longer() -> None:
    body = document()
    assert read_discovery(body.ljust(64 * 1024), LIMITS).issuer == ISSUER
    with pytest.raises(FetchFailed, match="longer than 65536 bytes"):
        read_discovery(body.ljust(64 * 1024 + 1), LIMITS)


@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}/",
        "https://IDP.example.com",
        "HTTPS://idp.example.com",
        "http://idp.example.com",
        "https://idp.example.com:443",
        "https://idp.example.com/a/..",
        "https://idp%2eexample.com",
        "https://idp.example.com.evil.example",
        "https://idp.example.com@evil.example",
        " https://idp.example.com",
        "https://idp.example.com\n",
        "https://\u0456dp.example.com",
        "",
        None,
    ],
)
def test_k_01_the_issuer_must_be_the_configured_one_to_the_byte(issuer: str | None) -> None:
    with pytest.raises(FetchFailed, match="`issuer`"):
        keys_address(Discovery(issuer, KEYS, ()), issuer=ISSUER, uri=URI, hosts=())
    assert address() == KEYS


@pytest.mark.parametrize(
    ("said", "differs"),
    [
        (f"{ISSUER}/", "a slash at the end"),
        ("https://IDP.example.com", "capital letters"),
        ("http://idp.example.com", "what stands before `://`"),
        (f"{ISSUER}/realms/corp", "what stands from character 24 on"),
        ("https://idp.example.org", "what stands from character 21 on"),
        ("https://idp.example", "what stands from character 20 on"),
        ("https://\u0456dp.example.com", "what stands from character 9 on"),
    ],
)
def test_k_01_how_another_issuer_differs_is_said(said: str, differs: str) -> None:
    with pytest.raises(FetchFailed) as told:
        address(said)
    assert str(told.value) == (
        f"the discovery document's `issuer` is {said!a} and differs in {differs}: "
        "configure exactly that, if it is the one you mean"
    )
    with pytest.raises(FetchFailed, match="has no `issuer`"):
        keys_address(Discovery(None, KEYS, ()), issuer=ISSUER, uri=URI, hosts=())


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "https://evil.example/keys",
        "https://keys.idp.example.com/keys",
        "https://example.com/keys",
        "https://idp.example.com.evil.example/keys",
        "https://evil.example/idp.example.com",
        "https://idp.example.com@evil.example/keys",
        "https://evil.example#@idp.example.com/",
        "https://idp.example.com./keys",
        "https://idp.example.com\\.evil.example/keys",
        "http://idp.example.com/keys",
        "http://localhost/keys",
        "http://127.0.0.1/keys",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/keys",
        "https://[::ffff:127.0.0.1]/keys",
        "https://2130706433/keys",
        "file:///etc/passwd",
        "ftp://idp.example.com/keys",
        "//idp.example.com/keys",
        "/keys",
        "keys",
        "",
    ],
)
def test_k_02_the_keys_stay_at_the_documents_host(jwks_uri: str) -> None:
    with pytest.raises(FetchFailed, match="`jwks_uri`"):
        address(jwks_uri=jwks_uri)
    for good in (KEYS, "https://IDP.example.com/other?a=b", "https://idp.example.com:8443/keys"):
        assert address(jwks_uri=good) == good


def test_k_02_another_host_is_one_that_the_operator_lists() -> None:
    elsewhere = "https://www.googleapis.com/oauth2/v3/certs"
    with pytest.raises(FetchFailed, match=r"add www\.googleapis\.com to `jwks_hosts`"):
        address(jwks_uri=elsewhere)
    assert address(jwks_uri=elsewhere, hosts=("other.example", "WWW.googleapis.com")) == elsewhere
    with pytest.raises(FetchFailed):
        address(jwks_uri=elsewhere, hosts=("googleapis.com",))
    with pytest.raises(FetchFailed):
        address(jwks_uri=elsewhere.replace("https:", "http:"), hosts=("www.googleapis.com",))


def test_k_02_where_no_other_host_can_be_listed_another_remedy_is_named() -> None:
    found = Discovery(ISSUER, "https://keys.example.net/keys", ())
    with pytest.raises(FetchFailed, match="configure it in place of the document"):
        keys_address(found, issuer=ISSUER, uri=URI, hosts=None)
    assert keys_address(Discovery(ISSUER, KEYS, ()), issuer=ISSUER, uri=URI, hosts=None) == KEYS


def test_a_document_without_an_address_for_keys_says_so() -> None:
    with pytest.raises(FetchFailed, match="no `jwks_uri`"):
        address(jwks_uri=None)


def test_what_was_found_over_http_on_this_machine_may_stay_there() -> None:
    here = "http://127.0.0.1:8080/keys"
    assert address(jwks_uri=here, uri="http://127.0.0.1:9090/.well-known/openid-configuration") == here
    with pytest.raises(FetchFailed, match="http"):
        address(jwks_uri="http://idp.example.com/keys")


def test_a_providers_text_in_a_message_does_nothing_to_a_terminal() -> None:
    assert shown("a\x1b[2J\r\n\u202e'b") == '"a\\x1b[2J\\r\\n\\u202e\'b"'
    assert len(shown("x" * 10_000)) < 300
    assert shown(None) == "missing"
    with pytest.raises(FetchFailed) as told:
        address("\x1b[2J\nforged line")
    assert str(told.value).isprintable()
