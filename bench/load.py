"""Load on one address with so many connections for so long: wrk where it is installed, else bench/generator.py.

Both print one line, `figures {...}`, with the same members; only the generator differs, so it is named in the report.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.call import TOOL, request_body, request_headers
from bench.machine import Cores, busy_seconds, cpu_seconds, pinned, resident_bytes

_SCRIPT = Path(__file__).with_name("call.lua")

TOKENS_A_SECOND = 6000
"""Of a load that brings a new one with each call: more than a core of the gateway gets through. If it were not, they would come
again."""


class LoadFailed(Exception):
    """The load generator ended without figures."""


@dataclass(frozen=True, slots=True)
class Party:
    """Something that takes calls. pid: its process; descendants count as part of it.

    new_tokens: makes so many tokens that were never shown before, so that each call of a load brings one of its own; None: all
    calls are alike. tool: what the tool is called there.
    """

    name: str
    url: str
    pid: int
    headers: Mapping[str, str]
    new_tokens: Callable[[int], Iterable[bytes]] | None = None
    tool: str = TOOL


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement, or the medians of several.

    calls_per_second: answers, whatever their status. p50_ms, p99_ms: milliseconds from request to answer. cpu_us: CPU of
    the party, microseconds a call. busy: the share of its core that it used, 0 to 1. rss_mb: its largest process, in
    millions of bytes. others: programs that are no part of the bench, in cores that they used meanwhile on the cores of the
    bench. failed: answers of status 400 and up. broken: connections refused, broken or timed out.
    """

    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    busy: float
    rss_mb: float
    others: float
    failed: int
    broken: int


def measure(party: Party, *, connections: int, seconds: int, cores: Cores, answer: int, folder: Path) -> Figures:
    """Load a party. seconds: whole seconds, as wrk takes them. answer: the answering server's process. Raises LoadFailed."""
    call, tokens = folder / "call", None
    write_call(call, party.headers, party.tool)
    if party.new_tokens is not None:
        tokens = folder / "tokens"
        write_tokens(tokens, party.new_tokens(seconds * TOKENS_A_SECOND))
    began = time.monotonic()
    cpu, ours, busy = cpu_seconds(party.pid), _ours(party.pid, answer), busy_seconds(cores.all)
    with pinned(cores.load):
        process = subprocess.Popen(
            command(party.url, connections, seconds),
            env={**os.environ, **environment(call, tokens)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    output, errors = process.communicate(timeout=seconds + 60)
    cpu, ours, busy = (
        cpu_seconds(party.pid) - cpu,
        _ours(party.pid, answer) - ours,
        busy_seconds(cores.all) - busy,
    )
    others = max(0.0, busy - ours) / (time.monotonic() - began)
    if process.returncode:
        raise LoadFailed(f"{party.name}: {errors.strip() or output.strip()}")
    return figures_of(output, cpu=cpu, rss=resident_bytes(party.pid), others=others)


def _ours(party: int, answer: int) -> float:
    """Seconds of CPU of the party, the answering server, this process and every generator that has ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(cpu_seconds, {party, answer})) + time.process_time() + children.ru_utime + children.ru_stime


def command(url: str, connections: int, seconds: int) -> list[str]:
    """How the load generator of this machine is started."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return [sys.executable, "-m", "bench.generator", url, str(connections), str(seconds)]
    return [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(_SCRIPT), url]


def environment(call: Path, tokens: Path | None) -> dict[str, str]:
    """What tells a generator where its files are. tokens: None where all calls are alike."""
    named = {"COUNTERSEAL_BENCH_CALL": str(call)}
    return named if tokens is None else {**named, "COUNTERSEAL_BENCH_TOKENS": str(tokens)}


def write_call(path: Path, headers: Mapping[str, str], tool: str = TOOL) -> None:
    """The call as a file that both generators read. Owner only: it may hold a key."""
    _write(path, call_file(headers, tool))


def call_file(headers: Mapping[str, str], tool: str = TOOL) -> bytes:
    """What is in it: header lines, an empty line, the body."""
    lines = "".join(f"{name}: {value}\n" for name, value in {**request_headers(tool), **headers}.items())
    return lines.encode() + b"\n" + request_body(tool)


def write_tokens(path: Path, tokens: Iterable[bytes]) -> None:
    """One a line, for both generators."""
    _write(path, b"".join(token + b"\n" for token in tokens))


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def figures_of(output: str, *, cpu: float, rss: int, others: float) -> Figures:
    """Figures from what a generator printed. cpu: seconds that the party used meanwhile; rss: bytes; others: cores."""
    line = next((line for line in output.splitlines() if line.startswith("figures ")), None)
    if line is None:
        raise LoadFailed(f"no figures in what the load generator printed: {output[-400:]!r}")
    seen = json.loads(line.removeprefix("figures "))
    calls, seconds = seen["calls"], seen["microseconds"] / 1e6
    return Figures(
        calls_per_second=calls / seconds,
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
        cpu_us=cpu / calls * 1e6 if calls else 0.0,
        busy=min(cpu / seconds, 1.0),
        rss_mb=rss / 1e6,
        others=others,
        failed=seen["failed"],
        broken=seen["broken"],
    )
