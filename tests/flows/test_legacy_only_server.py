"""`server-everything` knows only the revisions before 2026-07-28: sessions, a handshake, event streams that can be resumed.
Callers of either era use it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_types import TextContent

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
    command = node_command("--import", FOLDER / "loopback_only.mjs", npm_file("server-everything"), "streamableHttp")
    with Program("server-everything", command, {"PORT": str(port)}) as server:
        server.wait_for(re.compile(f"listening on port {port}"))
        folder = tmp_path_factory.mktemp("legacy")
        with Gateway(folder, {"everything": {"url": f"http://127.0.0.1:{port}/mcp"}}) as gateway:
            yield gateway


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> Key:
    return gateway.create_key("alice")


@both
@pytest.mark.party("server-everything")
async def test_the_official_python_client_lists_calls_and_reads(gateway: Gateway, key: Key, mode: str) -> None:
    heard: list[float] = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        heard.append(done)

    async with visiting(gateway.at("everything"), key.secret, mode) as client:
        assert len((await client.list_tools()).tools) > 5
        said = (await client.call_tool("echo", {"message": "hi"})).content[0]
        assert (await client.get_prompt("simple-prompt")).messages
        resources = (await client.list_resources()).resources
        assert (await client.read_resource(str(resources[0].uri))).contents
        steps = {"duration": 0.3, "steps": 3}
        await client.call_tool("trigger-long-running-operation", steps, progress_callback=progress)
    assert isinstance(said, TextContent)
    assert said.text == "Echo: hi"
    assert heard == [1, 2, 3]


@pytest.mark.party("server-everything", "typescript-client")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_the_official_typescript_client_lists_and_calls(gateway: Gateway, key: Key, era: str) -> None:
    command = node_command(FOLDER / "typescript_client.mjs", gateway.at("everything"), era, key.secret)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["connect"] == {"value": REVISION if era == "modern" else "2025-11-25"}
    assert "echo" in told["tools"]["value"]
    assert told["call"] == {"value": "Echo: from TypeScript"}
    assert "simple-prompt" in told["prompts"]["value"]
    assert told["resources"]["value"]


@both
async def test_every_request_to_the_server_has_a_token_that_is_used_once(tmp_path: Path, mode: str) -> None:
    """S6: the caller's and the gateway's own, the end of the session too, at a server that verifies all of them."""
    gateway_port, server_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{server_port}/mcp", f"http://127.0.0.1:{gateway_port}"
    with ServerProcess("one_era", server_port, "--era", "legacy", "--issuer", issuer, "--audience", url) as server:
        async with running_gateway(tmp_path, {"echo": {"url": url}}, port=gateway_port) as gateway:
            key = await asyncio.to_thread(gateway.create_key, "alice")
            async with visiting(gateway.at("echo"), key.secret, mode) as client:
                for _ in range(2):
                    said = (await client.call_tool("echo", {"message": "hi"})).content[0]
                    assert isinstance(said, TextContent)
                    assert said.text == "hi"
                assert str((await client.read_resource("note://a")).contents[0]).count("about a") == 1
        seen = await asyncio.to_thread(server.seen)
        records = [json.loads(line) for path in gateway.audit.glob("*") for line in path.read_text().splitlines()]
    assert all(entry["token"] for entry in seen)
    assert {entry["status"] for entry in seen} <= {200, 202, 400}
    if mode != "legacy":
        assert seen[0]["status"] == 400  # the new revision, in which no handshake comes first
        assert all(entry["status"] in (200, 202) for entry in seen[2:])
        assert (seen[-1]["http"], seen[-1]["status"]) == ("DELETE", 200)
    intents = [entry for entry in records if entry.get("event") == "intent"]
    assert len({entry["jti"] for entry in intents}) == len(intents) == len(seen)
    own = {entry["method"] for entry in intents if entry["peer"] == "gateway"}
    assert ("initialize" in own) == ("io.counterseal/end-session" in own) == (mode != "legacy")
    # What was sent once more is the same transaction.
    assert len({entry["txn"] for entry in intents if entry["method"] == "tools/call"}) == 2
