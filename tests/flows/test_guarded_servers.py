"""Five servers on five foundations, each guarded in under five lines, behind one gateway.

What is presented to a server directly are the gateway's own call tokens, caught on their way to it, and what somebody could make
of them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx2
import jwt
import pytest
import pytest_asyncio
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.limits import LIMITS
from counterseal.core.operation import Operation
from counterseal.gateway.issuer_wiring import open_ring
from counterseal.gateway.probe.aim import Wanted
from counterseal.gateway.probe.probing import probe
from counterseal.issuer.mint import Mint
from tests.parties.guarded.kinds import KINDS
from tests.support.between import Between
from tests.support.calls import REVISION, post, tool_call
from tests.support.gateway import Gateway, Key, configuration, running_gateway
from tests.support.process import ROOT, free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("fastmcp", "python-client", "pyjwt"), pytest.mark.asyncio(loop_scope="module")]

DOCUMENT: Final = {
    "openapi": "3.1.0",
    "info": {"title": "Weather", "version": "1"},
    "paths": {
        "/weather/{city}": {
            "parameters": [{"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {"operationId": "get_weather", "responses": {"200": {"description": "The weather"}}},
        },
        "/all": {"delete": {"operationId": "delete_all", "responses": {"200": {"description": "Deleted"}}}},
    },
}
"""Of the HTTP API."""
every_kind = pytest.mark.parametrize("kind", KINDS)


@dataclass(frozen=True, slots=True)
class Way:
    """What a test may do: call through the gateway, catch a token, present one to a server. audiences: the servers' addresses."""

    audiences: dict[str, str]
    between: Between
    gateway: Gateway
    key: Key
    direct: Path

    async def through(self, kind: str, city: str) -> tuple[int, dict[str, Any]]:
        self.between.passing = True
        return await post(self.gateway.at(kind), tool_call("get_weather", {"city": city}), self.key.headers)

    async def caught(self, kind: str, name: str = "get_weather", city: str = "Oslo") -> str:
        """The token of a call that never reached its server."""
        self.between.passing = False
        arguments = {"city": city} if name == "get_weather" else {}
        status, body = await post(self.gateway.at(kind), tool_call(name, arguments), self.key.headers)
        assert status == 200, body
        return self.between.tokens[-1]

    async def present(self, kind: str, token: str | None, city: str = "Oslo") -> tuple[bool, str]:
        """Sends `get_weather` straight to the server. Whether it ran, and the answer's text or the reason."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = self.audiences[kind]
        if kind == "openapi":
            url = f"{url}/weather/{city}"
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
                text = await answer.text()
                return (
                    answer.status == 200,
                    text if answer.status == 200 else f"{answer.status} {text.partition(':')[0]}",
                )
        status, body = await post(url, tool_call("get_weather", {"city": city}), headers)
        if "error" in body:
            code = body["error"]["code"] // 100 if status == 200 else status
            return False, f"{code} {body['error']['data']['reason']}"
        assert status == 200, body
        return True, body["result"]["content"][0]["text"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def way(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Way]:
    port, ports = free_port(), {kind: free_port() for kind in KINDS}
    audiences = {kind: f"http://127.0.0.1:{ports[kind]}{'' if kind == 'openapi' else '/mcp'}" for kind in KINDS}
    async with AsyncExitStack() as running:
        for kind in KINDS:
            options = ("--kind", kind, "--issuer", f"http://127.0.0.1:{port}", "--audience", audiences[kind])
            server = await asyncio.to_thread(ServerProcess, "guarded", ports[kind], *options)
            running.push_async_callback(asyncio.to_thread, server.stop)
        between = await running.enter_async_context(Between(audiences))
        entries: dict[str, dict[str, Any]] = {
            kind: {"url": between.at(kind), "signer": {"algorithm": "ES256", "audience": audiences[kind]}}
            for kind in KINDS
        }
        folder = tmp_path_factory.mktemp("guarded")
        entries["openapi"] |= {"transport": "openapi", "spec": "openapi.json"}
        (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
        gateway = await running.enter_async_context(running_gateway(folder, entries, port=port))
        key = await asyncio.to_thread(gateway.create_key, "alice", "--agent", "planner")
        yield Way(audiences, between, gateway, key, directly(folder, port, audiences))


def directly(folder: Path, port: int, audiences: dict[str, str]) -> Path:
    """A configuration with the same issuer and keys that leads to the servers with nothing in between."""
    servers: dict[str, dict[str, Any]] = {kind: {"url": url} for kind, url in audiences.items()}
    servers["openapi"] |= {"transport": "openapi", "spec": "openapi.json"}
    path = folder / "direct.yaml"
    path.write_text(yaml.safe_dump(configuration(port, folder, servers)))
    return path


# ---- in under five lines ----


@every_kind
async def test_a_server_is_guarded_in_under_five_lines(kind: str) -> None:
    lines = (ROOT / f"tests/parties/guarded/{kind}_server.py").read_text().splitlines()
    marked = [line for line in lines if line.endswith("# guard")]
    assert 0 < len(marked) < 5
    ours = [line for line in lines if "counterseal" in line.lower() or "Verifier(" in line or "CallToken" in line]
    assert all(line in marked or "request.state.counterseal" in line for line in ours)


# ---- good calls ----


@every_kind
async def test_a_good_call_passes_and_the_tool_knows_for_whom(way: Way, kind: str) -> None:
    status, body = await way.through(kind, "Oslo")
    assert status == 200, body
    assert body["result"]["content"][0]["text"].startswith("Oslo for alice")


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "starlette"])
async def test_the_official_client_works_with_a_guarded_server_in_both_eras(way: Way, kind: str, mode: str) -> None:
    way.between.passing = True
    async with (
        httpx2.AsyncClient(headers=way.key.headers, timeout=60) as http,
        Client(streamable_http_client(way.gateway.at(kind), http_client=http), mode=mode) as client,
    ):
        assert {tool.name for tool in (await client.list_tools()).tools} == {"get_weather", "delete_all"}
        for city in ("Oslo", "Bergen"):
            result = await client.call_tool("get_weather", {"city": city})
            assert result.content[0].text.startswith(f"{city} for alice")


# ---- bad ones ----


def tampered(token: str) -> str:
    """Another subject in the payload, under the same signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{encoded({**claims, 'sub': 'mallory'})}.{signature}"


