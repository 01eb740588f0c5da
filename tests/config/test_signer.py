"""Who besides the caller may say something for a call token: channel tokens, and headers of a trusted proxy."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.signer import Signer
from tests.config.writing import IDP, ISSUER, Written, at, load, refused

WEATHER = {"url": "http://w"}
DISCOVERY = "https://channels.example.com/.well-known/openid-configuration"
JWKS = "https://channels.example.com/jwks"
ANY_PLACE = pytest.mark.parametrize("place", ["signer", "server"])


def with_signer(place: str, keys: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these keys for all servers, or for its one server."""
    if place == "signer":
        return {"signer": keys, "servers": {"w": WEATHER}}
    return {"servers": {"w": {**WEATHER, "signer": keys}}}


def accepted(place: str, **keys: Any) -> Signer:
    return load(**with_signer(place, keys)).signer_of("w")


def told(place: str, key: str, says: str, **keys: Any) -> None:
    """One problem: at the key where the server has it itself, else at the server that takes it over."""
    written, problem = refused(**with_signer(place, keys))
    assert problem.startswith(where(written, place, key, keys))
    assert says in problem
    assert key in problem


def where(written: Written, place: str, key: str, keys: dict[str, Any]) -> str:
    return (
        at(written, "servers", "w", "signer", key) if place == "server" and key in keys else at(written, "servers", "w")
    )


# channel tokens


@ANY_PLACE
def test_s7_nobody_verifies_channel_tokens_unless_somebody_is_configured(place: str) -> None:
    signer = accepted(place)
    assert (signer.channel_issuer, signer.channel_token_required) == (None, False)
    assert signer.channel_token_header == "X-Channel-Token"


@ANY_PLACE
@pytest.mark.parametrize("name", ["HS256", "none", "ML-DSA-44"])
def test_a_channel_token_is_signed_with_what_is_established(place: str, name: str) -> None:
    keys = {"channel_token_jwks_uri": JWKS, "channel_token_issuer": "https://c.example.com"}
    accepted(place, **keys, channel_token_algorithms=["PS256", "EdDSA"])
    _, problem = refused(**with_signer(place, {**keys, "channel_token_algorithms": ["ES256", name]}))
    assert "channel_token_algorithms[1]: must be one of RS256" in problem


@ANY_PLACE
def test_a_channels_issuer_is_given_or_what_the_address_was_made_from(place: str) -> None:
    assert accepted(place, channel_token_discovery_uri=DISCOVERY).channel_issuer == "https://channels.example.com"
    given = accepted(place, channel_token_discovery_uri=DISCOVERY, channel_token_issuer="https://channels.example.com/")
    assert given.channel_issuer == "https://channels.example.com/"
    keys = {"channel_token_jwks_uri": JWKS, "channel_token_issuer": "https://c.example.com"}
    assert accepted(place, **keys).channel_issuer == "https://c.example.com"
    told(place, "channel_token_jwks_uri", "add `channel_token_issuer`", channel_token_jwks_uri=JWKS)
    told(place, "channel_token_discovery_uri", "add `channel_token_issuer`", channel_token_discovery_uri=JWKS)


@ANY_PLACE
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channel_token_required", True),
        ("channel_token_audience_in", "api"),
        ("channel_token_issuer", "https://channels.example.com"),
    ],
)
def test_s7_what_is_asked_of_channel_tokens_is_asked_by_somebody(place: str, key: str, value: Any) -> None:
    accepted(place, **{key: value, "channel_token_discovery_uri": DISCOVERY})
    told(place, key, "or remove it", **{key: value})


@ANY_PLACE
def test_a_channel_has_one_source_of_keys(place: str) -> None:
    both = {"channel_token_discovery_uri": DISCOVERY, "channel_token_jwks_uri": JWKS}
    told(place, "channel_token_jwks_uri", "keep one of the two", **both)


