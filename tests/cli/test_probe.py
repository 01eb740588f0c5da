"""`counterseal probe` at the command line: what is asked before, what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from counterseal.cli import cli
from tests.support.gateway import COMMAND, Gateway, configuration
from tests.support.process import LISTENING, Program, free_port

KEYS = {"source": "store", "algorithms": ["ES256"]}
CALL = ("--tool", "get_weather", "--args", '{"city": "Oslo"}')


def run(folder: Path, *arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["probe", *arguments, "--config", str(folder / "counterseal.yaml")], input=input)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Names a server at a port where nobody is."""
    entry = {"weather": {"url": f"http://127.0.0.1:{free_port()}/mcp"}}
    entry["crm"] = {"url": "http://127.0.0.1:9/", "transport": "openapi", "spec": "crm.json"}
    listing = {"get": {"operationId": "list_orders", "responses": {"200": {"description": "all"}}}}
    spec = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/orders": listing}}
    (tmp_path / "crm.json").write_text(json.dumps(spec))
    (tmp_path / "counterseal.yaml").write_text(yaml.safe_dump(configuration(8460, tmp_path, entry, keys=KEYS)))
    return tmp_path


def test_an_address_that_is_a_secret_is_not_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{free_port()}/s3cret/mcp"
    monkeypatch.setenv("ADDRESS", address)
    entry = {"weather": {"url": "env:ADDRESS"}, "notes": {"url": address}}
    (folder / "counterseal.yaml").write_text(yaml.safe_dump(configuration(8460, folder, entry, keys=KEYS)))
    for more in ((), ("--json",)):
        done = run(folder, "weather", *more)
        assert "env:ADDRESS" in done.output
        assert "s3cret" not in done.output
        assert "s3cret" in run(folder, "notes", *more).output
    records = "".join(path.read_text() for path in (folder / "audit").glob("*.jsonl"))
    assert "urn:counterseal:server:weather" in records
    assert records.count("s3cret") == records.count(f'"aud":"{address}"')


# ---- wrong usage ----


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("wether",), "did you mean `weather`?"),
        (("weather", "--args", "{}"), "name it with --tool"),
        (("weather", "--tool", "get_weather", "--args", "{"), "--args is not JSON"),
        (("weather", "--audience", "x"), "--audience is for an address"),
        (("weather", "--claims", '{"sub": "x"}'), "'sub' is the gateway's own"),
        (("weather", "--claims", "[]"), "--claims is not a JSON object"),
        (("weather", "--gateway", "http://127.0.0.1:1"), "--gateway needs the key"),
        (("weather", "--key", "no-such-file"), "cannot be read"),
        (("weather", "--key", "csk_ct63a1rip2iv_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF111QiKE"), "Rotate this key"),
        (("crm",), "name a harmless tool with --tool"),
        (("ftp://127.0.0.1/", "--yes"), "must be an absolute address"),
        (("http://a:b@127.0.0.1/mcp", "--yes"), "user name or password"),
        (("http://127.0.0.1:1/mcp",), "say so with --yes"),
        (("http://127.0.0.1:1/mcp", "--yes", "--audience", "http://127.0.0.1:9/"), "is that of `crm`"),
        (("http://127.0.0.1:1/mcp", "--yes", "--key", "-"), "--key is for a configured server"),
    ],
)
def test_wrong_usage_says_what_would_be_right(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(folder, *arguments)
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.replace("\u2502", " ").split())
    assert not (folder / "audit").exists()


def test_no_credential_that_stands_where_none_belongs_is_repeated(folder: Path) -> None:
    key = "csk_ct63a1rip2iv_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF111QiKE"
    assert key not in run(folder, "weather", "--key", key).output


# ---- nobody can tell ----


def test_a_server_that_is_not_there_is_no_sound_server(folder: Path) -> None:
    for server in ("weather", f"http://127.0.0.1:{free_port()}/mcp"):
        done = run(folder, server, "--yes")
        assert done.exit_code == 3, done.output
        assert "Cannot tell" in done.output
        assert "ACCEPTED" not in done.output


def test_what_keeps_it_from_beginning_is_no_finding(folder: Path) -> None:
    """1 says that something was taken, so nothing else may."""
    config = folder / "counterseal.yaml"
    whole = config.read_text()
    for wrong in (whole.replace("issuer:", "isuer:"), whole.replace("sqlite:", "memory:#")):
        config.write_text(wrong)
        done = run(folder, "weather")
        assert (done.exit_code, done.stdout) == (3, "")
        assert "Cannot tell: " in done.stderr
    config.write_text(whole)
    (folder / "audit").write_text("a file where the folder of records should be")
    done = run(folder, "weather")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Cannot tell: " in done.stderr


