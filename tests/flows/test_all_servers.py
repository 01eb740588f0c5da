"""Servers of other people over every transport at one address, with the official clients of both eras in front."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageRequestParams, CreateMessageResult, TextContent

from tests.flows.test_guarded_servers import DOCUMENT
from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION, modern, post, refusal, tool_call
from tests.support.gateway import Gateway, Key, running_gateway
from tests.support.parties import FOLDER, node, node_command, npm_file
from tests.support.process import Program, free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("python-client", "fastmcp", "server-everything", "mcp-server-time", "mcp-server-git")]
both = pytest.mark.parametrize("mode", [REVISION, "auto", "legacy"])

EVERYTHING = ("http", "old", "program", "own")
"""`server-everything` over streamable HTTP, HTTP+SSE, and stdio, shared and not."""
GUARDED = ("fastmcp", "low_level", "openapi")
"""Servers that verify, each on another foundation."""


@dataclass(frozen=True, slots=True)
class Way:
    gateway: Gateway
    key: Key
    repository: str

    @property
    def address(self) -> str:
        return f"{self.gateway.url}/mcp"


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    if node() is None:
        pytest.skip("no Node")
    folder = tmp_path_factory.mktemp("all")
    repository = folder / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    (repository / "new.txt").write_text("x")
    gateway_port = free_port()
    issuer = f"http://127.0.0.1:{gateway_port}"
    servers: dict[str, dict[str, Any]] = {}
    with ExitStack() as running:

        def guarded(module: str, name: str, *arguments: str, path: str = "/mcp") -> None:
            port = free_port()
            url = f"http://127.0.0.1:{port}{path}"
            running.enter_context(ServerProcess(module, port, *arguments, "--issuer", issuer, "--audience", url))
            servers[name] = {"url": url}

        def everything(name: str, transport: str, ready: str, path: str) -> None:
            port = free_port()
            command = node_command("--import", FOLDER / "loopback_only.mjs", npm_file("server-everything"), transport)
            program = running.enter_context(Program(name, command, {"PORT": str(port)}))
            program.wait_for(re.compile(f"{ready} {port}"))
            servers[name] = {"url": f"http://127.0.0.1:{port}{path}"}

        guarded("everything", "sdk")
        guarded("one_era", "new", "--era", "modern")
        for kind in GUARDED:
            guarded("guarded", kind, "--kind", kind, path="" if kind == "openapi" else "/mcp")
        (folder / "weather.yaml").write_text(yaml.safe_dump(DOCUMENT))
        servers["openapi"] |= {"transport": "openapi", "spec": "weather.yaml"}
        everything("http", "streamableHttp", "listening on port", "/mcp")
        everything("old", "sse", "running on port", "/sse")
        servers["old"]["transport"] = "sse"
        stdio = node_command(npm_file("server-everything"), "stdio")
        servers["program"] = {"transport": "stdio", "command": stdio}
        servers["own"] = {"transport": "stdio", "command": [*stdio], "isolation": "caller"}
        time = [sys.executable, "-m", "mcp_server_time", "--local-timezone", "Europe/Oslo"]
        git = [sys.executable, "-m", "mcp_server_git", "--repository", str(repository)]
        servers["time"] = {"transport": "stdio", "command": time}
        servers["git"] = {"transport": "stdio", "command": git}
        servers["dead"] = {"url": f"http://127.0.0.1:{free_port()}/mcp"}
        policy = [{"deny": {"tools": ["forbidden", "delete_all"]}}, {"permit": {"servers": list(servers)}}]
        gateway = running.enter_context(Gateway(folder, servers, port=gateway_port, policy=policy))
        key = gateway.create_key("alice")
        # A list is not waited for as long as they take to start on a slow machine.
        for name in ("program", "own", "time", "git"):
            status, body = asyncio.run(post(gateway.at(name), modern("tools/list"), key.headers))
            assert status == 200, body
        yield Way(gateway, key, str(repository))


def text_of(result: Any) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@both
async def test_the_official_python_client_uses_all_of_them_at_once(way: Way, mode: str) -> None:
    async with visiting(way.address, way.key.secret, mode) as client:
        listed = await client.list_tools()
        names = [tool.name for tool in listed.tools]
        assert len(names) == len(set(names))
        assert {name.partition("__")[0] for name in names} == {*EVERYTHING, *GUARDED, "sdk", "new", "time", "git"}
        assert not [name for name in names if name.endswith(("__forbidden", "__delete_all"))]
        assert [one["server"] for one in (listed.meta or {})["io.counterseal/unavailable"]] == ["dead"]
        for server in EVERYTHING:
            assert text_of(await client.call_tool(f"{server}__echo", {"message": server})) == f"Echo: {server}"
        for server in GUARDED:
            assert text_of(await client.call_tool(f"{server}__get_weather", {"city": "Oslo"})).startswith(
                "Oslo for alice"
            )
        for server in ("sdk", "new"):
            assert text_of(await client.call_tool(f"{server}__echo", {"message": "hi"})) == "hi"
        assert "Asia/Tokyo" in text_of(await client.call_tool("time__get_current_time", {"timezone": "Asia/Tokyo"}))
        assert "new.txt" in text_of(await client.call_tool("git__git_status", {"repo_path": way.repository}))
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert {f"{server}__simple-prompt" for server in EVERYTHING} <= prompts
        assert (await client.get_prompt("program__simple-prompt")).messages
        resources = [str(resource.uri) for resource in (await client.list_resources()).resources]
        for server in (*EVERYTHING, "sdk"):
            first = next(uri for uri in resources if uri.startswith(f"counterseal:{server}/"))
            assert (await client.read_resource(first)).contents[0].uri == first
        templates = (await client.list_resource_templates()).resource_templates
        assert any(str(one.uri_template).startswith("counterseal:http/") for one in templates)


@both
async def test_a_link_in_an_answer_can_be_read_where_it_was_got(way: Way, mode: str) -> None:
    async with visiting(way.address, way.key.secret, mode) as client:
        result = await client.call_tool("http__get-resource-links", {"count": 2})
        links = [one for one in result.content if one.type == "resource_link"]
        assert links
        for link in links:
            assert link.uri.startswith("counterseal:http/")
            assert (await client.read_resource(link.uri)).contents[0].uri == link.uri


@pytest.mark.parametrize("server", ["http", "own", "old"])
async def test_a_question_of_a_server_reaches_the_caller_and_its_answer_the_server(way: Way, server: str) -> None:
    """Sampling."""
    asked: list[str] = []

    async def sample(_: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
        asked.append(str(params.messages[0].content))
        return CreateMessageResult(
            role="assistant", content=TextContent(type="text", text=f"for {server}"), model="test"
        )

    async with (
        httpx2.AsyncClient(headers=way.key.headers, timeout=60) as http,
        Client(
            streamable_http_client(way.address, http_client=http), mode="legacy", sampling_callback=sample
        ) as client,
    ):
        await client.list_tools()
        result = await client.call_tool(f"{server}__trigger-sampling-request", {"prompt": "what now?"})
    assert "what now?" in asked[0]
    assert f"for {server}" in str(result.content)


@pytest.mark.party("typescript-client")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_the_official_typescript_client_uses_them(way: Way, era: str) -> None:
    command = node_command(FOLDER / "typescript_client.mjs", way.address, era, way.key.secret, "sdk")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = {step: outcome.get("value", outcome) for step, outcome in json.loads(done.stdout).items()}
    assert told["connect"] == (REVISION if era == "modern" else "2025-11-25")
    assert {"sdk__echo", "time__convert_time", "openapi__get_weather", "old__echo"} <= set(told["tools"])
    assert told["call"] == "from TypeScript"
    assert "sdk__test_simple_prompt" in told["prompts"]
    assert told["prompt"] == "This is a simple prompt for testing."
    assert "counterseal:sdk/test://static-text" in told["resources"]
    assert told["resource"] == "This is the content of the static text resource."
    assert "is denied by the policy" in told["forbidden"]["error"]


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_progress_and_errors_of_a_server_reach_its_caller(way: Way, mode: str) -> None:
    heard: list[float] = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        heard.append(done)

    async with visiting(way.address, way.key.secret, mode) as client:
        steps = {"duration": 0.3, "steps": 3}
        await client.call_tool("http__trigger-long-running-operation", steps, progress_callback=progress)
        with pytest.raises(MCPError):
            await client.get_prompt("program__there-is-none")
        with pytest.raises(MCPError, match="there is nothing of this name"):
            await client.call_tool("nowhere__echo", {})
    assert heard == [1, 2, 3]


async def test_a_key_for_some_servers_sees_and_reaches_those_alone(way: Way) -> None:
    key = await asyncio.to_thread(way.gateway.create_key, "bob", "--servers", "time,low_level", "--tools", "get_*")
    async with visiting(way.address, key.secret, REVISION) as client:
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == {"time__get_current_time", "low_level__get_weather"}
        assert listed.meta is None or "io.counterseal/unavailable" not in listed.meta
    status, reason, _ = await refusal(way.address, tool_call("sdk__echo", {"message": "x"}), key.headers)
    assert (status, reason) == (400, "invalid_params")
    status, _ = await post(way.address, tool_call("low_level__get_weather", {"city": "Oslo"}), key.headers)
    assert status == 200


async def test_every_request_that_left_belongs_to_a_record(way: Way) -> None:
    async with visiting(way.address, way.key.secret, "legacy") as client:
        await client.list_tools()
    records = [json.loads(line) for path in way.gateway.audit.glob("*") for line in path.read_text().splitlines()]
    gathers = {entry["record"] for entry in records if entry["event"] == "gather"}
    parts = [entry for entry in records if entry["event"] == "intent" and "part_of" in entry]
    assert parts
    assert {entry["part_of"] for entry in parts} <= {entry.get("record") for entry in records}
    assert {entry["part_of"] for entry in parts} & gathers
    intents = [entry for entry in records if entry["event"] == "intent"]
    assert len({entry["jti"] for entry in intents}) == len(intents)
    assert {entry["server"] for entry in intents if entry["method"] == "tools/call"} >= {"sdk"}


async def test_with_several_workers_a_session_goes_on_at_any_of_them(tmp_path: Path) -> None:
    gateway_port, server_port = free_port(), free_port()
    url = f"http://127.0.0.1:{server_port}/mcp"
    issuer = f"http://127.0.0.1:{gateway_port}"
    time = [sys.executable, "-m", "mcp_server_time"]
    entries = {"sdk": {"url": url}, "time": {"transport": "stdio", "command": time}}
    with ServerProcess("everything", server_port, "--issuer", issuer, "--audience", url):
        async with running_gateway(tmp_path, entries, port=gateway_port, arguments=("--workers", "2")) as gateway:
            key = await asyncio.to_thread(gateway.create_key, "alice")
            limits = httpx2.Limits(
                max_keepalive_connections=0
            )  # a connection for each request, so that all workers get some
            async with (
                httpx2.AsyncClient(headers=key.headers, timeout=60, limits=limits) as http,
                Client(streamable_http_client(f"{gateway.url}/mcp", http_client=http), mode="legacy") as client,
            ):
                for n in range(5):
                    assert text_of(await client.call_tool("sdk__echo", {"message": str(n)})) == str(n)
                    assert "time__convert_time" in {tool.name for tool in (await client.list_tools()).tools}
            folder = gateway.audit
        records = [json.loads(line) for path in folder.glob("*") for line in path.read_text().splitlines()]
    assert len({entry["writer"] for entry in records if entry["event"] == "gather"}) > 1
