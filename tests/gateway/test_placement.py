"""Where tokens go, and that no caller has a say in it (docs/call-token.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from counterseal.core.call import Era
from counterseal.core.caller import Caller
from counterseal.core.frozen import freeze
from counterseal.errors import BadCall, CallError
from counterseal.gateway.wiring import Gateway, open_gateway
from counterseal.verify import VerificationError, Verifier
from tests.core.callers import call as asked
from tests.gateway.building import built, inventory, legacy, modern, request_of
from tests.gateway.building import verified as checked
from tests.gateway.opening import ISSUER, call, document, verified, written
from tests.servers.permits import read
from tests.support.hostile import HostileServer, result, whole

TOOL = {"name": "get_weather", "arguments": {"city": "Oslo"}}
CHANNEL = "urn:channel:weather"
FORGED = b"Bearer eyJhbGciOiJub25lIn0.e30."
ASIDE = (b"x-server-authorization", b"Bearer the-servers-own")


def entries(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((folder / "audit").glob("*")) for line in path.read_text().splitlines()]
    return [entry for entry in map(json.loads, lines) if entry.get("event") in ("intent", "refusal")]


def second(gateway: Gateway, token: str, audience: str = CHANNEL, **changes: Any) -> dict[str, Any]:
    """The claims of another token, as a server that has our verifier reads them."""
    verifier = Verifier(issuer=ISSUER, audience=audience, jwks=document(gateway, "jwks.json"), **changes)
    return dict(verifier.verify(token, method="tools/call", **TOOL).claims)


# ---- no caller removes or replaces the signature ------------------------------------------------------------------

STRIPPING = [
    (b"x-mcp-auth", b"Bearer x"),
    (b"x-mcp-weather-authorization", FORGED),
    (b"x-mcp-servers", b"weather"),
    (b"connection", b"authorization"),
    (b"proxy-authorization", FORGED),
    (b"x-forwarded-authorization", FORGED),
    (b"x-server-authorization", FORGED),
    (b"x_authorization", FORGED),
    (b"x-call-token", FORGED),
    (b"x-mcp-channel-token", FORGED),
    (b"txn-token", FORGED),
    (b"x-counterseal-debug", b'{"sub":"root"}'),
    (b"x-api-key-2", b"k"),
    (b"cookie", b"a=b"),
]


@pytest.mark.parametrize("header", STRIPPING, ids=lambda header: header[0].decode())
@pytest.mark.parametrize("place", ["Authorization", "X-Call-Token"])
async def test_litellm_1_no_header_of_a_caller_strips_or_replaces_the_signature(
    server: HostileServer, header: tuple[bytes, bytes], place: str
) -> None:
    """S3: LiteLLM sent the call unsigned for `x-mcp-auth`, and the caller's own value for `x-mcp-<server>-authorization`."""
    async with built(server, header=place) as gateway:
        await gateway.handler.handle(modern("tools/call", TOOL, header))
        (heard,) = server.seen
        assert checked(heard, server.url, place.lower())["sub"] == "alice"
        assert header[1].decode() not in [value for name in heard.names for value in heard.all(name)]


@pytest.mark.parametrize("cell", inventory(), ids=str)
async def test_litellm_1_no_method_goes_out_unsigned(server: HostileServer, cell: tuple[Era, str]) -> None:
    async with built(server) as gateway:
        inbound = request_of(cell, gateway)
        more = ((b"x-mcp-auth", b"Bearer x"), (b"x-mcp-weather-authorization", FORGED), ASIDE)
        inbound = type(inbound)(inbound.verb, inbound.server, (*inbound.headers, *more), inbound.body, inbound.peer)
        await gateway.handler.handle(inbound)
        for heard in server.seen:
            assert checked(heard, server.url)["sub"] == "alice"


async def test_a_08_two_credentials_are_refused_and_reach_no_server(server: HostileServer) -> None:
    async with built(server) as gateway:
        for more in ((b"authorization", b"Bearer key-of-alice"), (b"x-api-key", b"key-of-alice")):
            with pytest.raises(CallError) as refused:
                await gateway.handler.handle(modern("tools/call", TOOL, more))
            assert refused.value.reason.code == "ambiguous_credentials"
        assert server.calls == 0
        await gateway.handler.handle(modern("tools/call", TOOL))
        assert server.calls == 1


async def test_litellm_1_no_mirrored_argument_names_a_header_of_ours(server: HostileServer) -> None:
    """Its header begins with `Mcp-Param-`, whatever a tool calls it."""
    async with built(server) as gateway:
        await gateway.handler.handle(modern("tools/call", TOOL, (b"mcp-param-authorization", FORGED)))
        (heard,) = server.seen
        assert checked(heard, server.url)["sub"] == "alice"
        assert len(heard.all("authorization")) == 1


