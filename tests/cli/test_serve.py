"""`counterseal serve` as processes: workers share keys and socket, one that dies is replaced, and all end together."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from counterseal.cli.serve import _bind, serve
from counterseal.errors import ConfigError
from tests.audit.folder import entries
from tests.support.gateway import COMMAND, Gateway, configuration
from tests.support.hostile import HostileServer
from tests.support.process import HANGS, LISTENING, ROOT, Program, free_port
from tests.support.rawhttp import Wire, serving
from tests.support.tokens import needs_ml_dsa

SERVERS = {"weather": {"url": "http://127.0.0.1:1/mcp"}}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command sets up logging for a process of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "counterseal.yaml"
    path.write_text(yaml.safe_dump(configuration(free_port(), folder, SERVERS, **changes)))
    return path


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def workers_of(pid: int) -> set[int]:
    """The worker processes of a supervisor; multiprocessing's own helper is none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in _command(int(child))}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _loaded(pid: int) -> str:
    """The libraries that a process has loaded so far."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def until(true: Callable[[], bool], seconds: float = 60) -> bool:
    pause = threading.Event()
    for _ in range(int(seconds * 50)):
        if true():
            return True
        pause.wait(0.02)
    return true()


def test_h_14_workers_show_one_jwks_replace_who_dies_and_end_together(tmp_path: Path) -> None:
    """Y-01, H-14, K-18."""
    with Gateway(tmp_path, SERVERS, arguments=["--workers", "2"]) as gateway:
        supervisor = gateway.program.pid
        first = workers_of(supervisor)
        assert len(first) == 2
        bodies = {fetched(gateway.jwks) for _ in range(100)}
        assert len(bodies) == 1
        assert [key["alg"] for key in json.loads(bodies.pop())["keys"]] == ["RS256", "ES256", "Ed25519"]
        dead = min(first)
        os.kill(dead, signal.SIGKILL)
        assert until(lambda: len(workers_of(supervisor) - first) == 1 and dead not in workers_of(supervisor))
        assert until(lambda: "starting another" in gateway.program.output)
        again = workers_of(supervisor)
        assert len(again) == 2
        assert len({fetched(gateway.jwks) for _ in range(50)}) == 1
        assert gateway.program.output.count("listening on") == 1
        gateway.stop()
        assert until(lambda: not any(map(_command, again)))
        assert len(list(gateway.audit.glob("*.jsonl"))) >= 3, "each worker has a file of records of its own"


def test_y_01_gateways_that_start_at_once_on_an_empty_store_have_one_key(tmp_path: Path) -> None:
    """Two replicas of two workers each."""
    config = written(tmp_path)
    command = [COMMAND, "serve", "--config", str(config), "--port", "0", "--workers", "2"]
    with Program("one replica", command) as one, Program("another replica", command) as other:
        urls = [replica.wait_for(LISTENING)[1] for replica in (one, other)]
        bodies = {fetched(f"{url}/.well-known/jwks.json") for url in urls for _ in range(20)}
        assert len(bodies) == 1
        listed = subprocess.run(
            [COMMAND, "keys", "jwks", "--config", str(config)], cwd=ROOT, capture_output=True, timeout=120, check=True
        )
        assert listed.stdout.strip() == bodies.pop()


def test_y_01_a_store_in_memory_is_for_one_process(tmp_path: Path) -> None:
    config = written(tmp_path, store="memory:")
    done = CliRunner().invoke(serve, ["--config", str(config), "--workers", "2"])
    assert isinstance(done.exception, ConfigError)
    assert "memory:" in str(done.exception)
    assert "sqlite" in str(done.exception)


@pytest.mark.parametrize(
    "entry",
    [
        {"transport": "sse", "url": "http://127.0.0.1:1/sse"},
        {"transport": "stdio", "command": ["sh"], "isolation": "caller"},
    ],
    ids=["sse", "caller"],
)
def test_sessions_that_live_in_one_worker_take_one_worker(tmp_path: Path, entry: dict[str, Any]) -> None:
    """A session that another worker cannot go on with would be lost at every second call."""
    config = tmp_path / "counterseal.yaml"
    config.write_text(yaml.safe_dump(configuration(free_port(), tmp_path, {"old": entry})))
    done = CliRunner().invoke(serve, ["--config", str(config), "--workers", "2"])
    assert isinstance(done.exception, ConfigError)
    assert "servers.old: sessions" in str(done.exception)
    assert "use `--workers 1`, or `isolation: shared`" in str(done.exception)


@pytest.mark.parametrize(
    ("number", "workers", "code"),
    [(signal.SIGTERM, "1", -signal.SIGTERM), (signal.SIGINT, "1", 0), (signal.SIGINT, "2", 0)],
)
def test_a_signal_ends_everything_without_a_traceback(
    tmp_path: Path, number: signal.Signals, workers: str, code: int
) -> None:
    config = written(tmp_path)
    program = Program("the gateway", [COMMAND, "serve", "--config", str(config), "--workers", workers])
    program.wait_for(LISTENING)
    pids = {program.pid, *workers_of(program.pid)}
    os.kill(program.pid, number)
    assert until(lambda: not any(map(_command, pids)))
    output = program.stop()
    assert "ERROR" not in output
    assert "Aborted" not in output
    assert program.code == code


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer": "http://gateway.example.com"}, r"counterseal\.yaml:\d+:\d+: issuer: .*https"),
        ({"store": "postgresql://x/y"}, "not built yet"),
        ({"keys": {"source": "env:NO_SUCH_KEY"}}, "NO_SUCH_KEY"),
    ],
    ids=["issuer", "store", "key"],
)
def test_a_wrong_configuration_is_a_sentence(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    done = CliRunner().invoke(serve, ["--config", str(written(tmp_path, **changes)), "--port", "0"])
    assert isinstance(done.exception, ConfigError)
    assert re.search(says, str(done.exception)), done.exception


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_found_wrong_at_the_start_is_a_sentence_and_exit_code_1(tmp_path: Path, workers: str) -> None:
    config = written(tmp_path, audit={"sink": "file:/proc/nowhere"})
    command = [COMMAND, "serve", "--config", str(config), "--port", "0", "--workers", workers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "/proc/nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_probably_not_meant_is_said_once_at_the_start(tmp_path: Path, workers: str) -> None:
    keys = {"source": "store", "algorithms": ["ES256", "Ed25519"]}
    quiet = {"keys": keys, "policy": [{"permit": {"servers": ["weather"]}}]}
    loud = {**quiet, "callers": {"anonymous": True}}
    for changes, count in ((quiet, 0), (loud, 1)):
        folder = tmp_path / str(count)
        folder.mkdir()
        with Gateway(folder, SERVERS, arguments=["--workers", workers], **changes) as gateway:
            said = gateway.program.output
        assert said.count("WARNING counterseal: ") == count, said
        assert said.count("callers.anonymous is true") == count


@needs_ml_dsa
def test_what_is_experimental_is_said_at_the_start(tmp_path: Path) -> None:
    keys = {"source": "store", "algorithms": ["ES256", "ML-DSA-44"]}
    with Gateway(tmp_path, SERVERS, keys=keys) as gateway:
        assert "WARNING counterseal: keys.algorithms has ML-DSA-44, which is experimental" in gateway.program.output


def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(serve, ["--config", str(written(tmp_path)), "--port", str(port)])
    assert isinstance(done.exception, ConfigError)
    assert re.search(rf"cannot listen on 127\.0\.0\.1:{port}: .*--port", str(done.exception))


def test_an_address_that_is_taken_while_the_gateway_starts_is_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two gateways may bind one port, and the first that listens has it."""
    config = written(tmp_path)
    with _bind("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with serving(config=config, bound=_bind("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
    with _bind("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        ours = _bind("127.0.0.1", port)
        other.listen()
        with pytest.raises(AssertionError, match="SystemExit"), serving(config=config, bound=ours):
            pass
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use; ")


@pytest.mark.parametrize(
    "arguments", [["--workers", "0"], ["--workers", "65"], ["--port", "65536"], ["--watch"], ["--x"]]
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(serve, ["--config", str(written(tmp_path)), *arguments])
    assert done.exit_code == 2


async def test_pieces_of_an_answer_are_sent_at_once_by_the_loop_of_the_standard_library_too() -> None:
    """It looks whether the socket says that it is TCP, and else waits with a piece for the acknowledgement of the one before."""
    made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Caller(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.set_result(transport)

    bound = _bind("127.0.0.1", 0)
    async with await asyncio.get_running_loop().create_server(Caller, sock=bound):
        with socket.create_connection(bound.getsockname()[:2]):
            transport = await made
            assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.close()


def test_a_second_ctrl_c_ends_what_is_under_way_without_a_traceback(tmp_path: Path) -> None:
    """The first one lets it have its time."""
    message = {"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": {"name": "wait", "arguments": {}}}
    body = json.dumps(message).encode()
    lines = (b"Content-Type: application/json", b"Accept: application/json, text/event-stream")
    with (
        HostileServer(lambda heard, line: line.gone(HANGS)) as server,
        Gateway(tmp_path, {"weather": {"url": server.url}}, callers={"api_keys": False, "anonymous": True}) as gateway,
        Wire(urlsplit(gateway.url).port or 0, HANGS) as wire,
    ):
        host = b"Host: " + gateway.url.removeprefix("http://").encode()
        head = b"\r\n".join((b"POST /mcp/weather HTTP/1.1", host, *lines, b"Content-Length: %d" % len(body), b"", b""))
        wire.send(head + body)
        assert until(lambda: server.calls == 1)
        os.kill(gateway.program.pid, signal.SIGINT)
        assert until(lambda: not listens(gateway.url))
        assert gateway.program.code is None
        os.kill(gateway.program.pid, signal.SIGINT)
        assert until(lambda: gateway.program.code is not None)
        answer = wire.answer()
        assert answer is not None
        assert (answer.status, answer.reason) == (503, "gateway_ended")
        assert gateway.program.code == 0
        assert "Traceback" not in gateway.program.output
    (outcome,) = [entry for entry in entries(gateway.audit) if entry["event"] == "outcome"]
    assert (outcome["outcome"], outcome["reason"]) == ("aborted", "gateway_ended")


def listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=HANGS).close()
    except OSError:
        return False
    return True


def started_in_a_group_of_its_own(folder: Path) -> subprocess.Popen[str]:
    """A gateway of two workers, as soon as these are importing."""
    command = [COMMAND, "serve", "--config", str(written(folder)), "--port", "0", "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert until(lambda: len([pid for pid in workers_of(process.pid) if "pydantic_core" in _loaded(pid)]) == 2)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_while_workers_start_ends_everything_without_a_word(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A terminal sends Ctrl-C so."""
    with started_in_a_group_of_its_own(tmp_path) as process:
        pids = {process.pid, *workers_of(process.pid)}
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=HANGS)
    assert until(lambda: not any(map(_command, pids)))
    assert (said, process.returncode) == ("", 0)


def test_ctrl_c_is_for_the_one_who_started_the_workers_to_act_on(tmp_path: Path) -> None:
    """Had a worker acted on it while it was importing, that would have ended with a traceback."""
    with started_in_a_group_of_its_own(tmp_path) as process:
        assert process.stderr is not None
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGINT)
        said = process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, more = process.communicate(timeout=HANGS)
    assert LISTENING.match(said), said + more
    assert (more, process.returncode) == ("", 0)
