"""The processes of a run: the answering server, nginx and the gateway, each started as anybody would start it.

Each is a context manager that yields once it accepts connections and ends the process by its id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.call import LEGACY_REVISION, REVISION
from bench.machine import pinned
from bench.signing import ALGORITHMS

_START_SECONDS = 30.0
_LISTENING = re.compile(r"listening on (http://[^\s]+)")


class NotStarted(Exception):
    """A process did not come up; the message holds the end of what it wrote to standard error."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that accepts connections at `url`. headers: what a call needs to be let in. configuration: the gateway's.
    folder: where LiteLLM's log is."""

    url: str
    pid: int
    headers: dict[str, str]
    configuration: Path | None = None
    folder: Path | None = None


@contextmanager
def answering_server(core: int, folder: Path, *options: str) -> Iterator[Started]:
    """bench/answer.py on one core. options: `--count`."""
    log_name = f"answer{''.join(options)}.log"
    with _process([sys.executable, "-m", "bench.answer", *options], core, folder / log_name) as (process, log):
        yield Started(_listening(process, log), process.pid, {})


def nginx_path() -> str | None:
    """Where nginx is; Debian keeps it outside the PATH of ordinary accounts."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(program: str, server: str, core: int, folder: Path) -> Iterator[Started]:
    """nginx as a plain reverse proxy with one worker. server: the address that it forwards to."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(nginx_configuration(port, server, folder))
    arguments = [program, "-c", str(configuration), "-p", str(folder), "-e", "stderr"]
    with _process(arguments, core, folder / "nginx.log") as (process, log):
        _wait(process, log, lambda: _accepts(port))
        yield Started(f"http://127.0.0.1:{port}", process.pid, {})


def nginx_configuration(port: int, server: str, folder: Path) -> str:
    """One worker, connections kept on both sides (as many as the heaviest load has), nothing logged."""
    # Debian's own modules are left out; as root the worker would become `nobody`, who cannot read a private folder.
    account = "user root;\n" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    scratch = "".join(f"  {kind}_temp_path {folder / kind};\n" for kind in kinds)
    return (
        f"{account}daemon off;\nworker_processes 1;\npid {folder / 'nginx.pid'};\nerror_log stderr error;\n"
        "events { worker_connections 4096; }\n"
        f"http {{\n  access_log off;\n  keepalive_requests 1000000000;\n{scratch}"
        f"  upstream answering {{ server {server.removeprefix('http://')}; keepalive 256;"
        " keepalive_requests 1000000000; }\n"
        f"  server {{\n    listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://answering;\n"
        '      proxy_http_version 1.1;\n      proxy_set_header Connection "";\n    }\n  }\n}\n'
    )


@contextmanager
def served(configuration: Mapping[str, Any], folder: Path, *options: str) -> Iterator[Started]:
    """`counterseal serve` on any core, with this configuration but for where it listens and keeps things. options: of the
    command."""
    folder.mkdir()
    port = free_port()
    file = folder / "counterseal.yaml"
    own = {
        "issuer": f"http://127.0.0.1:{port}",
        "listen": {"host": "127.0.0.1", "port": port},
        "store": f"sqlite:{folder / 'counterseal.db'}",
        "audit": {"sink": f"file:{folder / 'audit'}/"},
    }
    file.write_text(json.dumps({**own, **configuration}))
    command = [_counterseal(), "serve", "--config", str(file), *options]
    with _process(command, None, folder / "gateway.log") as (process, log):
        yield Started(_listening(process, log), process.pid, {}, file)


LITELLM_KEY: Final = "sk-bench-0123456789abcdef0123456789abcdef"
"""The master key of a LiteLLM that is started here."""
_LITELLM_UP: Final = "Application startup complete"


def litellm_interpreter() -> Path | None:
    """The Python of LiteLLM's own environment, as `tests/parties/litellm/install.sh` makes it; None where it is missing."""
    found = Path(__file__).parents[1] / ".litellm" / "bin" / "python"
    return found if found.with_name("litellm").exists() else None


