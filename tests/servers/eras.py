"""A streamable HTTP server as the gateway speaks to it, whichever era it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from counterseal.core.limits import Limits
from counterseal.httpclient import Client as HttpClient
from counterseal.servers.either_era import EitherEra
from counterseal.servers.http import ServerHttp
from counterseal.servers.streamable_http import Destination, StreamableHttp
from tests.contracts.server import LIMITS, SESSIONS, Countersign, decide
from tests.support.hostile import HostileServer
from tests.support.tokens import FixedClock

CLIENT = ("counterseal", "test")


@asynccontextmanager
async def room_of(
    server: HostileServer,
    countersign: Countersign | None = None,
    *,
    limits: Limits = LIMITS,
    clock: FixedClock | None = None,
) -> AsyncIterator[EitherEra]:
    http = HttpClient()
    destination = Destination("weather", server.url, "Authorization", (), "counterseal/test")
    inside = StreamableHttp(destination, ServerHttp(http, limits), SESSIONS, decide, limits)
    room = EitherEra(inside, "weather", countersign or Countersign(), SESSIONS, CLIENT, clock or FixedClock(), limits)
    try:
        yield room
    finally:
        await room.close()
        await http.close()
