"""What goes to a server and where: two things never meet in one header, and no token is good in two places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterseal.config.compile_claims import signer_settings
from counterseal.core.claims import SignerSettings
from counterseal.core.txn_token import TxnToken
from tests.config.test_signer import ANY_PLACE, told, with_signer
from tests.config.writing import ISSUER, at, load, refused

WEATHER = {"url": "http://w"}
PASSING = {"passthrough": {"header": "X-Server-Authorization"}, "signer": {"header": "X-Call-Token"}}


def settings(**keys: Any) -> SignerSettings:
    configuration = load(**with_signer("server", keys))
    return signer_settings(configuration, "w", algorithm="ES256", pairwise_key=bytes(32))


# tokens beside the call token


def test_fr_14_s13_nothing_goes_beside_the_call_token_unless_it_is_asked_for() -> None:
    made = settings()
    assert (made.channel, made.txn_token, made.debug) == (None, None, False)


@ANY_PLACE
def test_fr_14_the_second_token_has_an_audience_and_a_life_of_its_own(place: str) -> None:
    keys = {"channel_token_audience": "urn:c", "channel_token_ttl": "5m", "ttl_seconds": 30, "remove_claims": ["a"]}
    configuration = load(**with_signer(place, keys))
    made = signer_settings(configuration, "w", algorithm="ES256", pairwise_key=bytes(32))
    assert made.channel is not None
    assert (made.channel.audience, made.channel.ttl_seconds) == ("urn:c", 300)
    assert (made.audience, made.ttl_seconds) == ("http://w", 30)
    assert made.channel.operations == made.operations


@ANY_PLACE
@pytest.mark.parametrize("ttl", [0, -5, 901, 99999, "16m"])
def test_fr_14_the_life_of_the_second_token_is_bounded(place: str, ttl: Any) -> None:
    """LiteLLM took 0, -5 and 99999."""
    keys = {"channel_token_audience": "urn:c"}
    load(**with_signer(place, {**keys, "channel_token_ttl": 900}))
    _, problem = refused(**with_signer(place, {**keys, "channel_token_ttl": ttl}))
    assert "channel_token_ttl: must be more than 0 and at most 900 seconds" in problem


@ANY_PLACE
def test_fr_14_no_second_token_is_good_at_a_server(place: str) -> None:
    for key, keys in (
        ("channel_token_audience", {"channel_token_audience": "http://w"}),
        ("txn_token", {"audience": "urn:w", "txn_token": {"audience": "urn:w"}}),
    ):
        told(place, key, "has the audience of the server `w`", **keys)
    other = {"servers": {"w": WEATHER, "x": {"url": "http://x", "signer": {"channel_token_audience": "http://w"}}}}
    assert "has the audience of the server `w`" in refused(**other)[1]


@ANY_PLACE
def test_no_two_tokens_of_one_call_have_one_audience(place: str) -> None:
    keys = {"channel_token_audience": "c", "txn_token": {"audience": "c"}}
    told(place, "txn_token", "has the audience of `channel_token_audience`", **keys)
    load(**with_signer(place, {**keys, "channel_token_audience": "d"}))


def test_a_txn_token_is_for_a_trust_domain() -> None:
    assert settings(txn_token={"audience": "example.internal"}).txn_token == TxnToken("example.internal", 60, ISSUER)
    made = settings(txn_token={"audience": "d", "ttl_seconds": 9, "req_wl": "gw"}).txn_token
    assert made == TxnToken("d", 9, "gw")
    _, problem = refused(**with_signer("server", {"txn_token": {"audience": "https://d"}}))
    assert "txn_token.audience: is an address, and a Txn-Token is for a trust domain" in problem


def test_a_server_does_without_a_default() -> None:
    signer = {"txn_token": {"audience": "d"}, "channel_token_audience": "c", "debug_header": True}
    off = {"txn_token": None, "channel_token_audience": None, "debug_header": False}
    configuration = load(signer=signer, servers={"w": {**WEATHER, "signer": off}, "x": {"url": "http://x"}})
    made = [signer_settings(configuration, name, algorithm="ES256", pairwise_key=bytes(32)) for name in ("w", "x")]
    assert [(one.channel is None, one.txn_token is None, one.debug) for one in made] == [
        (True, True, False),
        (False, False, True),
    ]


# one writer for each header


@pytest.mark.parametrize("header", ["Txn-Token", "txn-token", "X-MCP-Channel-Token", "x-counterseal-debug"])
def test_s16_a_header_of_the_gateways_own_has_no_second_writer(header: str) -> None:
    for keys in ({"signer": {"header": header}}, {"passthrough": {"header": header}, "signer": PASSING["signer"]}):
        assert "which the gateway writes itself" in refused(servers={"w": {**WEATHER, **keys}})[1]
    assert "which the gateway writes itself" in refused(signer={"channel_token_header": header})[1]


def test_s16_a_static_credential_is_never_silently_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM only warned."""
    monkeypatch.setenv("KEY", "Bearer x")
    server = {**WEATHER, "headers": {"authorization": "env:KEY"}}
    assert "is the header that carries the call token" in refused(servers={"w": server})[1]
    load(servers={"w": {**server, "signer": {"on_conflict": "replace"}}})
    load(servers={"w": {**server, "signer": {"header": "X-Call-Token"}}})


