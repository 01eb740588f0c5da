"""`counterseal demo`: it shows what happened, and fails where it did not happen."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from counterseal.cli import demo as room
from counterseal.errors import ConfigError
from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from counterseal.verify.errors import VerificationError
from tests.support.gateway import COMMAND
from tests.support.process import ROOT

COMMANDS = [COMMAND, "demo", "--once", "--port", "0"]
CLAIMS = ["iss", "aud", "sub", "client_id", "act", "scope", "iat", "nbf", "exp", "jti", "txn", "authorization_details"]


@pytest.mark.party("python-client")
def test_once_shows_the_token_and_three_refusals_and_exits_with_0() -> None:
    done = subprocess.run(COMMANDS, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert "Oslo: 21" in out
    for claim in CLAIMS:
        assert re.search(rf"^   {claim} ", out, re.MULTILINE), claim
    claims = {
        name: json.loads(value) for name, value in re.findall(r"^   (\w+) (\S.*)$", out, re.MULTILINE) if name in CLAIMS
    }
    assert claims["scope"] == "mcp:tools/call:get_weather"
    assert (claims["sub"], claims["act"]) == ("alice", {"sub": "demo-agent"})
    assert len(re.findall(r"^       40[13] .+", out, re.MULTILINE)) == 3
    assert "\x1b" not in out, "colours are for terminals"
    assert "csk_" not in out


class Blind(CountersealMiddleware):
    """A server that lets everybody in."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


class Careless(Verifier):
    """A server that lets pass what it should refuse for one reason."""

    forgiven = ""

    async def averify(self, token: Any, **asked: Any) -> Any:
        try:
            return await super().averify(token, **asked)
        except VerificationError as error:
            if error.code != self.forgiven:
                raise
            return None


def failed() -> str:
    """What the demo says when it fails."""
    done = CliRunner().invoke(room.demo, ["--once", "--port", "0"])
    assert done.exit_code != 0
    assert isinstance(done.exception, ConfigError), done.output
    return str(done.exception)


@pytest.mark.party("python-client")
def test_a_server_that_verifies_nothing_makes_the_demo_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CountersealMiddleware", Blind)
    assert failed() == "the server should have refused no token, and did not"


@pytest.mark.party("python-client")
@pytest.mark.parametrize(
    ("forgiven", "what"), [("audience", "a token for another server"), ("arguments", "other arguments")]
)
def test_a_server_that_leaves_out_one_check_makes_the_demo_fail(
    monkeypatch: pytest.MonkeyPatch, forgiven: str, what: str
) -> None:
    monkeypatch.setattr(Careless, "forgiven", forgiven)
    monkeypatch.setattr(room, "Verifier", Careless)
    assert re.fullmatch(f"the server should have refused .*{what}.*, and did not", failed())


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo in a process of its own, ended by its id."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [COMMAND, "demo", "--port", "0", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to a line with this text."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"it ended before {text!r}:\n{read}")


@pytest.mark.party("python-client")
def test_a_demo_that_was_ended_before_its_end_did_not_succeed() -> None:
    with running("--once") as demo:
        read_until(demo, "are up")
        demo.terminate()
        _, errors = demo.communicate(timeout=120)
        assert demo.returncode == 1
        assert errors == "the demo was ended before it had shown everything\n"


@pytest.mark.party("python-client")
def test_it_stays_up_with_what_to_try_next_until_it_is_ended() -> None:
    with running() as demo:
        out = read_until(demo, "Ctrl-C")
        url = re.search(r"gateway  (http://\S+)", out)
        folder = re.search(r"--config (\S+)", out)
        assert url is not None
        assert folder is not None
        with urllib.request.urlopen(f"{url[1]}/readyz", timeout=60) as answer:
            assert json.load(answer)["ready"] is True
        demo.terminate()
        _, errors = demo.communicate(timeout=120)
        assert (demo.returncode, errors) == (0, "")
        assert not os.path.exists(folder[1]), "something was left behind"


def test_an_address_that_is_taken_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = CliRunner().invoke(room.demo, ["--once", "--port", str(taken.getsockname()[1])])
        assert isinstance(done.exception, ConfigError)
        assert "--port 0" in str(done.exception)
