"""A connection without a socket: what a caller sends is handed to its protocol, and what it is answered is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from counterseal.core.reply import Headers
from counterseal.outbox import Outbox
from counterseal.web.exchange import Exchange
from counterseal.web.protocol import CeilingProtocol
from counterseal.web.unread import Unread

Seen = list[tuple[str, bytes, tuple[tuple[bytes, bytes], ...], bytes, bool]]


class Caller(asyncio.Transport):
    """The other end of a connection: keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711), "sockname": ("192.0.2.1", 80)})
        self.written = b""
        self.closed = False
        self.untaken = 0
        """Bytes that were written and that he has not taken."""
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """It is asked for nothing."""

    def resume_reading(self) -> None:
        """Nor here."""


class Endpoint:
    """Notes what it was asked and says how much that was."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self.status = 200
        self.headers: Headers = ()

    def answers(self, url: bytes) -> bool:
        return url.startswith(b"/mcp")

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.body_arrived(1_000_000)
        body, head = exchange.taken_body(1_000_000), exchange.head
        self.seen.append((head.verb, head.path, head.headers, body, exchange.keep_alive))
        await exchange.answer(self.status, self.headers, b"%d" % len(body))


class Application:
    """An application that answers calls, and everything else with nothing."""

    def __init__(self) -> None:
        self.mcp = Endpoint()
        self.outbox = Outbox()
        self.unread = Unread()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


def connected(protocol: type[CeilingProtocol], app: Application, caller: Caller) -> CeilingProtocol:
    """A connection that has just been made."""
    settings = uvicorn.Config(app, http=protocol, lifespan="off", access_log=False, log_config=None, interface="asgi3")
    connection = protocol(config=settings, server_state=ServerState(), app_state={})
    connection.app = app  # type: ignore[assignment]  # the server would wrap it
    connection.connection_made(caller)
    return connection


def request(body: bytes = b"{}", *lines: bytes, start: bytes = b"POST /mcp/a HTTP/1.1") -> bytes:
    """A request of these header lines, in one piece."""
    return b"\r\n".join([start, b"Host: a", *lines, b"Content-Length: %d" % len(body), b"", body])