@pytest.mark.parametrize("header", ["Authorization", "AUTHORIZATION"])
def test_s16_a_hook_that_writes_authorization_keeps_the_gateway_from_starting(
    header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from counterseal.errors import ConfigError
    from counterseal.gateway.hook_wiring import try_hooks

    monkeypatch.setenv("KEY", "x")
    hook = {"use": "static_headers", "with": {"headers": {"X-Other": "env:KEY"}}}
    try_hooks(load(servers={"w": WEATHER}, hooks=[hook]))
    hook["with"] = {"headers": {header: "env:KEY"}}
    with pytest.raises(ConfigError, match="which the gateway alone writes"):
        try_hooks(load(servers={"w": WEATHER}, hooks=[hook]))


@ANY_PLACE
@pytest.mark.parametrize(
    ("key", "value"), [("remove_claims", ["exp"]), ("set_claims", {"act": "text"}), ("add_claims", {"jti": "x"})]
)
def test_litellm_8_a_reserved_claim_in_an_operation_is_a_start_up_error(place: str, key: str, value: Any) -> None:
    """There it was a KeyError or an AttributeError on every call."""
    _, problem = refused(**with_signer(place, {key: value}))
    assert "names the reserved claim" in problem


# the caller's own credential for a server


def test_a_servers_own_credential_of_a_caller_is_passed_on_only_where_it_is_said() -> None:
    assert load(servers={"w": WEATHER}).servers["w"].passthrough is None
    passing = load(servers={"w": {**WEATHER, **PASSING}}).servers["w"].passthrough
    assert passing is not None
    assert passing.header == "X-Server-Authorization"
    # no default for all servers
    assert "signer.passthrough: is an unknown key" in refused(signer={"passthrough": PASSING["passthrough"]})[1]


def test_it_and_the_call_token_never_go_into_one_header() -> None:
    for signer in ({}, {"header": "authorization"}):
        written, problem = refused(servers={"w": {**WEATHER, **PASSING, "signer": signer}})
        assert problem.startswith(at(written, "servers", "w", "passthrough"))
        assert "where the call token goes: set `signer.header`" in problem


def test_it_and_a_static_credential_never_go_into_one_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "Bearer x")
    for name, fits in (("authorization", False), ("X-Key", True)):
        server = {**WEATHER, **PASSING, "headers": {name: "env:KEY"}}
        if fits:
            load(servers={"w": server})
        else:
            assert "by `passthrough`: keep one of them" in refused(servers={"w": server})[1]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Authorization", "has a meaning of its own"),
        ("x-api-key", "has a meaning of its own"),
        ("Cookie", "has a meaning of its own"),
        ("Origin", "has a meaning of its own"),
        ("Mcp-Name", "which the gateway writes itself"),
        ("X Y", "is no name of an HTTP header"),
        ("x-call-token", "is where the call token goes"),
        ("x_channel_token", "is where channel tokens come in"),
        ("X-User", "may name the subject"),
    ],
)
def test_it_comes_in_a_header_without_another_meaning(header: str, says: str) -> None:
    signer = {
        **PASSING["signer"],
        "end_user_claim_sources": ["header:x-user"],
        "trust_identity_headers_from": ["10.0.0.1/32"],
    }
    load(servers={"w": {**WEATHER, **PASSING, "signer": signer}})
    _, problem = refused(servers={"w": {**WEATHER, "passthrough": {"header": header}, "signer": signer}})
    assert says in problem


def test_s12_no_hook_sees_it() -> None:
    hook = {"use": "static_headers", "headers": ["x-server-authorization"]}
    load(servers={"w": WEATHER}, hooks=[hook])
    _, problem = refused(servers={"w": {**WEATHER, **PASSING}}, hooks=[hook])
    assert "carries a credential for a server (`passthrough`), which no hook sees" in problem
