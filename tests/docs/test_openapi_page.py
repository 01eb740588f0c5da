"""docs/openapi.md, done as it says: its files as they stand, checked, served and called."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from counterseal.core.limits import LIMITS
from tests.docs import pages
from tests.support.calls import post, tool_call
from tests.support.gateway import COMMAND
from tests.support.process import LISTENING, Program, free_port

PAGE: Final = pages.ROOT / "docs" / "openapi.md"


def written(folder: Path, gateway: int = 8460, server: int = 8000) -> None:
    """The page's files, with ports that are free here."""
    for block in pages.blocks(PAGE):
        mark, _, name = block.mark.partition("=")
        if mark in ("document", "openapi"):
            text = block.text.replace("8460", str(gateway)).replace("8000", str(server))
            (folder / name).write_text(text)


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_check_says_what_the_page_shows(tmp_path: Path) -> None:
    written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counterseal.yaml", "notes-api.yaml", "notes.py"]
    printed = run(tmp_path, "check").splitlines()
    command, first, between, *shown = pages.block("docs/openapi.md", "console").text.splitlines()
    assert (command, between) == ("$ counterseal check", "  ...")
    assert printed[0] == first
    assert printed[-len(shown) :] == shown


async def test_the_api_of_the_page_is_called_as_it_says(tmp_path: Path) -> None:
    gateway_port, server_port = free_port(), free_port()
    written(tmp_path, gateway_port, server_port)
    config = tmp_path / "counterseal.yaml"
    with (
        Program("notes.py", [sys.executable, str(tmp_path / "notes.py")]) as api,
        Program("the gateway", [COMMAND, "serve", "--config", str(config)]) as gateway,
    ):
        await asyncio.to_thread(api.wait_for, re.compile("Uvicorn running on"))
        address = (await asyncio.to_thread(gateway.wait_for, LISTENING))[1] + "/mcp/notes"
        made = run(tmp_path, "apikey", "create", "--subject", "alice", "--team", "data", "--json")
        key = {"Authorization": f"Bearer {json.loads(made)['secret']}"}
        await until_known(address, key)

        async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            status, body = await post(address, tool_call(name, arguments), key)
            assert status == 200, body
            result: dict[str, Any] = body["result"]
            return result

        added = await call("add_note", {"body": {"text": "Call Ann"}})
        assert added["structuredContent"] == {"id": "n-2", "text": "Call Ann", "by": "alice"}
        assert (await call("get_note", {"id": "n-1"}))["structuredContent"]["text"] == "Buy milk"
        assert len(json.loads((await call("list_notes", {"most": 1}))["content"][0]["text"])) == 1
        missing = await call("get_note", {"id": "n-9"})
        assert (missing["isError"], missing["content"][0]["text"]) == (
            True,
            "The server answered with status 404.\nthere is no such note",
        )
        status, body = await post(address, tool_call("reset"), key)
        assert (status, body["error"]["code"]) == (400, -32602)


async def until_known(address: str, key: dict[str, str]) -> None:
    """The gateway asks its store for news once a second."""
    async with asyncio.timeout(60):
        while (await post(address, tool_call("list_notes"), key))[0] == 401:
            await asyncio.sleep(0.05)


def test_the_numbers_of_the_page_are_those_of_the_limits() -> None:
    text = PAGE.read_text()
    for said in (
        f"{LIMITS.openapi_bytes // 1024**2} MiB, deeper",
        f"At most {LIMITS.openapi_operation_count:,} operations",
        f"more than {LIMITS.openapi_schema_bytes // 1024} KiB",
        f"{LIMITS.openapi_page_count} tools or {LIMITS.openapi_page_bytes // 1024**2} MiB",
        f"up to {LIMITS.openapi_error_bytes // 1024} KiB",
    ):
        assert said in text
