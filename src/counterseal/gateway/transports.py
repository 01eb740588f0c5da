"""Which class speaks to a server, by its `transport`: one row each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from counterseal import __version__
from counterseal.clock import Clock
from counterseal.config.compile import program, static_headers
from counterseal.config.schema import Configuration
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.servers.back_off import BackOff
from counterseal.servers.bounded import Bounded
from counterseal.servers.breaker import Breaker, GuardedHttp
from counterseal.servers.duplex_server import DuplexServer, Spoken
from counterseal.servers.either_era import EitherEra
from counterseal.servers.http import Http
from counterseal.servers.link import Countersign
from counterseal.servers.session import Sessions
from counterseal.servers.sse import OpenStream
from counterseal.servers.stdio import StartProgram
from counterseal.servers.streamable_http import Decide, Destination, StreamableHttp

_CLIENT: Final = ("counterseal", __version__)


class Server(Protocol):
    """What every row makes."""

    async def send(self, permit: Permit) -> Reply: ...

    def schema(self, tool: str) -> Any: ...

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema; None where it is not known."""
        ...

    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]:
        """The headers that `send` would send. It sends nothing."""
        ...

    def healthy(self) -> str | None:
        """What is wrong where the server keeps failing; None also where nothing is known."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What servers are made from. decide: filters lists. countersign: permits for what the gateway itself has to say."""

    configuration: Configuration
    http: Http
    sessions: Sessions
    decide: Decide
    countersign: Countersign
    limits: Limits
    new_id: Callable[[], str]
    clock: Clock


def open_server(parts: ServerParts, name: str) -> Server:
    """One configured server. It connects to nothing and starts nothing before the first call.

    Raises ConfigError for an OpenAPI document that cannot be used.
    """
    transport = parts.configuration.servers[name].transport
    # Programs have a wait of their own, for each who starts one (servers/back_off.py).
    breaker = Breaker(parts.limits, asyncio.get_running_loop().time)
    guarded = parts if transport == "stdio" else replace(parts, http=GuardedHttp(parts.http, breaker, parts.limits))
    return Bounded(_TRANSPORTS[transport](guarded, name), parts.limits.calls_per_server, breaker.healthy)


def _streamable_http(parts: ServerParts, name: str) -> Server:
    http = StreamableHttp(destination(parts, name), parts.http, parts.sessions, parts.decide, parts.limits)
    return EitherEra(http, name, parts.countersign, parts.sessions, _CLIENT, parts.clock, parts.limits)


def _sse(parts: ServerParts, name: str) -> Server:
    limits = parts.limits
    spoken = Spoken(
        name,
        shared=False,
        modern=False,
        client=_CLIENT,
        most=limits.sse_session_count,
        idle_seconds=limits.sse_idle_seconds,
    )
    connect = OpenStream(destination(parts, name), parts.http, parts.countersign, limits)
    return DuplexServer(spoken, connect, parts.sessions, parts.decide, parts.countersign, limits, parts.new_id)


def _stdio(parts: ServerParts, name: str) -> Server:
    server = parts.configuration.servers[name]
    shared = server.isolation == "shared"
    spoken = Spoken(
        name,
        shared=shared,
        modern=True,
        client=_CLIENT,
        most=None if shared else server.max_processes,
        idle_seconds=None if shared else server.idle_timeout,
    )
    now = asyncio.get_running_loop().time
    return DuplexServer(
        spoken,
        StartProgram(program(parts.configuration, name, os.environ), parts.limits),
        parts.sessions,
        parts.decide,
        parts.countersign,
        parts.limits,
        parts.new_id,
        BackOff(parts.limits.process_back_off_seconds, now),
    )


def _openapi(parts: ServerParts, name: str) -> Server:
    # It brings a checker of schemas, which a gateway without such servers need not carry.
    from counterseal.gateway import openapi_wiring  # noqa: PLC0415

    return openapi_wiring.open_server(parts.configuration, name, destination(parts, name), parts.http, parts.decide)


_TRANSPORTS: Final[Mapping[str, Callable[[ServerParts, str], Server]]] = {
    "streamable_http": _streamable_http,
    "sse": _sse,
    "stdio": _stdio,
    "openapi": _openapi,
}


def destination(parts: ServerParts, name: str) -> Destination:
    """Where a server with an address is. Raises secret.Unresolved where a secret has gone since the file was read."""
    configuration = parts.configuration
    static = tuple((header, secret.reveal()) for header, secret in static_headers(configuration, name))
    url = configuration.servers[name].url
    assert url is not None
    return Destination(name, url, configuration.signer_of(name).header, static, f"counterseal/{__version__}")
