"""docs/servers.md, done as it says: a program and an old server that verify, behind one gateway, for callers of both eras."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from mcp_types import TextContent

from tests.docs import pages
from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import COMMAND, Gateway, Key
from tests.support.process import LISTENING, Program, free_port

pytestmark = pytest.mark.party("python-client")


def written(folder: Path, ports: dict[str, int]) -> None:
    for block in pages.blocks(pages.ROOT / "docs" / "servers.md"):
        mark, _, name = block.mark.partition("=")
        if mark == "page":
            text = block.text
            for port, free in ports.items():
                text = text.replace(port, str(free))
            (folder / name).write_text(text)


async def test_the_page_works_with_its_files_as_they_stand(tmp_path: Path) -> None:
    gateway_port, server_port = free_port(), free_port()
    written(tmp_path, {"8460": gateway_port, "8000": server_port})
    # `python3` is the one that this test runs with, as in the environment that the page is about.
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [COMMAND, "serve", "--config", str(tmp_path / "counterseal.yaml"), "--port", str(gateway_port)]
    with (
        Program("old.py", [sys.executable, str(tmp_path / "old.py")]) as old,
        Program("the gateway", command, path) as gateway,
    ):
        await asyncio.to_thread(old.wait_for, re.compile("Uvicorn running on"))
        await asyncio.to_thread(gateway.wait_for, LISTENING)
        running = Gateway.__new__(Gateway)
        running.config, running.url = tmp_path / "counterseal.yaml", f"http://127.0.0.1:{gateway_port}"
        for subject, note in (("alice", "buy milk"), ("bob", "call alice")):
            key = await asyncio.to_thread(running.create_key, subject)
            for mode in (REVISION, "legacy"):
                assert await used(running, key, mode, "notes", "read_note", title="today") == f"today: {note}"
                assert await used(running, key, mode, "old", "greet", name=subject) == f"hello {subject}"


async def used(gateway: Gateway, key: Key, mode: str, server: str, tool: str, **arguments: str) -> str:
    async with visiting(gateway.at(server), key.secret, mode) as client:
        content = (await client.call_tool(tool, arguments)).content[0]
    assert isinstance(content, TextContent)
    return content.text
