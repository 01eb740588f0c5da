"""`counterseal demo`: it shows what happened, and fails where it did not happen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import Any

import pytest
from click.testing import CliRunner

from counterseal.cli import demo as room
from counterseal.errors import ConfigError
from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.support.gateway import COMMAND
from tests.support.process import ROOT, Program

COMMANDS = [COMMAND, "demo", "--once", "--port", "0"]
CLAIMS = ["iss", "aud", "sub", "client_id", "act", "scope", "iat", "nbf", "exp", "jti", "txn", "authorization_details"]


@pytest.mark.party("python-client")
def test_once_shows_the_token_and_three_refusals_and_exits_with_0() -> None:
    done = subprocess.run(COMMANDS, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert "Oslo: 21" in out
    for claim in CLAIMS:
        assert re.search(rf"^   {claim} ", out, re.MULTILINE), claim
    claims = {name: json.loads(value) for name, value in re.findall(r"^   (\w+) (\S.*)$", out, re.MULTILINE) if name in CLAIMS}
    assert claims["scope"] == "mcp:tools/call:get_weather"
    assert (claims["sub"], claims["act"]) == ("alice", {"sub": "demo-agent"})
    assert len(re.findall(r"^       40[13] .+", out, re.MULTILINE)) == 3
    assert "\x1b" not in out, "colours are for terminals"
    assert "csk_" not in out


class Blind(CountersealMiddleware):
    """A server that lets everybody in."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def trusting(**ignored: bool) -> Any:
    """A verifier that leaves one check out."""

    class Trusting(Verifier):
        async def averify(self, token: Any, **asked: Any) -> Any:
            return await super().averify(token, **{name: value for name, value in asked.items() if not ignored.get(name)})

    return Trusting


@pytest.mark.party("python-client")
def test_a_server_that_verifies_nothing_makes_the_demo_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CountersealMiddleware", Blind)
    done = CliRunner().invoke(room.demo, ["--once", "--port", "0"])
    assert isinstance(done.exception, ConfigError)
    assert "should have refused no token" in str(done.exception)
    assert done.exit_code != 0
