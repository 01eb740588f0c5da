"""A flood of tokens that name keys which nobody has, while good callers go on: do those notice, and how often is the IdP asked?

Twice. First in this process, where nothing stands in front of the gateway's own `Identify` and an IdP's real JWKS: 10,000 bad
ones a second, with 50 good calls a second among them, half of them with a token that was never shown before. Then through
`counterseal serve`, with as many bad ones as 32 connections can bring; that is for information, because there the flood costs
what any load costs.

A good call's time runs from the moment at which it is due, so it holds the wait for the flood in front of it. In this process the
clock for it and for the pace is the CPU time of the one thread that does everything. That thread never sleeps, so its clock is
the wall clock, but for the time in which other programs have its core. Beside it stands what the wall clock says.

Ends by itself; no address but loopback. Exit code 0: every promise was kept. 1: one was not. 2: this machine cannot run it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from bench import processes, report
from bench.generator import percentile, request_of
from bench.idp import IdentityProvider, bearer
from bench.inside import SERVER, inbound_of, open_identity
from bench.load import (
    LoadFailed,
    call_file,
    command,
    environment,
    figures_of,
    write_call,
    write_tokens,
)
from bench.machine import Cores, pinned
from counterseal.clock import SystemClock
from counterseal.core.limits import LIMITS
from counterseal.errors import CallError, Unauthenticated
from counterseal.identity.identify import Identify

BAD_A_SECOND: Final = 10_000
GOOD_A_SECOND: Final = 50
FLOOR_US: Final = 500
"""An idle p99 below this counts as this."""
TIMES_IDLE: Final = 2.0
_COOL_DOWN: Final = LIMITS.refetch_cooldown_seconds
_KNOWN: Final = 10
"""How many tokens the good calls that are no new ones take turns with."""
_SLOW_SECONDS: Final = 0.5
"""How long the IdP takes to answer during the flood."""
CONNECTIONS: Final = 32
_LINES: Final = 16
"""Connections for good calls; as many of them wait at once."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class NotAnswered(Exception):
    """A good call was refused, or came to no end."""


class SkippingClock(SystemClock):
    """The machine's clock, and as much more as was skipped: a run need not wait for the end of a cool-down."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


@dataclass(slots=True)
class Seen:
    """What became of one phase. good: microseconds of each good call, from when it was due, by the phase's clock; wall: by the
    wall clock. seconds, wall_seconds: how long it took, likewise. other: what should not have happened. fetches: requests for the
    IdP's keys."""

    good: list[int] = field(default_factory=list)
    wall: list[int] = field(default_factory=list)
    sent: int = 0
    refused: int = 0
    other: list[str] = field(default_factory=list)
    seconds: float = 0.0
    wall_seconds: float = 0.0
    fetches: int = 0

    @property
    def p50(self) -> int:
        return percentile(sorted(self.good), 0.50)

    @property
    def p99(self) -> int:
        return percentile(sorted(self.good), 0.99)