@contextmanager
def litellm(
    interpreter: Path, configuration: Mapping[str, Any], core: int | None, folder: Path, *options: str
) -> Iterator[Started]:
    """LiteLLM's proxy without a database. configuration: of its `config.yaml` all but `general_settings`. options: of its
    command."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    file = folder / "config.yaml"
    # Modern callers are let in only where that is said.
    settings = {"master_key": LITELLM_KEY, "mcp_advertised_versions": [LEGACY_REVISION, REVISION]}
    file.write_text(json.dumps({"model_list": [], "general_settings": settings, **configuration}))
    command = [str(interpreter.with_name("litellm")), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    # It fetches a list of prices otherwise.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1"}
    command += ["--telemetry", "False", *options]
    with _process(command, core, folder / "litellm.log", environment) as (process, log):
        _wait(process, log, lambda: _litellm_is_up(log, port), 4 * _START_SECONDS)
        headers = {"x-litellm-api-key": f"Bearer {LITELLM_KEY}"}
        yield Started(f"http://127.0.0.1:{port}", process.pid, headers, folder=folder)


def _litellm_is_up(log: Path, port: int) -> bool:
    """It says so a little before it listens."""
    return _LITELLM_UP in log.read_text(errors="replace") and _accepts(port)


KEYS_ONLY: Final[Mapping[str, Any]] = {"api_keys": True}


@contextmanager
def gateway(server: str, core: int, folder: Path, callers: Mapping[str, Any] = KEYS_ONLY) -> Iterator[Started]:
    """`counterseal serve` with one server for each algorithm, named like it in small letters, and one API key. callers: who may
    call."""
    folder.mkdir()
    program = _counterseal()
    configuration = folder / "counterseal.yaml"
    configuration.write_text(gateway_configuration(free_port(), server, folder, callers))
    try:
        made = subprocess.run(
            [program, "apikey", "create", "--subject", "bench", "--json", "--config", str(configuration)],
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NotStarted(f"counterseal apikey create: {error.stderr[-2000:]}") from None
    secret: Any = json.loads(made.stdout)["secret"]
    with _process([program, "serve", "--config", str(configuration)], core, folder / "gateway.log") as (process, log):
        headers = {"Authorization": f"Bearer {secret}"}
        yield Started(_listening(process, log), process.pid, headers, configuration)


def gateway_configuration(port: int, server: str, folder: Path, callers: Mapping[str, Any] = KEYS_ONLY) -> str:
    """What the gateway does in production, apart from TLS: a store on disk, a policy, a record of every call."""
    servers = "".join(
        f"  {algorithm.lower()}:\n    url: {server}/{algorithm.lower()}\n    signer: {{algorithm: {algorithm}}}\n"
        for algorithm in ALGORITHMS
    )
    return (
        f"issuer: http://127.0.0.1:{port}\n"
        f"listen: {{host: 127.0.0.1, port: {port}}}\n"
        f"store: sqlite:{folder / 'counterseal.db'}\n"
        f"keys: {{source: store, algorithms: [{', '.join(ALGORITHMS)}]}}\n"
        f"callers: {json.dumps(callers)}\n"
        f"servers:\n{servers}"
        'policy:\n  - permit: {servers: ["*"]}\n'
        f'audit: {{sink: "file:{folder / "audit"}/"}}\n'
    )


def _counterseal() -> str:
    beside = Path(sys.executable).with_name("counterseal")
    program = str(beside) if beside.exists() else shutil.which("counterseal")
    if program is None:
        raise NotStarted("there is no `counterseal` beside this Python or on the PATH")
    return program


@contextmanager
def _process(
    arguments: list[str], core: int | None, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """core: None lets it run on all."""
    with log.open("wb") as file, nullcontext() if core is None else pinned(core):
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment)
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    found = _wait(process, log, lambda: _LISTENING.search(log.read_text(errors="replace")))
    return str(found[1])


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Any, seconds: float = _START_SECONDS) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = ready()
        if found:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise NotStarted(f"{Path(process.args[0]).name}: {log.read_text(errors='replace')[-2000:]}")  # type: ignore[index,arg-type]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
