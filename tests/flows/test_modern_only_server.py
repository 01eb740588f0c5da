"""The official SDK's server, kept to revision 2026-07-28, with clients of either era in front of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import MCPError
from mcp_types import GetPromptResult, TextContent

from tests.flows.conftest import Countersigned
from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import Gateway
from tests.support.parties import FOLDER, node_command
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("python-client")]
both = pytest.mark.parametrize("mode", [REVISION, "auto", "legacy"])


@pytest.fixture(scope="module")
def one_era(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Countersigned]:
    gateway_port, server_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{server_port}/mcp", f"http://127.0.0.1:{gateway_port}"
    policy = [{"deny": {"tools": ["forbidden"]}}, {"permit": {"servers": ["everything"]}}]
    folder = tmp_path_factory.mktemp("modern")
    with (
        ServerProcess("one_era", server_port, "--era", "modern", "--issuer", issuer, "--audience", url) as server,
        Gateway(folder, {"everything": {"url": url}}, port=gateway_port, policy=policy) as gateway,
    ):
        yield Countersigned(gateway, server, gateway.create_key("alice"))


@both
async def test_the_official_python_client_lists_calls_and_reads(one_era: Countersigned, mode: str) -> None:
    heard: list[float] = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        heard.append(done)

    async with visiting(one_era.address, one_era.key.secret, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["echo", "count"]
        said = (await client.call_tool("echo", {"message": "hi"})).content[0]
        await client.call_tool("count", {"to": 3}, progress_callback=progress)
        prompt = await client.get_prompt("greeting", {"name": "you"})
        assert [str(one.uri) for one in (await client.list_resources()).resources] == ["text://static"]
        assert [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        assert "about a" in str((await client.read_resource("note://a")).contents[0])
    assert isinstance(said, TextContent)
    assert said.text == "hi"
    assert heard == [1, 2, 3]
    assert isinstance(prompt, GetPromptResult)
    assert "hello you" in str(prompt.messages[0].content)


@both
async def test_a_denied_tool_never_reaches_the_server(one_era: Countersigned, mode: str) -> None:
    async with visiting(one_era.address, one_era.key.secret, mode) as client:
        await client.call_tool("echo", {"message": "the accepted twin"})
        with pytest.raises(MCPError):
            await client.call_tool("forbidden", {"message": "x"})
    seen = [entry["name"] for entry in await asyncio.to_thread(one_era.server.seen)]
    assert "echo" in seen
    assert "forbidden" not in seen


@pytest.mark.party("typescript-v1-client")
async def test_the_typescript_client_of_before_works_as_it_is(one_era: Countersigned) -> None:
    command = node_command(FOLDER / "typescript_v1_client.mjs", one_era.address, one_era.key.secret)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told == {
        "server": "one-era",
        "instructions": "be kind",
        "tools": ["echo", "count"],
        "ping": {},
        "call": "from TypeScript",
        "count": "3",
        "progress": [1, 2, 3],
        "resource": "about a",
    }


@both
async def test_every_request_to_the_server_has_a_token_that_is_used_once(one_era: Countersigned, mode: str) -> None:
    """The server takes each token once, so a request without one of its own would have been 401."""
    async with visiting(one_era.address, one_era.key.secret, mode) as client:
        await client.call_tool("echo", {"message": "hi"})
    seen = await asyncio.to_thread(one_era.server.seen)
    assert all(entry["token"] for entry in seen)
    # A legacy caller's first `initialize` goes out as it is, and is refused; so is one of the gateway's own after it.
    refused = [entry["method"] for entry in seen if entry["status"] != 200]
    assert set(refused) <= {"initialize"}
    assert len(refused) <= 2