def test_a_server_may_have_another_channel_than_the_default() -> None:
    signer = {"channel_token_discovery_uri": DISCOVERY}
    own = {
        "channel_token_discovery_uri": None,
        "channel_token_jwks_uri": JWKS,
        "channel_token_issuer": "https://c.example.com",
    }
    configuration = load(signer=signer, servers={"w": {**WEATHER, "signer": own}, "other": {"url": "http://o"}})
    assert configuration.signer_of("w").channel_issuer == "https://c.example.com"
    assert configuration.signer_of("other").channel_issuer == "https://channels.example.com"


@ANY_PLACE
def test_j_21_our_own_tokens_are_no_channel_tokens(place: str) -> None:
    keys = {"channel_token_jwks_uri": JWKS, "channel_token_issuer": ISSUER}
    told(place, "channel_token_issuer", "this gateway itself", **keys)


@ANY_PLACE
def test_c_02_a_channels_addresses_are_http_only_on_loopback_and_only_where_that_is_said(place: str) -> None:
    local = {"channel_token_discovery_uri": "http://127.0.0.1:9000/.well-known/openid-configuration"}
    assert accepted(place, **local, channel_token_allow_insecure_loopback=True)
    told(place, "channel_token_discovery_uri", "channel_token_allow_insecure_loopback: true", **local)
    for key in ("channel_token_discovery_uri", "channel_token_jwks_uri", "channel_token_issuer"):
        far = with_signer(place, {key: "http://idp.example.com/a", "channel_token_allow_insecure_loopback": True})
        assert "must be an https address" in refused(**far)[1]


@ANY_PLACE
@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "Cookie", "Host", "Mcp-Name", "a b"])
def test_a_channel_token_has_a_header_of_its_own(place: str, header: str) -> None:
    accepted(place, channel_token_header="X-Other")
    _, problem = refused(**with_signer(place, {"channel_token_header": header}))
    assert "channel_token_header" in problem


def test_k_15_one_document_has_one_issuer_whoever_reads_it() -> None:
    corp = {"name": "corp", "issuer": "https://channels.example.com/", "discovery_uri": DISCOVERY}
    servers = {"w": {**WEATHER, "signer": {"channel_token_discovery_uri": DISCOVERY}}}
    load(callers={"issuers": [{**corp, "issuer": "https://channels.example.com"}]}, servers=servers)
    written, problem = refused(callers={"issuers": [corp]}, servers=servers)
    assert problem.startswith(at(written, "servers", "w", "signer", "channel_token_discovery_uri"))
    assert "`corp`" in problem
    load(callers={"issuers": [IDP]}, servers=servers)


# identity headers


@ANY_PLACE
@pytest.mark.parametrize(
    ("network", "means"),
    [
        ("10.0.0.5", "10.0.0.5/32"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("fd00::/48", "fd00::/48"),
        ("FD00:0::1", "fd00::1/128"),
        ("::ffff:10.0.0.0/120", "10.0.0.0/24"),
    ],
)
def test_i_01_peers_that_may_name_a_subject_are_networks(place: str, network: str, means: str) -> None:
    assert accepted(place, trust_identity_headers_from=[network]).trust_identity_headers_from == (means,)


@ANY_PLACE
@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("0.0.0.0/0", "every address there is"),
        ("::/0", "every address there is"),
        ("::ffff:0:0/96", "every address there is"),
        ("10.0.0.1/8", "CIDR"),
        ("proxy.internal", "CIDR"),
        ("*", "CIDR"),
        ("10.0.0.0/255.0.0.0x", "CIDR"),
    ],
)
def test_i_01_nobody_trusts_everybody(place: str, network: str, says: str) -> None:
    """Threats section 3, number 15."""
    _, problem = refused(**with_signer(place, {"trust_identity_headers_from": ["10.0.0.0/24", network]}))
    assert "trust_identity_headers_from[1]" in problem
    assert says in problem


