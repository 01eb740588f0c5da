"""docs/all-servers.md, done as it says: two servers at one address, asked by the client of the page."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import pages
from tests.support.gateway import COMMAND, Gateway
from tests.support.process import LISTENING, Program, free_port

pytestmark = pytest.mark.party("python-client")
PAGE = pages.ROOT / "docs" / "all-servers.md"


async def test_the_page_works_with_its_files_as_they_stand(tmp_path: Path) -> None:
    gateway_port, server_port = free_port(), free_port()
    said = ""
    for block in pages.blocks(PAGE):
        mark, _, name = block.mark.partition("=")
        text = block.text.replace("8460", str(gateway_port)).replace("8000", str(server_port))
        if (mark, name) == ("page", "said"):
            said = text
        elif mark == "page":
            (tmp_path / name).write_text(text)
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [COMMAND, "serve", "--config", str(tmp_path / "counterseal.yaml"), "--port", str(gateway_port)]
    with (
        Program("weather.py", [sys.executable, str(tmp_path / "weather.py")]) as weather,
        Program("the gateway", command, path) as gateway,
    ):
        await asyncio.to_thread(weather.wait_for, re.compile("Uvicorn running on"))
        await asyncio.to_thread(gateway.wait_for, LISTENING)
        running = Gateway.__new__(Gateway)
        running.config, running.url = tmp_path / "counterseal.yaml", f"http://127.0.0.1:{gateway_port}"
        key = await asyncio.to_thread(running.create_key, "alice")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(tmp_path / "ask.py")],
            env={**os.environ, "KEY": key.secret},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == said
