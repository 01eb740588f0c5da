"""Guarded servers over stdio and over HTTP+SSE behind one gateway: one connection for all callers, and each call for its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp_types import TextContent

from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION, tool_call
from tests.support.gateway import Gateway, Key
from tests.support.process import ROOT, free_port
from tests.support.servers import ServerProcess

pytestmark = pytest.mark.party("fastmcp", "python-client")

OVER_STDIO: Final = ("high_level", "fastmcp")
OVER_SSE: Final = ("sse_sdk", "sse_fastmcp")
every_kind = pytest.mark.parametrize("kind", [*OVER_STDIO, *OVER_SSE])


@pytest.fixture(scope="module")
def addresses() -> dict[str, str]:
    """Of the servers over HTTP+SSE."""
    return {kind: f"http://127.0.0.1:{free_port()}/sse" for kind in OVER_SSE}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, addresses: dict[str, str]) -> Iterator[Gateway]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    own = [
        str(ROOT),
        *(str(Path(folder).resolve()) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder),
    ]
    servers: dict[str, dict[str, Any]] = {}
    with ExitStack() as running:
        for kind in OVER_STDIO:
            audience = f"urn:counterseal:server:{kind}"
            command = [sys.executable, "-m", "tests.parties.guarded.over_stdio", "--kind", kind]
            command += ["--issuer", issuer, "--audience", audience]
            path = {"PYTHONPATH": os.pathsep.join(own)}
            servers[kind] = {"transport": "stdio", "command": command, "send_token": True, "env": path}
        for kind, url in addresses.items():
            options = ("--kind", kind, "--issuer", issuer, "--audience", url)
            running.enter_context(ServerProcess("guarded", urlsplit(url).port or 0, *options))
            servers[kind] = {"transport": "sse", "url": url}
        yield running.enter_context(Gateway(tmp_path_factory.mktemp("duplexes"), servers, port=port))


@pytest.fixture(scope="module")
def keys(gateway: Gateway) -> dict[str, Key]:
    return {subject: gateway.create_key(subject) for subject in ("alice", "bob")}


@every_kind
@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_each_call_runs_for_its_own_caller(gateway: Gateway, keys: dict[str, Key], kind: str, mode: str) -> None:
    """They share a connection that was opened in one caller's name; no other's call runs in that one's."""

    async def ask(subject: str, city: str) -> str:
        async with visiting(gateway.at(kind), keys[subject].secret, mode) as client:
            content = (await client.call_tool("get_weather", {"city": city})).content[0]
        assert isinstance(content, TextContent)
        return content.text

    asked = [
        (subject, f"{city} {number}") for number in range(4) for subject, city in (("alice", "Oslo"), ("bob", "Bergen"))
    ]
    said = await asyncio.gather(*(ask(subject, city) for subject, city in asked))
    assert said == [f"{city} for {subject}" for subject, city in asked]


@pytest.mark.parametrize("kind", OVER_SSE)
@pytest.mark.usefixtures("gateway")
async def test_nobody_opens_a_stream_or_posts_past_the_gateway(addresses: dict[str, str], kind: str) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        for place in (addresses[kind], addresses[kind].replace("/sse", "/messages/")):
            for answer in (
                await http.get(place),
                await http.post(place, json=tool_call("get_weather", {"city": "Oslo"})),
            ):
                assert (answer.status_code, answer.json()["error"]["data"]["reason"]) == (401, "credential_missing")
