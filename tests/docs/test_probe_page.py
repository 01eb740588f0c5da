"""The session in docs/probe.md is what the command prints of such a server."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from counterseal.gateway.probe.probing import IDENTITY_HEADERS
from tests.docs import pages
from tests.support.gateway import COMMAND, Gateway
from tests.support.process import LISTENING, Program, free_port

PAGE = "docs/probe.md"
SHOWN = "https://weather.example.com/mcp"


@pytest.mark.party("fastmcp", "python-client", "pyjwt")
def test_the_session_is_as_the_page_shows_it(tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    issuer, url = f"http://127.0.0.1:{own}", f"http://127.0.0.1:{port}/mcp"
    told = ("--issuer", issuer, "--jwks", f"{issuer}/.well-known/jwks.json", f"fastmcp_without_audience={port}")
    (line,) = (block.text for block in pages.blocks(pages.ROOT / PAGE) if block.info == "sh")
    with (
        Gateway(tmp_path, {"weather": {"url": url}}, port=own) as gateway,
        Program("weak server", [sys.executable, "-m", "tests.parties.weak", *told]) as program,
    ):
        program.wait_for(LISTENING)
        command = [COMMAND, *shlex.split(line)[1:], "--config", str(gateway.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    printed = done.stdout.replace(url, SHOWN)
    assert done.returncode == 1
    assert printed.startswith(pages.block(PAGE, "probe=weak").text)
    assert pages.block(PAGE, "probe=cause").text in printed


def test_the_header_that_is_named_is_sent() -> None:
    assert "X-User" in IDENTITY_HEADERS
