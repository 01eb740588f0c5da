"""From a configuration file to a gateway that works, or a sentence that says why it does not start."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, NoReturn

import jwt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from counterseal.config.load import load
from counterseal.core.call import Inbound
from counterseal.errors import CallError, ConfigError
from counterseal.gateway.issuer_wiring import open_ring
from counterseal.gateway.wiring import Gateway, open_gateway, prepare
from counterseal.verify import Verifier
from tests.gateway.building import modern
from tests.gateway.opening import ISSUER, PORT, call, document, verified, written
from tests.issuer.pems import pem
from tests.servers.permits import PARAMS, read
from tests.support.hostile import HostileServer, response, whole
from tests.support.jwks_server import JwksServer
from tests.support.tokens import jwks, needs_ml_dsa, token


async def test_a_configuration_becomes_a_gateway_that_countersigns(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server)) as gateway:
        assert "result" in await call(gateway)
        claims = verified(gateway, server)
        assert (claims["sub"], claims["scope"]) == ("anonymous", "mcp:tools/call:get_weather")
        assert claims["exp"] - claims["iat"] == 60
        assert abs(claims["iat"] - time.time()) < 5
        assert all(check() is None for check in gateway.checks.values())
        assert set(gateway.checks) == {"keys", "audit"}


async def test_what_is_published_is_what_is_configured(folder: Path, server: HostileServer) -> None:
    idp = {"name": "corp", "issuer": "https://idp.example.com", "jwks_uri": "https://idp.example.com/jwks"}
    keys = {"source": "store", "algorithms": ["RS256", "ES256", "Ed25519"]}
    path = written(folder, server, callers={"api_keys": True, "issuers": [idp]}, keys=keys)
    async with open_gateway(path) as gateway:
        assert gateway.issuer == ISSUER
        assert [key["alg"] for key in document(gateway, "jwks.json")["keys"]] == ["RS256", "ES256", "Ed25519"]
        for name in ("openid-configuration", "oauth-authorization-server"):
            assert document(gateway, name)["issuer"] == ISSUER
        for address in ("mcp", "mcp/weather"):
            resource = document(gateway, f"oauth-protected-resource/{address}")
            assert resource["resource"] == f"{ISSUER}/{address}"
            assert resource["authorization_servers"] == ["https://idp.example.com"]
            assert "scopes_supported" not in resource
        assert set(gateway.checks) == {"keys", "audit", "store", "issuer corp"}


async def test_whose_pages_may_call_is_configured(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server)) as gateway:
        assert gateway.origins == ()
    listen = {"host": "127.0.0.1", "port": PORT, "origins": ["https://inspector.example.com"]}
    async with open_gateway(written(folder, server, listen=listen)) as gateway:
        assert gateway.origins == ("https://inspector.example.com",)


async def test_the_signers_settings_of_a_server_are_its_own(folder: Path, server: HostileServer) -> None:
    signer = {"audience": "urn:weather", "ttl_seconds": 7, "header": "X-Call-Token", "algorithm": "ES256"}
    static = folder / "static"
    static.write_text("Bearer static-credential\n")
    static.chmod(0o600)
    entry = {"signer": signer, "headers": {"Authorization": f"file:{static}"}}
    keys = {"source": "store", "algorithms": ["RS256", "ES256"]}
    async with open_gateway(written(folder, server, entry, keys=keys)) as gateway:
        await call(gateway)
        claims = verified(gateway, server, "x-call-token", audience="urn:weather")
        assert (claims["aud"], claims["exp"] - claims["iat"]) == ("urn:weather", 7)
        assert server.seen[0].all("authorization") == ["Bearer static-credential"]


async def test_where_no_algorithm_is_named_the_first_key_that_was_brought_signs(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", pem("ES256").replace("\n", "\\n"))
    path = written(folder, server, keys={"source": "env:MCP_JWT_SIGNING_KEY"})
    async with open_gateway(path) as gateway:
        await call(gateway)
        verified(gateway, server)
        assert [key["alg"] for key in document(gateway, "jwks.json")["keys"]] == ["ES256"]


async def test_y_07_an_algorithm_without_a_key_keeps_the_gateway_from_starting(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", pem("ES256"))
    path = written(folder, server, {"signer": {"algorithm": "RS256"}}, keys={"source": "env:MCP_JWT_SIGNING_KEY"})
    with pytest.raises(ConfigError, match="no RS256 key; the key ring has ES256"):
        await prepare(path)
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "changeme")
    with pytest.raises(ConfigError, match=r"MCP_JWT_SIGNING_KEY.*not a private key"):
        await prepare(written(folder, server, keys={"source": "env:MCP_JWT_SIGNING_KEY"}))


async def test_y_01_the_keys_are_made_once_and_kept(folder: Path, server: HostileServer) -> None:
    path = written(folder, server)
    await prepare(path)
    async with open_gateway(path) as one, open_gateway(path) as other:
        assert one.documents == other.documents
    ring = await open_ring(load(path))
    assert [key["kid"] for key in document(one, "jwks.json")["keys"]] == [signer.kid for signer in ring.signers]


def published(gateway: Gateway) -> dict[str, str]:
    return {key["alg"]: key["kid"] for key in document(gateway, "jwks.json")["keys"]}


@needs_ml_dsa
async def test_an_experimental_algorithm_can_be_added_to_a_store_and_taken_away_again(
    folder: Path, server: HostileServer
) -> None:
    """Y-01: the keys that were there stay, and the one that was taken away is the same when it comes back."""
    before, after = ({"source": "store", "algorithms": names} for names in (["ES256"], ["ES256", "ML-DSA-44"]))
    async with open_gateway(written(folder, server, keys=before)) as gateway:
        first = published(gateway)
        assert set(first) == {"ES256"}
    signer = {"signer": {"algorithm": "ML-DSA-44"}}
    async with open_gateway(written(folder, server, signer, keys=after)) as gateway:
        second = published(gateway)
        assert second == {**first, "ML-DSA-44": second["ML-DSA-44"]}
        assert document(gateway, "openid-configuration")["id_token_signing_alg_values_supported"] == list(second)
        assert "result" in await call(gateway)
        presented = server.seen[-1].token
        verifier = Verifier(issuer=ISSUER, audience=server.url, jwks=document(gateway, "jwks.json"))
        assert jwt.get_unverified_header(presented)["alg"] == "ML-DSA-44"
        seen = await verifier.averify(presented, method="tools/call", **PARAMS["tools/call"])
        assert seen.subject == "anonymous"
    async with open_gateway(written(folder, server, keys=before)) as gateway:
        assert published(gateway) == first
        assert "result" in await call(gateway)
        verified(gateway, server)
    async with open_gateway(written(folder, server, keys=after)) as gateway:
        assert published(gateway) == second


async def test_where_an_experimental_key_cannot_be_made_the_gateway_does_not_start(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported() -> NoReturn:
        raise UnsupportedAlgorithm("ML-DSA-44 is not supported by this backend")

    monkeypatch.setattr(MLDSA44PrivateKey, "generate", unsupported)
    keys = {"source": "store", "algorithms": ["ES256", "ML-DSA-44"]}
    with pytest.raises(ConfigError, match=r"keys.algorithms: .*OpenSSL 3.5 or newer"):
        await prepare(written(folder, server, keys=keys))
    await prepare(written(folder, server))


async def test_y_13_a_store_of_another_issuer_keeps_the_gateway_from_starting(
    folder: Path, server: HostileServer
) -> None:
    await prepare(written(folder, server))
    with pytest.raises(ConfigError, match="the store belongs to"):
        await prepare(written(folder, server, issuer="http://127.0.0.1:9999"))
    await prepare(written(folder, server))


async def test_u_01_records_that_cannot_be_written_keep_the_gateway_from_starting(
    folder: Path, server: HostileServer
) -> None:
    (folder / "audit").write_text("a file")
    with pytest.raises(ConfigError):
        await prepare(written(folder, server))


async def test_an_idps_token_makes_a_caller_and_its_keys_are_fetched_once(folder: Path, server: HostileServer) -> None:
    """S1, and J-17: the audience is the address that is called."""
    with JwksServer(jwks("ES256")) as idp:
        trusted = {
            "name": "corp",
            "issuer": idp.origin,
            "jwks_uri": idp.url,
            "allow_insecure_loopback": True,
        }
        path = written(folder, server, callers={"api_keys": True, "issuers": [trusted]})
        async with open_gateway(path) as gateway:
            assert gateway.checks["issuer corp"]() is None
            now = int(time.time())
            claims = {"iss": idp.origin, "aud": f"{ISSUER}/mcp/weather", "sub": "alice", "client_id": "ide"}
            presented = token({**claims, "iat": now, "exp": now + 60})
            for _ in range(20):
                await call(gateway, key=presented.encode())
            made = verified(gateway, server)
            assert (made["sub"], made["client_id"]) == ("alice", "ide")
            assert idp.count == 1
            own = server.seen[-1].token
            for bad in (presented[:-4] + "AAAA", own):
                with pytest.raises(CallError) as refused:
                    await call(gateway, key=bad.encode())
                assert refused.value.reason.code == "credential_invalid"
            assert server.calls == 20


async def test_lists_and_calls_are_decided_by_the_same_policy(folder: Path, server: HostileServer) -> None:
    """S-08: what is shown is what may be called."""
    async with open_gateway(written(folder, server, policy=[{"permit": {"tools": ["get_*"]}}])) as gateway:
        shown = {tool["name"] for tool in (await call(gateway, method="tools/list"))["result"]["tools"]}
        assert shown == {"get_weather"}
        for name in ("get_weather", "delete_all"):
            params = {"name": name}
            if name in shown:
                assert "result" in await call(gateway, params=params)
            else:
                with pytest.raises(CallError):
                    await call(gateway, params=params)


def _mirrors_the_city(server: HostileServer) -> None:
    """From now on its list says that `get_weather` has an argument in a header."""
    plain = server.answer
    schema = {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}}}

    def answer(heard: Any, line: Any) -> None:
        if heard.call["method"] == "tools/list":
            line.send(whole(response(heard, {"tools": [{"name": "get_weather", "inputSchema": schema}]})))
        else:
            plain(heard, line)

    server.answer = answer


async def test_m_03_what_a_list_taught_is_held_against_the_headers_of_calls(
    folder: Path, server: HostileServer
) -> None:
    _mirrors_the_city(server)

    def asked(*more: tuple[bytes, bytes]) -> Inbound:
        return modern("tools/call", {"name": "get_weather", "arguments": {"city": "Oslo"}}, *more, key=None)

    async with open_gateway(written(folder, server)) as gateway:
        await read(await gateway.handler.handle(asked()))
        await call(gateway, method="tools/list")
        calls = server.calls
        for more in ((), ((b"mcp-param-city", b"Paris"),), ((b"mcp-param-city", b"Oslo"),) * 2):
            with pytest.raises(CallError) as refused:
                await gateway.handler.handle(asked(*more))
            assert (refused.value.reason.code, refused.value.reason.rpc) == ("header_mismatch", -32020)
        assert server.calls == calls
        await read(await gateway.handler.handle(asked((b"mcp-param-city", b"Oslo"))))
        assert server.seen[-1].all("mcp-param-city") == ["Oslo"]


async def test_m_17_no_header_tells_a_caller_of_a_tool_that_others_see(folder: Path, server: HostileServer) -> None:
    """Alice's list taught what `get_weather` mirrors. Bob may not call it, and is told that alone, whatever he sends."""
    _mirrors_the_city(server)
    now = int(time.time())
    with JwksServer(jwks("ES256")) as idp:
        trusted = {"name": "corp", "issuer": idp.origin, "jwks_uri": idp.url, "allow_insecure_loopback": True}
        claims = {"iss": idp.origin, "aud": f"{ISSUER}/mcp/weather", "client_id": "ide", "iat": now, "exp": now + 60}
        alice, bob = (token({**claims, "sub": name}).encode() for name in ("alice", "bob"))
        policy = [{"permit": {"callers": {"subject": "alice"}}}]
        path = written(folder, server, callers={"issuers": [trusted]}, policy=policy)
        params = {"name": "get_weather", "arguments": {"city": "Oslo"}}
        async with open_gateway(path) as gateway:

            async def refused(key: bytes, *more: tuple[bytes, bytes], tool: str = "get_weather") -> tuple[str, str]:
                with pytest.raises(CallError) as error:
                    await gateway.handler.handle(modern("tools/call", {**params, "name": tool}, *more, key=key))
                return error.value.reason.code, error.value.message.replace(tool, "it")

            await call(gateway, method="tools/list", key=alice)
            calls = server.calls
            assert (await refused(alice))[0] == "header_mismatch"
            same = {
                await refused(bob),
                await refused(bob, (b"mcp-param-city", b"Paris")),
                await refused(bob, (b"mcp-param-city", b"Oslo")),
                await refused(bob, tool="no_such_tool"),
            }
            assert [code for code, _ in same] == ["policy_denied"]
            assert server.calls == calls
            await read(
                await gateway.handler.handle(modern("tools/call", params, (b"mcp-param-city", b"Oslo"), key=alice))
            )


