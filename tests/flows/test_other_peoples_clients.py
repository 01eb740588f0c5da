"""Clients that agents are built with, through the gateway, to servers of every transport: each sees the tools and calls one.

LangChain's adapters and the OpenAI Agents SDK stand on the first SDK, the Inspector on the TypeScript one in both eras.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.flows.conftest import Countersigned
from tests.support.gateway import Gateway
from tests.support.parties import FOLDER, framework_command, node_command, npm_file
from tests.support.process import Program, free_port


@dataclass(frozen=True, slots=True)
class Visit:
    """What a client tells. said: the text that the tool gave; None where the call failed, and then error says why."""

    tools: list[str]
    said: str | None
    error: str


Client = Callable[[str, str, str], Visit]
"""Lists the tools at an address with a secret, then calls one with the message `hi`."""


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _framework(file: str) -> Client:
    def visit(address: str, secret: str, tool: str) -> Visit:
        done = _ran(framework_command(file, address, secret, tool, '{"message": "hi"}'))
        if done.returncode != 0:
            return Visit([], None, done.stderr)
        told = json.loads(done.stdout)
        said = told.get("said")
        return Visit(told["tools"], None if said is None else said[0]["text"], told.get("error", ""))

    return visit


def _inspector(era: str) -> Client:
    def asked(address: str, secret: str, *arguments: str) -> tuple[dict[str, Any], str]:
        options = [
            "--cli",
            "--server-url",
            address,
            "--transport",
            "http",
            "--protocol-era",
            era,
            "--format",
            "json",
            "-q",
        ]
        header = ["--header", f"Authorization: Bearer {secret}"]
        done = _ran(node_command(npm_file("inspector"), *options, *header, *arguments))
        return (json.loads(done.stdout) if done.returncode == 0 else {}), done.stdout + done.stderr

    def visit(address: str, secret: str, tool: str) -> Visit:
        listed, listing = asked(address, secret, "--method", "tools/list")
        tools = [each["name"] for each in _result(listed).get("tools", ())]
        if not listed:
            return Visit([], None, listing)
        called, calling = asked(
            address, secret, "--method", "tools/call", "--tool-name", tool, "--tool-arg", "message=hi"
        )
        content = _result(called).get("content")
        return Visit(tools, content[0]["text"] if content else None, calling)

    return visit


def _result(told: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = told.get("result", told)
    return result


CLIENTS: Final = [
    pytest.param(_framework("langchain_client.py"), id="langchain", marks=pytest.mark.party("langchain")),
    pytest.param(_framework("openai_agents_client.py"), id="openai-agents", marks=pytest.mark.party("openai-agents")),
    pytest.param(_inspector("modern"), id="inspector-modern", marks=pytest.mark.party("inspector")),
    pytest.param(_inspector("legacy"), id="inspector-legacy", marks=pytest.mark.party("inspector")),
]
clients = pytest.mark.parametrize("client", CLIENTS)


@clients
async def test_a_client_lists_and_calls_a_server_that_verifies(countersigned: Countersigned, client: Client) -> None:
    told = await asyncio.to_thread(client, countersigned.address, countersigned.key.secret, "echo")
    assert "echo" in told.tools
    assert "forbidden" not in told.tools
    assert told.said == "hi", told.error


@clients
async def test_a_client_with_a_wrong_key_fails_and_no_server_sees_it(
    countersigned: Countersigned, client: Client
) -> None:
    secret = countersigned.key.secret
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    before = len(await asyncio.to_thread(countersigned.server.seen))
    told = await asyncio.to_thread(client, countersigned.address, wrong, "echo")
    assert (told.tools, told.said) == ([], None)
    assert told.error
    assert len(await asyncio.to_thread(countersigned.server.seen)) == before


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before `server-everything` on each of its transports."""
    program = npm_file("server-everything")
    http_port, sse_port = free_port(), free_port()
    only_here = ("--import", FOLDER / "loopback_only.mjs")
    servers = {
        "http": {"url": f"http://127.0.0.1:{http_port}/mcp"},
        "sse": {"transport": "sse", "url": f"http://127.0.0.1:{sse_port}/sse"},
        "stdio": {"transport": "stdio", "command": node_command(program, "stdio")},
    }
    with (
        Program("http", node_command(*only_here, program, "streamableHttp"), {"PORT": str(http_port)}) as http,
        Program("sse", node_command(*only_here, program, "sse"), {"PORT": str(sse_port)}) as sse,
    ):
        http.wait_for(re.compile(f"listening on port {http_port}"))
        sse.wait_for(re.compile(f"running on port {sse_port}"))
        with Gateway(tmp_path_factory.mktemp("everywhere"), servers) as gateway:
            yield gateway


@clients
@pytest.mark.parametrize("server", ["http", "sse", "stdio"])
@pytest.mark.party("server-everything")
async def test_a_client_lists_and_calls_a_legacy_server_of_every_transport(
    everywhere: Gateway, client: Client, server: str
) -> None:
    key = await asyncio.to_thread(everywhere.create_key, "alice")
    told = await asyncio.to_thread(client, everywhere.at(server), key.secret, "echo")
    assert "get-sum" in told.tools, told.error
    assert told.said == "Echo: hi", told.error


@clients
@pytest.mark.party("server-everything")
async def test_a_client_lists_and_calls_all_of_them_at_one_address(everywhere: Gateway, client: Client) -> None:
    key = await asyncio.to_thread(everywhere.create_key, "alice")
    told = await asyncio.to_thread(client, f"{everywhere.url}/mcp", key.secret, "sse__echo")
    assert {f"{server}__get-sum" for server in ("http", "sse", "stdio")} <= set(told.tools), told.error
    assert told.said == "Echo: hi", told.error
