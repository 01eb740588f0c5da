"""The README, done as it says: the demo prints what is shown, and a server of one's own works with the files as they stand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.docs import pages
from tests.support.gateway import COMMAND
from tests.support.process import LISTENING, Program, free_port

pytestmark = pytest.mark.party("python-client")

_CHANGES: Final = (
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\b1\d{9}\b"), "TIME"),
    (re.compile(r"(?<![\w-])[\w-]{22,43}(?![\w-])"), "ID"),
)


def plain(text: str) -> str:
    """Without what is another at each run."""
    for pattern, word in _CHANGES:
        text = pattern.sub(word, text)
    return text


def test_the_demo_prints_what_the_readme_shows() -> None:
    command = [COMMAND, "demo", "--once", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    printed = plain(done.stdout).splitlines()
    for line in plain(pages.block("README.md", "demo").text).splitlines():
        beginning = line.removesuffix("...")
        assert any(one == line or (beginning != line and one.startswith(beginning)) for one in printed), line


def written(folder: Path, ports: dict[str, int]) -> None:
    """The README's files, with ports that are free here."""
    for block in pages.blocks(pages.ROOT / "README.md"):
        mark, _, name = block.mark.partition("=")
        if mark == "walkthrough":
            text = block.text
            for port, free in ports.items():
                text = text.replace(port, str(free))
            (folder / name).write_text(text)


def run(folder: Path, *command: str, key: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={"PATH": "", "KEY": key}, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_server_of_ones_own_works_with_the_files_of_the_readme(tmp_path: Path) -> None:
    gateway_port, server_port = free_port(), free_port()
    written(tmp_path, {"8460": gateway_port, "8000": server_port})
    checked = run(tmp_path, COMMAND, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    serve = [COMMAND, "serve", "--config", str(tmp_path / "counterseal.yaml")]
    server = [sys.executable, str(tmp_path / "weather.py")]
    with Program("weather.py", server) as weather, Program("the gateway", serve) as gateway:
        weather.wait_for(re.compile("Uvicorn running on"))
        gateway.wait_for(LISTENING)
        made = run(tmp_path, COMMAND, "apikey", "create", "--subject", "alice", "--team", "data", "--json")
        key = json.loads(made.stdout)["secret"]
        called = run(tmp_path, sys.executable, "call.py", key=key)
        assert called.stdout.strip() == "Oslo, 3 days: 21 degrees, a light breeze", called.stderr
        other = json.loads(run(tmp_path, COMMAND, "apikey", "create", "--subject", "bob", "--json").stdout)["secret"]
        refused = run(tmp_path, sys.executable, "call.py", key=other)
        assert refused.returncode != 0
        assert "no policy rule permits" in refused.stderr
    told = run(tmp_path, COMMAND, "audit", "tail", "audit", "--json").stdout
    events = [json.loads(line) for line in told.splitlines()]
    assert any((one.get("event"), one.get("name")) == ("intent", "get_forecast") for one in events)
    assert any(one.get("reason") == "policy_denied" for one in events)
