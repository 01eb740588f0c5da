"""From `callers:` to whose tokens are accepted: documents on a loopback address, and what a configuration makes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import yaml

from counterseal.core.call import Inbound
from counterseal.errors import CallError, CannotTell, ConfigError
from counterseal.gateway.wiring import Gateway, open_gateway, prepare
from tests.gateway.building import modern
from tests.gateway.idp import CALLED, DISCOVERY, Idp, trusting
from tests.gateway.opening import ISSUER, call, document, verified, written
from tests.issuer.pems import pem
from tests.support.hostile import HostileServer
from tests.support.tokens import token


async def refused(gateway: Gateway, **changes: Any) -> str:
    """The reason."""
    with pytest.raises(CallError) as told:
        await call(gateway, **changes)
    return told.value.reason.code


async def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true in time."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)
    return True


# ---- JWTs ---------------------------------------------------------------------------------------------------------------


async def test_an_issuer_is_found_by_its_discovery_document(folder: Path, server: HostileServer, idp: Idp) -> None:
    async with open_gateway(written(folder, server, **trusting(idp.issuer()))) as gateway:
        await call(gateway, key=idp.token())
        made = verified(gateway, server)
        assert (made["sub"], made["client_id"]) == ("alice", "ide")
        assert document(gateway, "oauth-protected-resource/mcp/weather")["authorization_servers"] == [idp.origin]
        assert gateway.checks["issuer corp"]() is None
        assert await refused(gateway, key=idp.token(iss=idp.origin + "/")) == "credential_invalid"


async def test_k_01_a_document_of_another_issuer_is_none(folder: Path, server: HostileServer, idp: Idp) -> None:
    idp.documents[DISCOVERY]["issuer"] = idp.origin + "/"
    async with open_gateway(written(folder, server, **trusting(idp.issuer()))) as gateway:
        assert await refused(gateway, key=idp.token()) == "identity_unavailable"
        assert "issuer" in (gateway.checks["issuer corp"]() or "")
    async with open_gateway(written(folder, server, **trusting(idp.issuer(issuer=idp.origin + "/")))) as gateway:
        await call(gateway, key=idp.token(iss=idp.origin + "/"))


async def test_k_01_the_document_of_tenants_has_the_template_to_the_byte(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    template = idp.origin + "/{tenantid}/v2.0"
    of_acme = {"iss": f"{idp.origin}/acme/v2.0", "tid": "acme"}
    entry = idp.issuer(issuer=template, tenants=["acme"], claims={"subject": "oid"})
    path = written(folder, server, **trusting(entry))
    async with open_gateway(path) as gateway:
        assert await refused(gateway, key=idp.token(**of_acme, oid="o-1")) == "identity_unavailable"
    idp.documents[DISCOVERY]["issuer"] = template
    async with open_gateway(path) as gateway:
        await call(gateway, key=idp.token(**of_acme, oid="o-1"))
        assert verified(gateway, server)["sub"] == "o-1"
        for other in ({"iss": f"{idp.origin}/evil/v2.0", "tid": "evil"}, {**of_acme, "tid": "evil"}, {"iss": template}):
            assert await refused(gateway, key=idp.token(**{"oid": "o-1", **other})) == "credential_invalid"
        resource = document(gateway, "oauth-protected-resource/mcp/weather")
        assert resource["authorization_servers"] == [f"{idp.origin}/acme/v2.0"]


async def test_every_check_of_an_issuer_is_the_configurations(folder: Path, server: HostileServer, idp: Idp) -> None:
    entry = idp.issuer(
        audience=["api"],
        types=["at+jwt"],
        untyped=False,
        leeway=0,
        longest_life="10m",
        required_scopes=["mcp", "weather"],
        claims={"roles": "realm.roles", "team": ["https://example.com/team"], "email": "upn"},
        require_email_verified=False,
    )
    policy = [{"permit": {"callers": {"roles": ["admin"], "team": "data", "email": "a@b", "scopes": "w*"}}}]
    good = {
        "aud": "api",
        "scope": "mcp weather",
        "realm": {"roles": ["user", "admin"]},
        "https://example.com/team": "data",
        "upn": "a@b",
    }
    now = int(time.time())
    async with open_gateway(written(folder, server, policy=policy, **trusting(entry))) as gateway:
        await call(gateway, key=idp.token(**good))
        for wrong, reason in (
            ({"aud": CALLED}, "credential_invalid"),
            ({"exp": now - 1}, "credential_invalid"),
            ({"exp": now + 3600}, "credential_invalid"),
            ({"scope": "mcp"}, "insufficient_scope"),
            ({"realm": {"roles": ["user"]}}, "policy_denied"),
            ({"realm": {"roles": 7}}, "credential_invalid"),
            ({"https://example.com/team": "ops"}, "policy_denied"),
            ({"upn": "b@b"}, "policy_denied"),
        ):
            assert await refused(gateway, key=idp.token(**{**good, **wrong})) == reason
        untyped = token({**good, "iss": idp.origin, "sub": "a", "iat": now, "exp": now + 60}, header={"typ": "JWT"})
        assert await refused(gateway, key=untyped.encode()) == "credential_invalid"
        resource = document(gateway, "oauth-protected-resource/mcp/weather")
        assert resource["scopes_supported"] == ["mcp", "weather"]
        with pytest.raises(CallError) as told:
            await call(gateway, key=idp.token(**{**good, "scope": ""}))
        assert b'scope="mcp weather"' in told.value.headers[0][1]


async def test_k_08_what_identity_providers_publish_is_there_before_the_first_token(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    path = written(folder, server, **trusting(idp.issuer()))
    await prepare(path)
    assert idp.count == 0  # a start that only looks at the configuration asks nobody
    async with open_gateway(path):
        assert await until(lambda: idp.counted("/keys") == 1)
    idp.fail(500)
    async with open_gateway(path) as gateway:
        assert await until(lambda: gateway.checks["issuer corp"]() is not None)
        assert await refused(gateway, key=idp.token()) == "identity_unavailable"


# ---- opaque tokens --------------------------------------------------------------------------------------------------------


async def test_an_opaque_token_is_what_its_issuer_says(
    folder: Path, server: HostileServer, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_SECRET", "s3cret")
    asked = {
        "endpoint": f"{idp.origin}/introspect",
        "client_id": "gw",
        "client_secret": "env:IDP_SECRET",
        "client_auth": "post",
    }
    entry = idp.issuer(discovery_uri=None, issuer=idp.origin, introspection=asked, claims={"roles": "roles"})
    idp.documents["/introspect"] = {
        "active": True,
        "sub": "alice",
        "client_id": "ide",
        "aud": CALLED,
        "roles": ["admin"],
    }
    policy = [{"permit": {"callers": {"roles": "admin"}}}]
    async with open_gateway(written(folder, server, policy=policy, **trusting(entry))) as gateway:
        for _ in range(3):
            await call(gateway, key=b"opaque-token")
        assert verified(gateway, server)["sub"] == "alice"
        (form,) = map(parse_qs, idp.forms)
        assert (form[b"token"], form[b"client_id"], form[b"client_secret"]) == ([b"opaque-token"], [b"gw"], [b"s3cret"])
        assert gateway.checks["introspection corp"]() is None
        assert "issuer corp" not in gateway.checks
        idp.documents["/introspect"] |= {"aud": f"{ISSUER}/mcp/files"}
        assert await refused(gateway, key=b"opaque-token-2") == "credential_invalid"
        idp.documents["/introspect"] |= {"aud": CALLED, "roles": ["user"]}
        assert await refused(gateway, key=b"opaque-token-3") == "policy_denied"


async def test_n_07_what_looks_like_a_jwt_is_never_asked_about(
    folder: Path, server: HostileServer, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_SECRET", "s3cret")
    asked = {"endpoint": f"{idp.origin}/introspect", "client_id": "gw", "client_secret": "env:IDP_SECRET"}
    idp.documents["/introspect"] = {"active": True, "sub": "alice", "client_id": "ide", "aud": CALLED}
    opaque = idp.issuer(discovery_uri=None, issuer=idp.origin, introspection=asked)
    both = idp.issuer(introspection=asked)
    for entry in (opaque, both):
        async with open_gateway(written(folder, server, **trusting(entry))) as gateway:
            for bad in (idp.token()[:-4] + b"AAAA", b"a.b.c", idp.token(iss="https://other")):
                assert await refused(gateway, key=bad) == "credential_invalid"
            assert idp.forms == []
            await call(gateway, key=b"opaque")
            idp.forms.clear()


async def test_a_client_proves_itself_to_the_endpoint_by_its_key(folder: Path, server: HostileServer, idp: Idp) -> None:
    key = folder / "client.pem"
    key.write_text(pem("ES256"))
    key.chmod(0o600)
    endpoint = f"{idp.origin}/introspect"
    asked = {"endpoint": endpoint, "client_id": "gw", "client_auth": "private_key_jwt", "private_key": f"file:{key}"}
    idp.documents["/introspect"] = {"active": True, "sub": "alice", "client_id": "ide", "aud": CALLED}
    entry = idp.issuer(discovery_uri=None, issuer=idp.origin, introspection=asked)
    path = written(folder, server, **trusting(entry))
    async with open_gateway(path) as gateway:
        await call(gateway, key=b"opaque-token")
    assertion = parse_qs(idp.forms[0].decode())["client_assertion"][0]
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("gw", "gw", endpoint)
    key.write_text("c4n4ry")
    with pytest.raises(ConfigError, match="corp") as told:
        await prepare(path)
    assert "c4n4ry" not in str(told.value)


# ---- who else speaks for a call ------------------------------------------------------------------------------------------


def with_channel(idp: Idp, **changes: Any) -> tuple[bytes, bytes]:
    return b"x-channel-token", idp.token(**{"sub": "line-1", "client_id": "app", **changes})


async def test_s1_a_channel_of_a_known_issuer_shares_its_keys(folder: Path, server: HostileServer, idp: Idp) -> None:
    """One fetcher an issuer, whoever reads it."""
    channel = {"channel_token_discovery_uri": idp.origin + DISCOVERY, "channel_token_allow_insecure_loopback": True}
    async with open_gateway(written(folder, server, {"signer": channel}, **trusting(idp.issuer()))) as gateway:
        for number in range(50):
            more = with_channel(idp, jti=str(number))
            await gateway.handler.handle(modern("tools/call", None, more, key=idp.token(jti=str(number))))
        assert verified(gateway, server)["act"] == {"sub": "line-1", "client_id": "app"}
        assert (idp.counted(DISCOVERY), idp.counted("/keys")) == (1, 1)
        assert set(gateway.checks) == {"keys", "audit", "issuer corp"}


async def test_a_channel_of_its_own_is_a_part_of_readyz(folder: Path, server: HostileServer, idp: Idp) -> None:
    channel = {
        "channel_token_jwks_uri": f"{idp.origin}/keys",
        "channel_token_issuer": idp.origin,
        "channel_token_audience_in": "urn:gateway",
        "channel_token_header": "X-Line",
        "channel_token_required": True,
        "channel_token_allow_insecure_loopback": True,
    }
    async with open_gateway(written(folder, server, signer=channel)) as gateway:
        assert gateway.checks[f"channel {idp.origin} at {idp.origin}/keys"]() is None
        good = (b"x-line", idp.token(sub="line-1", aud="urn:gateway"))
        await gateway.handler.handle(modern("tools/call", None, good, key=None))
        assert verified(gateway, server)["act"] == {"sub": "line-1", "client_id": "ide"}
        for bad, reason in (
            ((b"x-line", idp.token(sub="line-1")), "channel_token_invalid"),
            ((b"x-channel-token", good[1]), "channel_token_missing"),
        ):
            with pytest.raises(CallError) as told:
                await gateway.handler.handle(modern("tools/call", None, bad, key=None))
            assert told.value.reason.code == reason


@pytest.mark.parametrize("first", ["before", "weather"])
async def test_k_01_servers_that_read_one_document_for_two_issuers_share_no_keys(
    folder: Path, server: HostileServer, idp: Idp, first: str
) -> None:
    """The document names one issuer. For the other one there are no keys, whichever server is opened first."""
    channel = {"channel_token_discovery_uri": idp.origin + DISCOVERY, "channel_token_allow_insecure_loopback": True}

    async def sent(issuer: str) -> None:
        path = written(folder, server, {"signer": {**channel, "channel_token_issuer": issuer}})
        whole = yaml.safe_load(path.read_text())
        servers = {**whole["servers"], "before": {"url": server.url + "/before", "signer": channel}}
        whole["servers"] = {first: servers[first], **servers}
        path.write_text(yaml.safe_dump(whole, sort_keys=False))
        async with open_gateway(path) as gateway:
            await gateway.handler.handle(modern("tools/call", None, with_channel(idp, iss=issuer), key=None))

    await sent(idp.origin)
    calls = len(server.seen)
    assert calls
    with pytest.raises(CannotTell):
        await sent("https://other.example")
    assert len(server.seen) == calls, "the server was called"


async def test_j_21_our_own_call_token_is_no_channel_token(folder: Path, server: HostileServer, idp: Idp) -> None:
    channel = {
        "channel_token_jwks_uri": f"{idp.origin}/keys",
        "channel_token_issuer": idp.origin,
        "channel_token_audience_in": server.url,
        "channel_token_allow_insecure_loopback": True,
    }
    async with open_gateway(written(folder, server, {"signer": channel})) as gateway:
        await call(gateway)
        own = server.seen[-1].token.encode()
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(modern("tools/call", None, (b"x-channel-token", own), key=None))
        assert told.value.reason.code == "channel_token_invalid"
        good = (b"x-channel-token", idp.token(aud=server.url))
        await gateway.handler.handle(modern("tools/call", None, good, key=None))


async def test_i_01_each_servers_identity_headers_are_its_signers(folder: Path, server: HostileServer) -> None:
    signer = {"trust_identity_headers_from": ["10.0.0.0/24"], "end_user_claim_sources": ["x_user", "sub"]}
    entry = {"signer": signer}
    async with open_gateway(written(folder, server, entry)) as gateway:
        sent = ((b"x-user", b"alice"), (b"email", b"a@b"), (b"host", b"h"))

        def kept(peer: str) -> list[bytes]:
            inbound = gateway.identity_headers.admitted(Inbound("POST", "weather", sent, b"", peer))
            return [name for name, _ in inbound.headers]

        assert kept("10.0.0.7") == [b"x-user", b"email", b"host"]
        assert kept("192.0.2.7") == [b"email", b"host"]
    # A channel token's header, or one with a meaning of its own, is never taken for an identity header.
    sources = {"end_user_claim_sources": ["x-channel-token", "host", "email"]}
    async with open_gateway(written(folder, server, {"signer": sources})) as gateway:
        sent = ((b"x-channel-token", b"t"), (b"email", b"a@b"), (b"host", b"h"))
        assert kept("192.0.2.7") == [b"x-channel-token", b"host"]


async def test_nothing_of_an_idp_goes_on_once_the_gateway_is_closed(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    before = asyncio.all_tasks()
    async with open_gateway(written(folder, server, **trusting(idp.issuer()))) as gateway:
        await call(gateway, key=idp.token())
    assert await until(lambda: asyncio.all_tasks() == before)