def with_another_algorithm(token: str, alg: str, jwks: dict[str, Any]) -> str:
    """The same claims, unsigned, or with a MAC whose secret is the public key."""
    header, payload, _ = token.split(".")
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    signed = f"{encoded({'alg': alg, 'typ': 'at+jwt', 'kid': kid})}.{payload}"
    if alg == "none":
        return f"{signed}."
    (public,) = (jwt.PyJWK(key).key for key in jwks["keys"] if key["kid"] == kid)
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{signed}.{base64url(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def encoded(value: dict[str, Any]) -> str:
    return base64url(json.dumps(value).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@every_kind
async def test_m_30_bad_calls_are_refused_and_nothing_runs(way: Way, kind: str) -> None:
    """M-30, S-07, J-01, J-02, J-21, J-26: and the same call, as it was meant, passes before and after them."""
    jwks = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(way.gateway.jwks, timeout=60)))
    other = KINDS[(KINDS.index(kind) + 1) % len(KINDS)]
    used = await way.caught(kind)
    ran, before = await way.present(kind, used)
    assert ran, before
    bad = {
        "no token": None,
        "replayed": used,
        "another server's": await way.caught(other),
        "another tool's": await way.caught(kind, "delete_all"),
        "other arguments": await way.caught(kind, city="Bergen"),
        "tampered": tampered(await way.caught(kind)),
        "alg none": with_another_algorithm(await way.caught(kind), "none", jwks),
        "the public key as a secret": with_another_algorithm(await way.caught(kind), "HS256", jwks),
    }
    assert {name: await way.present(kind, token) for name, token in bad.items()} == {
        "no token": (False, "401 credential_missing"),
        "replayed": (False, "401 replayed"),
        "another server's": (False, "401 audience"),
        "another tool's": (False, "403 scope"),
        "other arguments": (False, "403 arguments"),
        "tampered": (False, "401 invalid_token"),
        "alg none": (False, "401 invalid_token"),
        "the public key as a secret": (False, "401 invalid_token"),
    }
    ran, after = await way.present(kind, await way.caught(kind))
    assert (ran, runs(after)) == (True, runs(before) + 1)


@every_kind
async def test_an_expired_token_is_refused(way: Way, kind: str) -> None:
    """The gateway's own key signs once more what it signed for a call, as if that had been an hour ago, and as it was."""
    mint = Mint(await open_ring(load(way.direct)), LIMITS)
    said = []
    for ago in (3600, 0):
        claims = jwt.decode(await way.caught(kind), options={"verify_signature": False})
        claims |= {name: claims[name] - ago for name in ("iat", "nbf", "exp")}
        said.append(await way.present(kind, (await mint.mint(claims, "ES256")).token))
    assert said[0] == (False, "401 expired")
    assert said[1][0], said[1]


# ---- a probe ----


@every_kind
async def test_a_probe_finds_nothing_in_a_guarded_server(way: Way, kind: str) -> None:
    """With and without the call of a tool, where the server has lists. The key is good, so what is refused is the attack."""
    for operation in (Operation("tools/call", "get_weather", {"city": "Oslo"}), None):
        if operation is None and kind in ("starlette", "openapi"):
            continue
        wanted = Wanted(server=kind, operation=operation, key=way.key.secret)
        report = await probe(load(way.direct), wanted, SystemClock())
        assert [(part.name, one.attack.id, one.said) for part, one in report.accepted] == []
        spoken = {part.name for part in report.spoken if not part.name.startswith("gateway")}
        assert spoken == SPOKEN.get(kind, {"MCP 2026-07-28", "MCP with a session"})
        for part in report.spoken:
            assert part.problem is None, part
            assert {one.attack.id: one.said for one in part.results if one.verdict == "error"} == {}
            skipped = {one.attack.id for one in part.results if one.verdict == "skipped"}
            assert skipped <= {"other_arguments", "open_methods"}


SPOKEN: Final = {"starlette": {"MCP 2026-07-28"}, "openapi": {"HTTP API"}}


def runs(text: str) -> int:
    return int(text.rpartition(" ")[2])
