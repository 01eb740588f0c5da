"""`counterseal servers check` asks servers of every transport that other people wrote: those that verify, those that do not, and
those that are not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.gateway import COMMAND, Gateway
from tests.support.hostile import HostileServer
from tests.support.parties import FOLDER, node_command, npm_file
from tests.support.process import ROOT, Program, free_port
from tests.support.servers import ServerProcess

pytestmark = [
    pytest.mark.party("fastmcp", "python-client", "server-everything", "mcp-server-time"),
]

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Weather", "version": "1"},
    "paths": {"/weather": {"get": {"operationId": "get_weather", "responses": {"200": {"description": "x"}}}}},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("check")
    folder.chmod(0o700)
    (folder / "api.json").write_text(json.dumps(DOCUMENT))
    (folder / "says.txt").write_text("good")
    port, dead = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    ports = {name: free_port() for name in ("guarded", "old", "open", "everything", "stream")}
    url = {name: f"http://127.0.0.1:{one}/mcp" for name, one in ports.items()}
    url["old"], url["stream"] = f"http://127.0.0.1:{ports['old']}/sse", f"http://127.0.0.1:{ports['stream']}/sse"
    with ExitStack() as running:
        for name, kind in (("guarded", "fastmcp"), ("old", "sse_sdk")):
            options = ("--kind", kind, "--issuer", issuer, "--audience", url[name])
            running.enter_context(ServerProcess("guarded", ports[name], *options))
        running.enter_context(ServerProcess("changing", ports["open"], "--says", str(folder / "says.txt")))
        for name, how in (("everything", "streamableHttp"), ("stream", "sse")):
            command = node_command("--import", FOLDER / "loopback_only.mjs", npm_file("server-everything"), how)
            program = running.enter_context(Program(name, command, {"PORT": str(ports[name])}))
            program.wait_for(re.compile(f"on port {ports[name]}"))
        hung = running.enter_context(HostileServer(lambda heard, line: line.gone(60) and None))
        servers: dict[str, dict[str, Any]] = {
            **{name: {"url": url[name]} for name in ("guarded", "open", "everything")},
            **{name: {"transport": "sse", "url": url[name]} for name in ("old", "stream")},
            "time": {"transport": "stdio", "command": [sys.executable, "-m", "mcp_server_time"]},
            "api": {"transport": "openapi", "url": f"http://127.0.0.1:{ports['open']}", "spec": "api.json"},
            "wrong": {"url": f"{url['guarded']}?tenant=1", "signer": {"audience": "urn:another"}},
            "dead": {"url": f"http://127.0.0.1:{dead}/mcp"},
            "hung": {"url": hung.url},
            "ends": {"transport": "stdio", "command": [sys.executable, "-c", "raise SystemExit(3)"]},
        }
        yield running.enter_context(Gateway(folder, servers, port=port))


@pytest.fixture(scope="module")
def found(gateway: Gateway) -> dict[str, dict[str, dict[str, Any]]]:
    """By server, then by what a line is about."""
    command = [COMMAND, "servers", "check", "--json", "--config", str(gateway.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    return {one["name"]: {line["about"]: line for line in one["lines"]} for one in json.loads(done.stdout)}


Found = dict[str, dict[str, dict[str, Any]]]


@pytest.mark.parametrize(
    ("name", "era", "tools"),
    [
        ("guarded", "modern", 2),
        ("open", "modern", 2),
        ("old", "legacy", 1),
        ("everything", "legacy", 13),
        ("stream", "legacy", 13),
        ("time", "modern", 2),
        ("api", "modern", 1),
    ],
)
def test_a_server_says_its_era_and_how_many_tools_it_has(found: Found, name: str, era: str, tools: int) -> None:
    lines = found[name]
    assert lines["revision"]["era"] == era
    assert lines["revision"]["revisions"]
    assert "tools" in lines["offers"]["capabilities"]
    assert lines["tools"]["tools"] == tools


@pytest.mark.parametrize(
    ("name", "level", "verifies"),
    [
        ("guarded", "ok", True),
        ("old", "ok", True),
        ("open", "warning", False),
        ("everything", "warning", False),
        ("stream", "warning", False),
        ("time", "note", None),
        ("api", "note", None),
    ],
)
def test_whether_a_server_refuses_a_request_without_a_token(
    found: Found, name: str, level: str, verifies: bool | None
) -> None:
    line = found[name]["unsigned"]
    assert (line["level"], line.get("verifies")) == (level, verifies)


@pytest.mark.parametrize(
    ("name", "about", "says"),
    [
        ("dead", "reach", "start it, or mend servers.dead.url"),
        ("hung", "reach", "no bytes in time: start it, or mend servers.hung.url"),
        ("ends", "reach", "exit code 3: start it, or mend servers.ends.command"),
        ("wrong", "token", "the audience urn:another and the keys of http://127.0.0.1:"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(found: Found, name: str, about: str, says: str) -> None:
    assert found[name][about]["level"] == "problem"
    assert says in found[name][about]["text"]
    assert "unsigned" not in found[name]


def test_a_server_alone_is_well(gateway: Gateway) -> None:
    told = gateway.run("servers", "check", "guarded", "time")
    assert "it refuses a request without a call token (401)" in told
    assert told.endswith("\nservers: ok\n")