# ---- a second token ---------------------------------------------------------------------------------------------------


async def test_fr_14_a_second_token_verifies_for_its_audience_and_for_no_other(
    folder: Path, server: HostileServer
) -> None:
    signer = {"channel_token_audience": CHANNEL, "channel_token_ttl": 7, "set_claims": {"tenant": "acme"}}
    async with open_gateway(written(folder, server, {"signer": signer})) as gateway:
        assert "result" in await call(gateway, params=TOOL)
        first = verified(gateway, server)
        (token,) = server.seen[-1].all("x-mcp-channel-token")
        claims = second(gateway, token)
        assert claims["authorization_details"][0]["locations"] == [CHANNEL]
        assert (claims["exp"] - claims["iat"], first["exp"] - first["iat"]) == (7, 60)
        assert claims["jti"] != first["jti"]
        for name in ("iss", "sub", "client_id", "act", "scope", "iat", "txn", "tenant"):
            assert claims[name] == first[name], name
        with pytest.raises(VerificationError) as refused:
            second(gateway, token, server.url)
        assert refused.value.code == "audience"
        with pytest.raises(VerificationError):
            second(gateway, server.seen[-1].token)
    entry = entries(folder)[0]
    assert entry["beside"] == [{"aud": CHANNEL, "jti": claims["jti"], "exp": claims["exp"]}]
    assert (entry["jti"], entry["aud"], entry["passes_on"]) == (first["jti"], server.url, False)


async def test_fr_14_litellms_servers_get_the_second_token_with_bearer(folder: Path, server: HostileServer) -> None:
    signer = {"channel_token_audience": CHANNEL, "profile": "litellm"}
    async with open_gateway(written(folder, server, {"signer": signer})) as gateway:
        await call(gateway, params=TOOL)
        (value,) = server.seen[-1].all("x-mcp-channel-token")
        assert value.startswith("Bearer ")
        token = value.removeprefix("Bearer ")
        assert jwt.get_unverified_header(token)["typ"] == "JWT"
        assert second(gateway, token, profile="litellm")["scope"] == "mcp:tools/call mcp:tools/get_weather:call"


async def test_by_default_the_call_token_goes_alone(folder: Path, server: HostileServer) -> None:
    """S13: nothing else about the caller leaves unless it is asked for."""
    async with open_gateway(written(folder, server)) as gateway:
        await call(gateway, params=TOOL)
        names = server.seen[-1].names
        assert not {"x-mcp-channel-token", "txn-token", "x-counterseal-debug"} & names
        assert "authorization" in names
    assert entries(folder)[0]["beside"] == []


# ---- a Txn-Token ------------------------------------------------------------------------------------------------------


async def test_a_txn_token_goes_in_its_own_header_and_is_no_call_token(folder: Path, server: HostileServer) -> None:
    signer = {"txn_token": {"audience": "trust.example", "ttl_seconds": 20}}
    async with open_gateway(written(folder, server, {"signer": signer})) as gateway:
        await call(gateway, params=TOOL)
        first = verified(gateway, server)
        (token,) = server.seen[-1].all("txn-token")
        header = jwt.get_unverified_header(token)
        assert header["typ"] == "txntoken+jwt"
        key = jwt.PyJWKSet.from_dict(document(gateway, "jwks.json"))[header["kid"]]
        claims = jwt.decode(token, key, ["ES256"], audience="trust.example", issuer=ISSUER)
        assert {"iat", "aud", "exp", "txn", "sub", "scope", "req_wl", "tctx", "rctx"} <= claims.keys()
        assert (claims["txn"], claims["sub"], claims["scope"]) == (first["txn"], first["sub"], first["scope"])
        assert (claims["req_wl"], claims["exp"] - claims["iat"]) == (ISSUER, 20)
        assert claims["tctx"]["arguments_digest"] == first["authorization_details"][0]["arguments_digest"]
        for audience in ("trust.example", server.url):
            with pytest.raises(VerificationError):
                second(gateway, token, audience)
    assert entries(folder)[0]["beside"][0]["jti"] == claims["jti"] != first["jti"]


@pytest.mark.parametrize("on", [False, True])
async def test_an_inbound_txn_token_is_never_forwarded(folder: Path, server: HostileServer, on: bool) -> None:
    """Exactly one, and it is ours."""
    signer = {"txn_token": {"audience": "trust.example"}} if on else {}
    async with open_gateway(written(folder, server, {"signer": signer})) as gateway:
        reply = await gateway.handler.handle(modern("tools/call", TOOL, (b"txn-token", FORGED), key=None))
        await read(reply)
        values = server.seen[-1].all("txn-token")
        assert len(values) == on
        assert FORGED.decode() not in values