async def test_y_05_no_private_key_can_be_seen_from_a_gateway(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server)) as gateway:
        text = repr(gateway) + json.dumps({path: body.decode() for path, body in gateway.documents.items()})
        assert "PRIVATE" not in text
        assert '"d"' not in text


async def test_a_gateway_that_was_closed_leaves_nothing_running(folder: Path, server: HostileServer) -> None:
    before = asyncio.all_tasks()
    async with open_gateway(written(folder, server, callers={"api_keys": True})) as gateway:
        with pytest.raises(CallError):
            await call(gateway)
    assert asyncio.all_tasks() == before
    with pytest.raises(CallError) as refused:
        await call(gateway)
    assert refused.value.reason.code == "audit_unavailable"


async def test_documents_of_an_issuer_with_a_path_are_where_its_challenge_leads(
    folder: Path, server: HostileServer
) -> None:
    async with open_gateway(written(folder, server, issuer="https://example.com/tenant")) as gateway:
        resource = document(gateway, "oauth-protected-resource/tenant/mcp/weather")
        assert resource["resource"] == "https://example.com/tenant/mcp/weather"
        for path in ("openid-configuration", "openid-configuration/tenant"):
            assert document(gateway, path)["issuer"] == "https://example.com/tenant"
        assert gateway.documents["/tenant/.well-known/jwks.json"] == gateway.documents["/.well-known/jwks.json"]