class Phase:
    """One phase of calls at a pace that the clock sets, each in a task of its own as a connection's would be."""

    def __init__(self, identify: Identify, good: Iterator[bytes], bad: Iterator[bytes]) -> None:
        self._identify = identify
        self._good = good
        self._bad = bad
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = Seen()

    async def run(self, seconds: float, bad_a_second: int) -> Seen:
        """The pace is kept by looking at the clock in each turn of the loop, with and without a flood: a timer is late by up to a
        millisecond, which is more than what is measured."""
        seen, goods = self._seen, 0
        began, wall_began = time.thread_time(), time.perf_counter()
        while (passed := time.thread_time() - began) < seconds:
            due = int(passed * bad_a_second)
            while seen.sent < due:
                seen.sent += 1
                self._start(self._send_bad(next(self._bad)))
            while goods < int(passed * GOOD_A_SECOND):
                goods += 1
                due_at = began + goods / GOOD_A_SECOND
                self._start(
                    self._send_good(next(self._good), due_at, time.perf_counter() - time.thread_time() + due_at)
                )
            await asyncio.sleep(0)
        seen.seconds, seen.wall_seconds = time.thread_time() - began, time.perf_counter() - wall_began
        while self._tasks:
            await asyncio.wait(self._tasks)
        return seen

    def _start(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_bad(self, authorization: bytes) -> None:
        try:
            await self._identify(inbound_of(authorization))
        except Unauthenticated:
            self._seen.refused += 1
        except CallError as error:
            self._seen.other.append(f"a bad token: {error.reason.code}")
        else:
            self._seen.other.append("a bad token was accepted")

    async def _send_good(self, authorization: bytes, due: float, wall_due: float) -> None:
        try:
            await self._identify(inbound_of(authorization))
        except CallError as error:
            self._seen.other.append(f"a good token: {error.reason.code}")
        self._seen.good.append(int((time.thread_time() - due) * 1e6))
        self._seen.wall.append(int((time.perf_counter() - wall_due) * 1e6))


async def inside(folder: Path, idp: IdentityProvider, seconds: float) -> dict[str, Seen]:
    """Both phases in this process. folder: an empty one. Between them a cool-down is skipped, so that the flood finds none."""
    port = processes.free_port()
    configuration = folder / "inside.yaml"
    callers = {"api_keys": False, "issuers": [idp.entry()]}
    configuration.write_text(processes.gateway_configuration(port, "http://127.0.0.1:9", folder, callers))
    audience, clock = f"http://127.0.0.1:{port}/mcp/{SERVER}", SkippingClock()
    good = _alternating(idp, audience, int(4 * seconds * GOOD_A_SECOND))
    bad = iter(bearer(idp.tokens_of_unknown_kids(audience, int(2 * seconds * BAD_A_SECOND))))
    seen = {}
    async with open_identity(configuration, clock) as identify:
        await Phase(identify, good, bad).run(min(seconds, 1), 0)
        gc.collect()
        gc.freeze()  # what was made for the run is the run's, and no garbage of the gateway's
        for name, rate in {"idle": 0, "flood": BAD_A_SECOND}.items():
            fetches = idp.fetches
            seen[name] = await Phase(identify, good, bad).run(seconds, rate)
            seen[name].fetches = idp.fetches - fetches
            clock.skipped += _COOL_DOWN
            idp.keys.delay = _SLOW_SECONDS
    idp.keys.delay = 0
    gc.unfreeze()
    return seen


def _alternating(idp: IdentityProvider, audience: str, count: int) -> Iterator[bytes]:
    """Good tokens: one that was shown before, one that was not, and so on."""
    known, new = bearer(idp.tokens(audience, _KNOWN)), bearer(idp.tokens(audience, count // 2))
    return iter([one for number, other in enumerate(new) for one in (known[number % _KNOWN], other)])


async def outside(folder: Path, idp: IdentityProvider, seconds: int) -> dict[str, Seen]:
    """Both phases through a gateway that was started as its owner would. folder: an empty one."""
    cores = Cores.of_this_machine()
    with ExitStack() as running:
        answer = running.enter_context(processes.answering_server(cores.answer, folder))
        who = {"api_keys": True, "issuers": [idp.entry()]}
        started = running.enter_context(processes.gateway(answer.url, cores.tested, folder / "gateway", who))
        running.enter_context(pinned(cores.load))
        url = f"{started.url}/mcp/{SERVER}"
        write_call(folder / "call", {})
        write_tokens(folder / "tokens", idp.tokens_of_unknown_kids(url, 2 * seconds * BAD_A_SECOND))
        good = _alternating(idp, url, 4 * seconds * GOOD_A_SECOND)
        await good_calls(url, good, 1)
        idle, fetches = await good_calls(url, good, seconds), idp.fetches
        loading = await asyncio.create_subprocess_exec(
            *command(url, CONNECTIONS, seconds),
            env={**os.environ, **environment(folder / "call", folder / "tokens")},
            stdout=asyncio.subprocess.PIPE,
        )
        meanwhile = await good_calls(url, good, seconds)
        printed, _ = await loading.communicate()
    figures = figures_of(printed.decode(), cpu=0, rss=0, others=0)
    sent = round(figures.calls_per_second * seconds)
    flood = Seen(meanwhile, meanwhile, sent, figures.failed, [], seconds, seconds, idp.fetches - fetches)
    return {"idle": Seen(idle, idle, seconds=seconds, wall_seconds=seconds), "flood": flood}


async def good_calls(url: str, tokens: Iterator[bytes], seconds: float) -> list[int]:
    """Good calls over HTTP, on a few connections: microseconds of each, from when it was due. Raises NotAnswered."""
    place = urlsplit(url)
    idle = [await asyncio.open_connection(place.hostname, place.port) for _ in range(_LINES)]
    free, took = asyncio.Semaphore(_LINES), []
    call, began = call_file({}), time.perf_counter()

    async def one(authorization: bytes, due: float) -> None:
        async with free:
            reader, writer = line = idle.pop()
            writer.write(request_of(b"Authorization: %b\n%b" % (authorization, call), url))
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                raise NotAnswered(f"a good call was answered with {head[:200]!r}")
            await reader.readexactly(int(length[1]))
            took.append(int((time.perf_counter() - due) * 1e6))
            idle.append(line)

    calls = []
    for number in range(int(seconds * GOOD_A_SECOND)):
        due = began + number / GOOD_A_SECOND
        await asyncio.sleep(due - time.perf_counter())
        calls.append(asyncio.ensure_future(one(next(tokens), due)))
    await asyncio.gather(*calls)
    for _, writer in idle:
        writer.close()
    return took


def targets(seen: Mapping[str, Seen]) -> list[report.Target]:
    """What is promised of the phases in this process."""
    idle, flood = seen["idle"], seen["flood"]
    cool_downs = 1 + flood.wall_seconds // _COOL_DOWN
    ratio, rate = flood.p99 / max(idle.p99, FLOOR_US), flood.sent / flood.seconds
    return [
        report.Target(f"p99 of good calls, of idle's (at least {FLOOR_US} us)", ratio, TIMES_IDLE, at_least=False),
        report.Target("fetches of the keys in a cool-down", flood.fetches / cool_downs, 1, at_least=False),
        report.Target("bad tokens refused, of those sent", flood.refused / max(flood.sent, 1), 1, at_least=True),
        report.Target(f"bad tokens a second, of {BAD_A_SECOND:,}", rate / BAD_A_SECOND, 0.99, at_least=True),
    ]


def text(where: str, seen: Mapping[str, Seen]) -> str:
    """A table of both phases. where: its first head."""
    rows: list[Sequence[str]] = [
        (where, "good calls", "p50 us", "p99 us", "p99 us, wall", "bad/s", "bad/s, wall", "refused", "fetches")
    ]
    for name, one in seen.items():
        by_wall = percentile(sorted(one.wall), 0.99)
        rates = (one.sent / one.seconds, one.sent / one.wall_seconds)
        figures = (len(one.good), one.p50, one.p99, by_wall, *rates, one.refused, one.fetches)
        rows.append((name, *(f"{figure:,.0f}" for figure in figures)))
    return report.table(rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="how long each of the four phases lasts")
    options = parser.parse_args(arguments)
    if options.seconds < 1:
        parser.error("--seconds is at least 1")
    if not sys.platform.startswith("linux"):
        print("the flood pins processes to cores: it needs Linux", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ended from outside, it still ends what it started
    with (
        tempfile.TemporaryDirectory(prefix="counterseal-flood-") as folder,
        IdentityProvider() as idp,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        within = runner.run(inside(Path(folder), idp, options.seconds))
        print(text("Identify alone", within), flush=True)
        try:
            through = runner.run(outside(Path(folder), idp, options.seconds))
        except (processes.NotStarted, LoadFailed, NotAnswered, OSError) as problem:
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
            return 1
    print(f"\n{text('counterseal serve', through)}\n")
    promised = targets(within)
    print(report.targets_table(promised))
    odd = [*within["idle"].other, *within["flood"].other]
    if odd:
        print(f"\n{len(odd)} calls ended otherwise, the first with: {odd[0]}")
    return 1 if odd or any(target.missed for target in promised) else 0


if __name__ == "__main__":
    sys.exit(main())
