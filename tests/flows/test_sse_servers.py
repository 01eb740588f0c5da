"""Servers of the old HTTP+SSE transport that other people wrote, with the official client of both eras in front."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageRequestParams, CreateMessageResult, TextContent

from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import Gateway, Key, running_gateway
from tests.support.parties import FOLDER, node_command, npm_file
from tests.support.process import Program, free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("python-client")]
both = pytest.mark.parametrize("mode", [REVISION, "auto", "legacy"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    port = free_port()
    command = node_command("--import", FOLDER / "loopback_only.mjs", npm_file("server-everything"), "sse")
    with Program("server-everything", command, {"PORT": str(port)}) as server:
        server.wait_for(re.compile(f"running on port {port}"))
        entry = {"transport": "sse", "url": f"http://127.0.0.1:{port}/sse"}
        with Gateway(tmp_path_factory.mktemp("sse"), {"everything": entry}) as gateway:
            yield gateway


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> Key:
    return gateway.create_key("alice")


@both
@pytest.mark.party("server-everything")
async def test_server_everything(gateway: Gateway, key: Key, mode: str) -> None:
    async with visiting(gateway.at("everything"), key.secret, mode) as client:
        assert len((await client.list_tools()).tools) > 5
        said = (await client.call_tool("echo", {"message": "hi"})).content[0]
        assert (await client.get_prompt("simple-prompt")).messages
        resources = (await client.list_resources()).resources
        assert (await client.read_resource(str(resources[0].uri))).contents
    assert isinstance(said, TextContent)
    assert said.text == "Echo: hi"


@pytest.mark.party("server-everything")
async def test_a_question_of_the_server_reaches_its_caller(gateway: Gateway, key: Key) -> None:
    async def sample(_: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
        content = TextContent(type="text", text="from the model")
        return CreateMessageResult(role="assistant", content=content, model="test")

    async with (
        httpx2.AsyncClient(headers=key.headers, timeout=60) as http,
        Client(
            streamable_http_client(gateway.at("everything"), http_client=http), mode="legacy", sampling_callback=sample
        ) as client,
    ):
        result = await client.call_tool("trigger-sampling-request", {"prompt": "what now?"})
    assert "from the model" in str(result.content)


@both
async def test_every_request_to_the_server_has_a_token_that_is_used_once(tmp_path: Path, mode: str) -> None:
    """S6: the stream and each post, of the caller's and of the gateway's own, at a server that verifies all of them."""
    gateway_port, server_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{server_port}/sse", f"http://127.0.0.1:{gateway_port}"
    with ServerProcess("sse_verifier", server_port, "--issuer", issuer, "--audience", url) as server:
        entry = {"transport": "sse", "url": url}
        async with running_gateway(tmp_path, {"echo": entry}, port=gateway_port) as gateway:
            key = await asyncio.to_thread(gateway.create_key, "alice")
            async with visiting(gateway.at("echo"), key.secret, mode) as client:
                for _ in range(2):
                    said = (await client.call_tool("echo", {"message": "hi"})).content[0]
                    assert isinstance(said, TextContent)
                    assert said.text == "hi"
            seen = await asyncio.to_thread(server.seen)
            records = [json.loads(line) for path in gateway.audit.glob("*") for line in path.read_text().splitlines()]
    assert {entry["path"].rstrip("/") for entry in seen} == {"/sse", "/messages"}
    assert all(entry["token"] and entry["status"] in (200, 202) for entry in seen)
    intents = [entry for entry in records if entry.get("event") == "intent"]
    assert len({entry["jti"] for entry in intents}) == len(intents) >= len(seen)
    own = {entry["method"] for entry in intents if entry["peer"] == "gateway"}
    assert "io.counterseal/stream" in own
    assert ("initialize" in own) == (mode != "legacy")
