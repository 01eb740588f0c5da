"""docs/pinning.md, done as it says: a program changes, its tool is held back, shown, and approved."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.docs import pages
from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import COMMAND, Gateway, Key
from tests.support.process import LISTENING, Program, free_port

pytestmark = pytest.mark.party("python-client")

BLOCKS = {block.mark.removeprefix("page="): block.text for block in pages.blocks(pages.ROOT / "docs" / "pinning.md")}
BEFORE = '    """The weather of tomorrow."""\n'


def started(folder: Path, port: int) -> Program:
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [COMMAND, "serve", "--config", str(folder / "counterseal.yaml"), "--port", str(port)]
    return Program("the gateway", command, path)


async def listed(gateway: Gateway, key: Key) -> set[str]:
    async with visiting(gateway.at("weather"), key.secret, REVISION) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


def without_what_differs(text: str) -> list[str]:
    """Without digests, times, and how many lines there are."""
    text = re.sub(r"sha-256:[\w-]{43}|\d{4}-\d\d-\d\dT\S+Z|@@ .* @@|--change [0-9a-f]{12}", "*", text)
    return [line.rstrip() for line in text.splitlines()]


async def test_the_page_works_with_its_files_as_they_stand(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    port = free_port()
    (tmp_path / "counterseal.yaml").write_text(BLOCKS["counterseal.yaml"].replace("8460", str(port)))
    (tmp_path / "weather.py").write_text(BLOCKS["weather.py"])
    running = Gateway.__new__(Gateway)
    running.config, running.url = tmp_path / "counterseal.yaml", f"http://127.0.0.1:{port}"
    with started(tmp_path, port) as gateway:
        await asyncio.to_thread(gateway.wait_for, LISTENING)
        key = await asyncio.to_thread(running.create_key, "alice")
        assert await listed(running, key) == {"get_forecast", "get_units"}
    changed = BLOCKS["weather.py"].replace(BEFORE, BLOCKS["change"])
    assert changed != BLOCKS["weather.py"]
    (tmp_path / "weather.py").write_text(changed)
    with started(tmp_path, port) as gateway:
        await asyncio.to_thread(gateway.wait_for, LISTENING)
        assert await listed(running, key) == {"get_units"}
    told = running.run("servers", "diff")
    assert without_what_differs(told) == without_what_differs(BLOCKS["diff"].partition("\n")[2] + "\n"), gateway.output
    running.run("servers", "approve", "weather", "get_forecast")
    with started(tmp_path, port) as gateway:
        await asyncio.to_thread(gateway.wait_for, LISTENING)
        assert await listed(running, key) == {"get_forecast", "get_units"}


def test_the_table_has_every_value() -> None:
    from typing import get_args

    from counterseal.config.servers import OnToolChange

    page = (pages.ROOT / "docs" / "pinning.md").read_text()
    rows = pages.rows(page.partition("## What is done about a change")[2].partition("\n## ")[0])
    assert {re.findall(r"`(\w+)`", cells[0])[0] for cells in rows} == set(get_args(OnToolChange))