@ANY_PLACE
@pytest.mark.parametrize(
    "source",
    ["authorization", "HOST", "x-api-key", "content-type", "mcp-name", "connection", "x_channel_token", "Accept"],
)
def test_i_02_a_header_with_a_meaning_of_its_own_names_no_subject(place: str, source: str) -> None:
    keys = {"end_user_claim_sources": ["sub", source]}
    accepted(place, **keys)
    trusting = {**keys, "trust_identity_headers_from": ["10.0.0.0/24"]}
    told(place, "end_user_claim_sources", f"names `{source}`", **trusting)
    accepted(place, end_user_claim_sources=["sub", "x-user"], trust_identity_headers_from=["10.0.0.0/24"])


@ANY_PLACE
def test_s8_a_header_that_is_asked_for_has_somebody_who_may_send_it(place: str) -> None:
    keys = {"end_user_claim_sources": ["sub", "header:X-User"]}
    told(place, "end_user_claim_sources", "asks for the header `X-User`, and nobody is trusted to send it", **keys)
    trusting = accepted(place, **keys, trust_identity_headers_from=["10.0.0.5"])
    assert trusting.identity_headers == ("sub", "X-User")


@ANY_PLACE
@pytest.mark.parametrize("header", ["Authorization", "mcp-name", "X_Channel_Token"])
def test_i_02_a_pinned_header_has_no_other_meaning_either(place: str, header: str) -> None:
    keys = {"end_user_claim_sources": [f"header:{header}"], "trust_identity_headers_from": ["10.0.0.5"]}
    told(place, "end_user_claim_sources", f"names `{header}`, a header with a meaning of its own", **keys)
    keys["end_user_claim_sources"] = [f"claim:{header}", "key:email", "a.b"]
    assert accepted(place, **keys).identity_headers == ()


# how tokens are made


RESIGN = {"mode": "verify_and_resign"}


@ANY_PLACE
def test_s10_a_token_can_be_asked_for_where_somebodys_is_accepted(place: str) -> None:
    keys = with_signer(place, RESIGN)
    assert load(callers={"issuers": [IDP]}, **keys).signer_of("w").mode == "verify_and_resign"
    written, problem = refused(**keys)
    assert problem.startswith(where(written, place, "mode", RESIGN))
    assert "asks for tokens, and `callers.issuers` accepts none" in problem


@ANY_PLACE
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("trust_identity_headers_from", ["10.0.0.5"], "lets a proxy name the subject"),
        ("end_user_claim_sources", ["sub", "key:user_id"], "asks for `user_id`"),
        ("end_user_claim_sources", ["key:metadata.x"], "asks for `metadata.x`"),
    ],
)
def test_s10_where_a_token_is_asked_for_it_alone_names_the_subject(place: str, key: str, value: Any, says: str) -> None:
    keys = {**RESIGN, key: value}
    written, problem = refused(callers={"issuers": [IDP]}, **with_signer(place, keys))
    assert problem.startswith(where(written, place, key, keys))
    assert f"{says}, and with `mode: verify_and_resign` the token alone says" in problem
    load(callers={"issuers": [IDP]}, **with_signer(place, {**keys, "mode": "sign"}))


@ANY_PLACE
def test_litellms_own_sources_are_accepted_in_either_mode(place: str) -> None:
    keys = {**RESIGN, "end_user_claim_sources": ["token:sub", "litellm:user_id"]}
    load(callers={"issuers": [IDP]}, **with_signer(place, keys))


@ANY_PLACE
def test_a_pairwise_subject_has_no_address_beside_it(place: str) -> None:
    assert accepted(place, profile="litellm").profile == "litellm"
    assert accepted(place, subject="pairwise").subject == "pairwise"
    told(place, "subject", "keep one of them", subject="pairwise", profile="litellm")


def test_a_server_may_have_another_shape_than_the_default() -> None:
    servers = {"w": {**WEATHER, "signer": {"profile": None, "subject": None}}, "o": {"url": "http://o"}}
    configuration = load(signer={"profile": "litellm"}, servers=servers)
    assert (configuration.signer_of("w").profile, configuration.signer_of("o").profile) == (None, "litellm")
