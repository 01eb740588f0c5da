"""A gateway of real rooms behind our real HTTP server, in a thread, and requests to it as bytes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from counterseal.gateway.wiring import Gateway
from counterseal.web.app import App
from tests.gateway.building import ISSUER, META, Built, built
from tests.support.hostile import HostileServer
from tests.support.rawhttp import Answer, Wire, ask, serving

DOCUMENTS: Final = {"/.well-known/jwks.json": b'{"keys":[]}', "/.well-known/openid-configuration": b"{}"}
CALL: Final = {
    "jsonrpc": "2.0",
    "id": "mine",
    "method": "tools/call",
    "params": {"name": "get_weather", "arguments": {"city": "Oslo"}, "_meta": META},
}
BODY: Final = json.dumps(CALL).encode()


@dataclass(frozen=True, slots=True)
class Running:
    """One running gateway. checks: what `/readyz` asks; may be changed."""

    port: int
    gateway: Built
    server: HostileServer
    checks: dict[str, Any]

    def head(self, *more: bytes, verb: bytes = b"POST", target: bytes = b"/mcp/weather", **changes: Any) -> bytes:
        """The head of a good request. more: header lines. changes: other lines for the usual ones; None leaves one out."""
        usual: dict[str, bytes | None] = {
            "host": b"127.0.0.1:%d" % self.port,
            "authorization": b"Bearer key-of-alice",
            "content_type": b"application/json",
            "accept": b"application/json, text/event-stream",
            "mcp_protocol_version": b"2026-07-28",
            "mcp_method": b"tools/call",
            "mcp_name": b"get_weather",
            **changes,
        }
        lines = [name.replace("_", "-").encode() + b": " + value for name, value in usual.items() if value is not None]
        return b"\r\n".join([verb + b" " + target + b" HTTP/1.1", *lines, *more, b"", b""])

    def request(self, *more: bytes, body: bytes = BODY, **changes: Any) -> bytes:
        """A good request, whole, with its length."""
        return self.head(b"Content-Length: %d" % len(body), *more, **changes) + body

    def ask(self, request: bytes) -> Answer:
        """Send it on a connection of its own; it must be answered."""
        answer = ask(self.port, request)
        assert answer is not None, "the connection ended without an answer"
        return answer

    def wire(self, seconds: float = 60, *, takes: int | None = None) -> Wire:
        return Wire(self.port, seconds, takes=takes)

    def server_heard(self, calls: int) -> bool:
        """Whether the server hears of so many calls in time."""
        return until(lambda: self.server.calls >= calls)

    def settled(self) -> bool:
        """Whether every call that was made ends in time."""
        events = self.gateway.events
        return until(lambda: events().count("outcome") == events().count("intent"))

    def good(self) -> None:
        """A good call is answered."""
        calls = self.server.calls
        assert self.ask(self.request()).status == 200
        assert self.server.calls == calls + 1

    def refused(self, request: bytes, *statuses: int) -> Answer | None:
        """Send what must be refused: one of the statuses, or, with 0 among them, an end of the connection without an answer.
        The server sees no call."""
        calls = self.server.calls
        answer = ask(self.port, request)
        assert (answer.status if answer is not None else 0) in statuses, answer
        assert self.server.calls == calls, "the server was called"
        return answer


def until(true: Callable[[], bool]) -> bool:
    """Whether it is so in time."""
    pause = threading.Event()
    for _ in range(6000):
        if true():
            return True
        pause.wait(0.01)
    return true()


@contextmanager
def running(
    server: HostileServer, *, origins: tuple[str, ...] = (), bound: socket.socket | None = None, **changes: Any
) -> Iterator[Running]:
    """origins: `listen.origins`. bound: what it listens on. changes: `built`'s."""
    made: list[Built] = []
    checks: dict[str, Any] = {"keys": lambda: None, "audit": lambda: None}

    @asynccontextmanager
    async def gateway() -> AsyncIterator[Gateway]:
        async with built(server, **changes) as one:
            made.append(one)
            is_litellm = changes.get("litellm") is not None
            yield Gateway(
                ISSUER,
                one.handler,
                DOCUMENTS,
                checks,
                one.identity_headers,
                origins,
                is_litellm=is_litellm,
                cut_off=one.pipeline.recorder.cut_off,
            )

    with serving(App(gateway), bound=bound) as port:
        yield Running(port, made[0], server, checks)
