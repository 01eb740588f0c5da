"""Servers that are spoken to over a duplex, as the registry makes them."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from counterseal.core.limits import Limits
from counterseal.httpclient import Client as HttpClient
from counterseal.servers.back_off import BackOff
from counterseal.servers.duplex_server import DuplexServer, Spoken
from counterseal.servers.http import ServerHttp
from counterseal.servers.process import environment
from counterseal.servers.sse import OpenStream
from counterseal.servers.stdio import Program, StartProgram
from counterseal.servers.streamable_http import Destination
from tests.contracts.server import LIMITS, SESSIONS, Countersign, decide
from tests.support.process import ROOT
from tests.support.sse_server import SseServer

PROGRAM: Final = ROOT / "tests" / "support" / "stdio_program.py"
CLIENT: Final = ("counterseal", "test")


@asynccontextmanager
async def stdio(
    *options: str,
    shared: bool = True,
    command: tuple[str, ...] | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    secrets: frozenset[str] = frozenset(),
    send_token: bool = False,
    most: int = 64,
    idle_seconds: float = 60,
    limits: Limits = LIMITS,
    countersign: Countersign | None = None,
) -> AsyncIterator[DuplexServer]:
    """options: of tests/support/stdio_program.py. command: another program in its place."""
    spoken = Spoken(
        "weather",
        shared=shared,
        modern=True,
        client=CLIENT,
        most=None if shared else most,
        idle_seconds=None if shared else idle_seconds,
    )
    inherited = {"PATH": "/usr/bin:/bin", "HOME": "/"}
    program = Program(
        "weather",
        command or (sys.executable, str(PROGRAM), *options),
        environment(inherited, env or {}),
        folder,
        secrets,
        send_token,
    )
    numbers = itertools.count()
    server = DuplexServer(
        spoken,
        StartProgram(program, limits),
        SESSIONS,
        decide,
        countersign or Countersign(),
        limits,
        lambda: f"session-{next(numbers)}",
        BackOff(limits.process_back_off_seconds, asyncio.get_running_loop().time),
    )
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def sse(
    server: SseServer, *, limits: Limits = LIMITS, countersign: Countersign | None = None, **changes: Any
) -> AsyncIterator[DuplexServer]:
    """changes: of the destination."""
    client = HttpClient()
    given = countersign or Countersign()
    values = {"url": server.url, "header": "Authorization", "static": (), "user_agent": "counterseal/test"} | changes
    spoken = Spoken("weather", shared=False, modern=False, client=CLIENT, most=256, idle_seconds=60)
    numbers = itertools.count()
    connect = OpenStream(Destination("weather", **values), ServerHttp(client, limits), given, limits)
    room = DuplexServer(spoken, connect, SESSIONS, decide, given, limits, lambda: f"session-{next(numbers)}")
    try:
        yield room
    finally:
        await room.close()
        await client.close()