# ---- the debug header -------------------------------------------------------------------------------------------------


async def test_s13_the_debug_header_goes_to_the_server_that_asks_for_it_and_never_back(
    folder: Path,
) -> None:
    """LiteLLM's proposal had it on by default; here it is off, and never on an answer."""

    def echoing(heard: Any, line: Any) -> None:
        said = dict.fromkeys(["X-Counterseal-Debug", "X-MCP-Channel-Token", "Txn-Token"], "x")
        line.send(whole(json.dumps(result(heard)).encode(), **said))

    with HostileServer(echoing) as server:
        async with open_gateway(written(folder, server, {"signer": {"debug_header": True}})) as gateway:
            reply = await gateway.handler.handle(modern("tools/call", TOOL, key=None))
            assert b"result" in await read(reply)
            assert not {b"x-counterseal-debug", b"x-mcp-channel-token", b"txn-token"} & {
                name for name, _ in reply.headers
            }
            (line,) = server.seen[-1].all("x-counterseal-debug")
            said = json.loads(line)
            header = jwt.get_unverified_header(server.seen[-1].token)
            assert (said["kid"], said["sub"], said["signer"]) == (header["kid"], "anonymous", "counterseal")
            assert said["origins"].keys() == verified(gateway, server).keys()
            assert server.seen[-1].token not in line


# ---- the server's own credential --------------------------------------------------------------------------------------

PASSING = {"signer": {"header": "X-Call-Token"}, "passthrough": {"header": "X-Server-Authorization"}}


async def test_a_callers_credential_for_the_server_goes_on_beside_the_call_token(
    folder: Path, server: HostileServer
) -> None:
    async with open_gateway(written(folder, server, PASSING)) as gateway:
        await read(await gateway.handler.handle(modern("tools/call", TOOL, ASIDE, key=None)))
        heard = server.seen[-1]
        assert heard.all("authorization") == [ASIDE[1].decode()]
        assert "x-server-authorization" not in heard.names
        assert verified(gateway, server, "x-call-token")["sub"] == "anonymous"
        await call(gateway, params=TOOL)
        assert "authorization" not in server.seen[-1].names
        assert verified(gateway, server, "x-call-token")["sub"] == "anonymous"
    assert [entry["passes_on"] for entry in entries(folder)] == [True, False]
    assert "the-servers-own" not in "".join(path.read_text() for path in (folder / "audit").glob("*"))


async def test_a_credential_for_a_server_that_takes_none_is_dropped(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server, {"signer": PASSING["signer"]})) as gateway:
        await read(await gateway.handler.handle(modern("tools/call", TOOL, ASIDE, key=None)))
        assert not {"authorization", "x-server-authorization"} & server.seen[-1].names
        assert verified(gateway, server, "x-call-token")


async def test_a_gateways_own_key_is_never_passed_on(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server, PASSING)) as gateway:
        for value, code in ((b"Bearer csk_abc", "passthrough_refused"), (b"bare", "bad_header")):
            with pytest.raises(BadCall) as refused:
                await gateway.handler.handle(modern("tools/call", TOOL, (ASIDE[0], value), key=None))
            assert refused.value.reason.code == code
        assert server.calls == 0
    assert [entry["event"] for entry in entries(folder)] == ["refusal", "refusal"]


async def test_in_a_session_the_servers_credential_goes_with_every_message(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server, PASSING)) as gateway:
        await read(await gateway.handler.handle(legacy("initialize", ASIDE, key=None)))
        assert server.seen[-1].all("authorization") == [ASIDE[1].decode()]


# ---- what is too much -------------------------------------------------------------------------------------------------


async def test_i_10_five_thousand_groups_are_refused_with_a_reason_and_never_cut(
    folder: Path, server: HostileServer
) -> None:
    signer = {"optional_claims": ["groups"]}
    async with open_gateway(written(folder, server, {"signer": signer})) as gateway:
        pipeline = gateway.handler._pipeline._pipeline  # type: ignore[attr-defined]
        for count, code in ((5000, "claim_unavailable"), (250, "call_token_too_large"), (20, None)):
            groups = {"groups": [f"group-number-{number:06}" for number in range(count)]}
            caller = Caller(kind="token", client_id="i", issuer="https://idp", subject="a", claims=freeze(groups))
            try:
                verdict = await pipeline.permit(caller, asked(name="get_weather"))
                told = getattr(verdict, "reason", None)
            except CallError as error:
                told = error.reason.code
            assert told == code
