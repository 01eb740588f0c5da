"""Servers over standard input and output: each message brings its token in `params._meta`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import modern, tool_call
from tests.support.process import ROOT
from tests.support.tokens import AUDIENCE, ISSUER, jwks
from tests.verify.serving import fresh

pytestmark = pytest.mark.party("fastmcp", "python-client")

TOKEN = "io.counterseal/call-token"


class Talking:
    """A server that is running, one line for one message."""

    def __init__(self, kind: str, keys: Path) -> None:
        options = ["--kind", kind, "--issuer", ISSUER, "--audience", AUDIENCE, "--jwks", str(keys)]
        command = [sys.executable, "-m", "tests.parties.guarded.over_stdio", *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, message: dict[str, Any], token: str | None) -> Any:
        """The answer, or nothing where the message asks for none."""
        message = json.loads(json.dumps(message))
        if token is not None:
            message["params"].setdefault("_meta", {})[TOKEN] = token
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline()) if "id" in message else None

    def weather(self, token: str | None) -> str:
        """What `get_weather` says of Oslo, or the reason why it says nothing."""
        answer = self.ask(tool_call("get_weather", {"city": "Oslo"}), token)
        if "error" in answer:
            return str(answer["error"]["data"]["reason"])
        return str(answer["result"]["content"][0]["text"])


@pytest.fixture(scope="module", params=["high_level", "fastmcp"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str, tmp_path: Path) -> Iterator[Talking]:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(jwks("ES256")))
    talking = Talking(kind, keys)
    with talking.process as process:
        yield talking
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_modern_call_passes_with_its_token_alone(server: Talking) -> None:
    """M-30, S-07: and the same message with any other is refused."""
    assert server.weather(fresh()) == "Oslo for alice"
    used = fresh(sub="bob")
    assert server.weather(used) == "Oslo for bob"
    bad = {
        "credential_missing": None,
        "replayed": used,
        "invalid_token": fresh()[:-6] + "AAAAAA",
        "audience": fresh(aud="https://files.example.com/mcp"),
        "scope": fresh(name="delete_all"),
        "arguments": fresh(arguments={"city": "Bergen"}),
        "expired": fresh(iat=1, nbf=1, exp=60),
    }
    assert {reason: server.weather(token) for reason, token in bad.items()} == {reason: reason for reason in bad}
    listed = server.ask(modern("tools/list"), fresh("tools/list", None))
    assert [tool["name"] for tool in listed["result"]["tools"]] == ["get_weather"]
    assert server.ask(modern("tools/list"), fresh())["error"]["data"] == {"reason": "scope"}
    assert server.ask(modern("server/discover"), None)["error"]["data"] == {"reason": "credential_missing"}
    assert server.weather(fresh()) == "Oslo for alice"


def test_a_legacy_conversation_needs_a_token_for_each_message(server: Talking) -> None:
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    assert server.ask(opening, None)["error"]["data"] == {"reason": "credential_missing"}
    assert server.ask(opening, fresh())["error"]["data"] == {"reason": "scope"}
    assert server.ask(opening, fresh("initialize", None))["result"]["protocolVersion"] == "2025-11-25"
    told = {"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}}
    server.ask(told, fresh("notifications/initialized", None))
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "get_weather", "arguments": {"city": "Oslo"}},
    }
    assert server.ask(call, None)["error"]["data"] == {"reason": "credential_missing"}
    assert server.ask(call, fresh(arguments={"city": "Bergen"}))["error"]["data"] == {"reason": "arguments"}
    assert server.ask(call, fresh(sub="bob"))["result"]["content"][0]["text"] == "Oslo for bob"
    assert server.ask(call, fresh())["result"]["content"][0]["text"] == "Oslo for alice"
