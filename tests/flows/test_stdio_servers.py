"""Servers over stdio that other people wrote, in their usual set-up, with the official client of both eras in front."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageRequestParams, CreateMessageResult, TextContent

from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import Gateway, Key
from tests.support.parties import node, node_command, npm_file

pytestmark = [pytest.mark.party("python-client")]
both = pytest.mark.parametrize("mode", [REVISION, "auto", "legacy"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with every server there is; what is missing is not started, and its tests are skipped."""
    folder = tmp_path_factory.mktemp("stdio")
    (folder / "files").mkdir()
    (folder / "files" / "hello.txt").write_text("from the disk")
    repository = folder / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    (repository / "new.txt").write_text("x")
    commands = {
        "time": [sys.executable, "-m", "mcp_server_time", "--local-timezone", "Europe/Oslo"],
        "git": [sys.executable, "-m", "mcp_server_git", "--repository", str(repository)],
    }
    if node() is not None:
        commands["files"] = node_command(npm_file("server-filesystem"), str(folder / "files"))
        for name in ("shared", "own"):
            commands[name] = node_command(npm_file("server-everything"), "stdio")
    servers: dict[str, dict[str, Any]] = {
        name: {"transport": "stdio", "command": command} for name, command in commands.items()
    }
    if "own" in servers:
        servers["own"]["isolation"] = "caller"
    with Gateway(folder, servers) as running:
        yield running


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> Key:
    return gateway.create_key("alice")


async def used(client: Client, tool: str, arguments: Mapping[str, Any]) -> tuple[list[str], str]:
    """The names of all tools, and what one of them says."""
    tools = [tool.name for tool in (await client.list_tools()).tools]
    content = (await client.call_tool(tool, dict(arguments))).content[0]
    assert isinstance(content, TextContent)
    return tools, content.text


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = entry.read_text().rsplit(")", 1)
        except OSError:
            continue
        parents[int(name.partition(" ")[0])] = int(rest.split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@both
@pytest.mark.party("mcp-server-time")
async def test_mcp_server_time(gateway: Gateway, key: Key, mode: str) -> None:
    async with visiting(gateway.at("time"), key.secret, mode) as client:
        tools, said = await used(client, "get_current_time", {"timezone": "Asia/Tokyo"})
    assert "convert_time" in tools
    assert "Asia/Tokyo" in said


@both
@pytest.mark.party("mcp-server-git")
async def test_mcp_server_git(gateway: Gateway, key: Key, mode: str) -> None:
    repository = str(gateway.config.parent / "repository")
    async with visiting(gateway.at("git"), key.secret, mode) as client:
        tools, said = await used(client, "git_status", {"repo_path": repository})
    assert "git_log" in tools
    assert "new.txt" in said


@both
@pytest.mark.party("server-filesystem")
async def test_server_filesystem(gateway: Gateway, key: Key, mode: str) -> None:
    path = str(gateway.config.parent / "files" / "hello.txt")
    async with visiting(gateway.at("files"), key.secret, mode) as client:
        tools, said = await used(client, "read_text_file", {"path": path})
    assert "write_file" in tools
    assert said == "from the disk"


@both
@pytest.mark.parametrize("server", ["shared", "own"])
@pytest.mark.party("server-everything")
async def test_server_everything(gateway: Gateway, key: Key, mode: str, server: str) -> None:
    async with visiting(gateway.at(server), key.secret, mode) as client:
        tools, said = await used(client, "echo", {"message": "hi"})
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        prompt = await client.get_prompt("simple-prompt")
        resources = (await client.list_resources()).resources
        read = await client.read_resource(str(resources[0].uri))
        with pytest.raises(MCPError):
            await client.get_prompt("there-is-none")
    assert len(tools) > 5
    assert said == "Echo: hi"
    assert "simple-prompt" in prompts
    assert prompt.messages
    assert read.contents


@pytest.mark.party("server-everything")
async def test_a_question_of_the_server_reaches_the_one_caller_whose_process_it_is(gateway: Gateway, key: Key) -> None:
    """Sampling, in a session of the caller's own."""
    asked: list[str] = []

    async def sample(_: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
        asked.append(str(params.messages[0].content))
        content = TextContent(type="text", text="from the model")
        return CreateMessageResult(role="assistant", content=content, model="test")

    async with (
        httpx2.AsyncClient(headers=key.headers, timeout=60) as http,
        Client(
            streamable_http_client(gateway.at("own"), http_client=http), mode="legacy", sampling_callback=sample
        ) as client,
    ):
        result = await client.call_tool("trigger-sampling-request", {"prompt": "what now?"})
    assert "what now?" in asked[0]
    assert "from the model" in str(result.content)


@pytest.mark.party("server-everything")
async def test_nothing_that_was_started_outlives_the_gateway(tmp_path: Path) -> None:
    entry = {"transport": "stdio", "command": node_command(npm_file("server-everything"), "stdio")}
    with Gateway(tmp_path, {"everything": entry}) as running:
        key = await asyncio.to_thread(running.create_key, "alice")
        assert not descendants(running.program.pid)
        async with visiting(running.at("everything"), key.secret, "legacy") as client:
            await client.call_tool("echo", {"message": "hi"})
        started = descendants(running.program.pid)
        assert started
    assert not {pid for pid in started if Path(f"/proc/{pid}").exists()}
