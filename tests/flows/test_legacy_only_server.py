"""`server-everything` knows only the revisions before 2026-07-28: sessions, a handshake, event streams that can be resumed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import MCPError
from mcp_types import TextContent

from tests.flows.test_official_python_client import visiting
from tests.support.gateway import Gateway
from tests.support.parties import FOLDER, node_command, npm_file
from tests.support.process import Program, free_port

pytestmark = [pytest.mark.party("server-everything", "python-client")]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    port = free_port()
    command = node_command("--import", FOLDER / "loopback_only.mjs", npm_file("server-everything"), "streamableHttp")
    with Program("server-everything", command, {"PORT": str(port)}) as server:
        server.wait_for(re.compile(f"listening on port {port}"))
        with Gateway(tmp_path, {"everything": {"url": f"http://127.0.0.1:{port}/mcp"}}) as gateway:
            yield gateway


async def test_a_legacy_session_with_a_legacy_server_works_from_the_handshake_to_the_end(gateway: Gateway) -> None:
    key = await asyncio.to_thread(gateway.create_key, "alice")
    async with visiting(gateway.at("everything"), key.secret, "legacy") as client:
        assert len((await client.list_tools()).tools) > 5
        content = (await client.call_tool("echo", {"message": "hi"})).content[0]
    assert isinstance(content, TextContent)
    assert content.text == "Echo: hi"


async def test_a_modern_call_is_not_translated_into_a_session(gateway: Gateway) -> None:
    """A call stays in its era: the server's refusal comes back as an error, not as a guess."""
    key = await asyncio.to_thread(gateway.create_key, "alice")
    async with visiting(gateway.at("everything"), key.secret, "2026-07-28") as client:
        with pytest.raises(MCPError):
            await client.call_tool("echo", {"message": "hi"})