def test_a_server_that_is_silent_is_waited_for_and_no_longer(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SILENT], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as silent:
        assert silent.stdout is not None
        port = silent.stdout.readline().strip()
        done = run(folder, f"http://127.0.0.1:{port}/mcp", "--yes", "--timeout", "0.2")
        silent.communicate()
    assert done.exit_code == 3
    assert "no answer in 0.2 s" in done.output


_SILENT = """
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


# ---- real servers ----


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, int]]]:
    folder = tmp_path_factory.mktemp("probe")
    port, ports = free_port(), {kind: free_port() for kind in ("sound", "no_exp")}
    issuer = f"http://127.0.0.1:{port}"
    told = ("--issuer", issuer, "--jwks", f"{issuer}/.well-known/jwks.json")
    command = [sys.executable, "-m", "tests.parties.weak", *told, *(f"{kind}={one}" for kind, one in ports.items())]
    servers: dict[str, Any] = {kind: {"url": f"http://127.0.0.1:{one}/mcp"} for kind, one in ports.items()}
    wrong = {"url": f"http://127.0.0.1:{ports['sound']}/mcp?x", "signer": {"audience": "https://wrong.example.com/"}}
    with (
        Gateway(folder, {**servers, "wrong": wrong}, port=port, keys=KEYS) as gateway,
        Program("weak servers", command) as program,
    ):
        program.wait_for(LISTENING)
        yield gateway, ports


def probed(gateway: Gateway, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "probe", *arguments, "--config", str(gateway.config)]
    return subprocess.run(command, input=input, capture_output=True, text=True, timeout=120, check=False)


pyjwt = pytest.mark.party("pyjwt", "python-client", "fastmcp")


@pyjwt
def test_a_sound_server_is_exit_code_0_and_a_weak_one_1(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    sound = probed(gateway, "sound", *CALL)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "ACCEPTED" not in sound.stdout
    weak = probed(gateway, "no_exp", *CALL)
    assert weak.returncode == 1
    assert weak.stdout.count("ACCEPTED   a token that ended an hour ago") == 2
    assert "likely cause  `exp` is not checked" in weak.stdout
    assert "remedy        check `exp`" in weak.stdout


@pyjwt
def test_for_programs_there_is_json(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    done = probed(gateway, "no_exp", "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert (said["accepted"], said["cannot_tell"]) == (True, False)
    attacks = {one["attack"]: one for one in said["parts"][0]["attacks"]}
    assert (attacks["expired"]["verdict"], attacks["expired"]["because"]) == ("accepted", None)
    assert "cause" in attacks["expired"]
    assert (attacks["other_arguments"]["verdict"], attacks["issuer"]["verdict"]) == ("skipped", "refused")


@pyjwt
def test_what_could_not_be_tried_without_a_tool_is_said(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    done = probed(gateway, "sound")
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if "other arguments" in line)
    assert line.split()[:2] == ["not", "tried"]
    assert "--tool" in line


@pyjwt
def test_a_server_that_refuses_the_good_token_proves_nothing(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    done = probed(gateway, "wrong", *CALL)
    assert done.returncode == 3
    assert "refuses the good token as well" in done.stdout
    assert "HTTP 401" in done.stdout


@pyjwt
def test_an_address_is_its_own_audience_and_needs_a_yes(real: tuple[Gateway, dict[str, int]], tmp_path: Path) -> None:
    gateway, ports = real
    address = f"http://127.0.0.1:{ports['no_exp']}/mcp"
    assert probed(gateway, address, *CALL).returncode == 1  # it is that of a configured server
    document = yaml.safe_load(gateway.config.read_text())
    del document["servers"]["no_exp"], document["policy"]
    (tmp_path / "counterseal.yaml").write_text(yaml.safe_dump(document))
    refused = run(tmp_path, address, *CALL)
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert run(tmp_path, address, *CALL, "--yes").exit_code == 1


@pyjwt
def test_with_a_key_the_gateway_is_attacked_as_well(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    key = gateway.create_key("alice")
    done = probed(gateway, "sound", "--key", "-", input=f"{key.secret}\n")
    assert done.returncode == 0, done.stdout
    assert "gateway, MCP 2026-07-28" in done.stdout
    assert "refused    a good call token, as a caller's credential" in done.stdout
    assert key.secret not in done.stdout + done.stderr


@pyjwt
def test_a_gateway_that_is_not_there_is_no_sound_gateway(real: tuple[Gateway, dict[str, int]]) -> None:
    gateway, _ = real
    key = gateway.create_key("bob")
    nobody = f"http://127.0.0.1:{free_port()}"
    done = probed(gateway, "sound", "--key", "-", "--gateway", nobody, input=key.secret)
    assert done.returncode == 3
    assert "Cannot tell: the gateway refuses the key as well" in done.stdout
    assert probed(gateway, "sound", "--key", "-", input=key.secret).returncode == 0


def test_on_a_terminal_it_asks_before_an_address_that_is_nobodys(folder: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/mcp"
    command = [COMMAND, "probe", address, "--config", str(folder / "counterseal.yaml")]
    for said, code, says in ((b"n\n", 2, "nothing was sent"), (b"y\n", 3, "Cannot tell")):
        terminal, ours = pty.openpty()
        os.write(terminal, said)
        done = subprocess.run(command, stdin=ours, capture_output=True, text=True, timeout=120, check=False)
        os.close(terminal)
        os.close(ours)
        assert done.returncode == code
        assert "is not in the configuration. Attack it" in done.stderr
        assert says in done.stdout + done.stderr


@pyjwt
@pytest.mark.parametrize("kind", ["sse_sdk", "sse_fastmcp"])
def test_a_server_of_the_old_transport_is_attacked_too(tmp_path: Path, kind: str) -> None:
    port, own = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/sse"
    told = ("--kind", kind, "--port", str(port), "--issuer", f"http://127.0.0.1:{own}", "--audience", url)
    command = [sys.executable, "-m", "tests.parties.guarded", *told]
    with (
        Gateway(tmp_path, {"old": {"transport": "sse", "url": url}}, port=own, keys=KEYS) as gateway,
        Program(kind, command) as program,
    ):
        program.wait_for(LISTENING)
        done = probed(gateway, "old", *CALL)
        assert done.returncode == 0, done.stdout
        assert "HTTP+SSE, tools/call get_weather" in done.stdout
        assert done.stdout.count("refused  ") >= 20


@pyjwt
def test_a_server_of_the_old_transport_that_asks_for_nothing_is_found_out(tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    issuer = f"http://127.0.0.1:{own}"
    command = [
        sys.executable,
        "-m",
        "tests.parties.weak",
        "--issuer",
        issuer,
        "--jwks",
        f"{issuer}/x",
        f"open_sse={port}",
    ]
    entry = {"old": {"transport": "sse", "url": f"http://127.0.0.1:{port}/sse"}}
    (tmp_path / "counterseal.yaml").write_text(yaml.safe_dump(configuration(own, tmp_path, entry, keys=KEYS)))
    with Program("open_sse", command) as program:
        program.wait_for(LISTENING)
        done = run(tmp_path, "old")
    assert done.exit_code == 1
    assert done.output.count("likely cause") == 1
    assert "no token at all (HTTP+SSE)" in done.output


@pytest.mark.party("mcp-server-time")
def test_a_program_that_looks_at_no_token_is_found_out(tmp_path: Path) -> None:
    server = {"transport": "stdio", "command": [sys.executable, "-m", "mcp_server_time"], "send_token": True}
    (tmp_path / "counterseal.yaml").write_text(
        yaml.safe_dump(configuration(8460, tmp_path, {"clock": server}, keys=KEYS))
    )
    done = run(tmp_path, "clock")
    assert done.exit_code == 1
    assert done.output.count("likely cause") == 1
    assert "no token at all (stdio)" in done.output


@pyjwt
@pytest.mark.parametrize("kind", ["high_level", "fastmcp"])
def test_a_program_over_stdio_is_attacked_where_it_takes_tokens(tmp_path: Path, kind: str) -> None:
    jwks = tmp_path / "jwks.json"
    told = ("--issuer", "http://127.0.0.1:8460", "--audience", "urn:counterseal:server:weather", "--jwks", str(jwks))
    command = [sys.executable, "-m", "tests.parties.guarded.over_stdio", "--kind", kind, *told]
    server = {"transport": "stdio", "command": command, "cwd": str(Path(__file__).parents[2]), "send_token": True}
    (tmp_path / "counterseal.yaml").write_text(
        yaml.safe_dump(configuration(8460, tmp_path, {"weather": server}, keys=KEYS))
    )
    made = CliRunner().invoke(cli, ["keys", "jwks", "--config", str(tmp_path / "counterseal.yaml")])
    jwks.write_text(made.stdout)
    done = run(tmp_path, "weather", *CALL)
    assert done.exit_code == 0, done.output
    assert "stdio, tools/call get_weather" in done.output
    assert done.output.count("there are no headers") == 3
    jwks.write_text('{"keys": []}')
    assert run(tmp_path, "weather", *CALL).exit_code == 3
