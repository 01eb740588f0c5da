"""HTTP/1.1 requests, on asyncio and llhttp (httptools), with the fewest steps between a call and the wire.

The gateway spends most of a call on HTTP, and general clients spend most of that on what it never uses (docs/decisions/0012).
What is here: one request at a time on a connection, a pool for each origin, streaming with back-pressure, limits. What is not,
on purpose: redirects, cookies, proxies, decompression, retries.

A connection goes back to the pool only after a whole answer was read from it and nothing followed; after any doubt it is
closed, so that no answer can meet another request (H-12). Where an answer that comes twice could not be told from the next one, a
connection has an owner, and no other owner's request goes by it (docs/decisions/0035).
"""

from __future__ import annotations

import asyncio
import copy
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import httptools
from yarl import URL

from counterseal.outbox import Outbox

_HEAD_BYTES: Final = 64 * 1024
"""Of the head and what follows the body, and of any one line: the parser keeps a line until its end."""
_HEAD_COUNT: Final = 256
_MOST_PIECES: Final = 200_000
_LEAST_OF_A_PIECE: Final = 8
"""Bytes of a chunk on the average, where there are so many: each costs as much as a thousand bytes do."""
_INTERIM: Final = 16
"""Answers of status 1xx before the real one."""
_HIGH_WATER: Final = 256 * 1024
_IDLE_SECONDS: Final = 4.0
"""Below the five seconds after which common servers close an idle connection: nothing is retried, so a request must not meet a
connection that is about to close."""
_IDLE_CONNECTIONS: Final = 256
"""Kept for each origin."""
_TARGET: Final = re.compile(r"/[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*")  # RFC 3986, without `#`


class HttpError(Exception):
    """The exchange failed. The text says how, without anything of the request."""


class HttpTimeout(HttpError):
    """It took too long."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. idle: between two arrivals of bytes; None: no limit. total: from the request to the last byte."""

    connect: float
    idle: float | None
    total: float


class Target:
    """A URL, prepared once. Raises ValueError for one without a host, or of another scheme than http and https."""

    __slots__ = ("_host", "_line", "host", "origin", "port", "tls")

    def __init__(self, url: str) -> None:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.raw_host or parsed.port is None:
            raise ValueError("an http or https URL with a host is needed")
        self.host: Final = parsed.raw_host
        self.port: Final = parsed.port
        self.tls: Final = parsed.scheme == "https"
        self.origin: Final = (parsed.scheme, self.host, self.port)
        name = f"[{self.host}]" if ":" in self.host else self.host
        self._host: Final = name if parsed.is_default_port() else f"{name}:{self.port}"
        self._line = self._after_verb(parsed.raw_path_qs)

    def at(self, path_and_query: str) -> Target:
        """Another address of the same origin, which goes out exactly as it stands here. Raises ValueError for what is none."""
        if not _TARGET.fullmatch(path_and_query):
            raise ValueError("a path holds a character that no address has")
        other = copy.copy(self)
        other._line = self._after_verb(path_and_query)
        return other

    def _after_verb(self, path_and_query: str) -> str:
        return f" {path_and_query} HTTP/1.1\r\nHost: {self._host}\r\n"

    def head(self, verb: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
        """The request's head as bytes. Raises ValueError where a header holds a line end or NUL, or is not Latin-1."""
        lines = [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        text = "".join(lines)
        if "\r" in text or "\n" in text or "\0" in text:
            raise ValueError("a header holds a line end or NUL")
        line_end = "\r\n"
        lines.append(line_end)
        return f"{verb}{self._line}{line_end.join(lines)}".encode("latin-1")


class Addresses(Protocol):
    """The addresses to connect to for a host, at least one, the best first. Raises HttpError where there is none."""

    async def __call__(self, host: str, port: int) -> Sequence[str]: ...


class Client:
    """Connections to any number of origins, for the life of a process. For one event loop."""

    def __init__(self, tls: ssl.SSLContext | None = None, addresses: Addresses | None = None) -> None:
        """tls: how servers prove who they are; None for the machine's certificate authorities. addresses: asked for each new
        connection, which then goes to one of its answers and nowhere else; None: the machine's resolver."""
        self._pools: dict[tuple[str, str, int], list[_Connection]] = {}
        self._tls = tls
        self._addresses = addresses
        self._open: set[_Connection] = set()
        self._outbox = Outbox()

    async def send(
        self,
        verb: str,
        target: Target,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        timeouts: Timeouts,
        owner: bytes | None = None,
    ) -> Response:
        """Send one request and wait for the head of its answer. Raises HttpError, ValueError for a bad header.

        owner: whose connection it goes by, which nobody else's requests go by, ever; None for those of nobody in particular.
        """
        head = target.head(verb, headers, body)
        connection = await self._connection(target, timeouts, owner)
        try:
            await connection.ask(head if body is None else head + body, timeouts)
        except BaseException:
            connection.close()
            raise
        return Response(connection)

    async def close(self) -> None:
        """Close every connection, whatever it is doing."""
        for connection in list(self._open):
            connection.close()

    async def _connection(self, target: Target, timeouts: Timeouts, owner: bytes | None) -> _Connection:
        pool = self._pools.setdefault(target.origin, [])
        for index in range(len(pool) - 1, -1, -1):
            if pool[index].owner == owner:
                connection = pool.pop(index)
                if connection.usable():
                    return connection
                connection.close()
        loop = asyncio.get_running_loop()
        if target.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(timeouts.connect):
                connection = await self._connect(target, pool, loop.time() + timeouts.connect)
                connection.owner = owner
                return connection
        except TimeoutError:
            raise HttpTimeout("no connection in time") from None
        except OSError as error:  # ssl.SSLError is one
            why = getattr(error, "verify_message", None) or type(error).__name__  # what is wrong with a certificate
            raise HttpError(f"no connection: {why}") from None

    async def _connect(self, target: Target, pool: list[_Connection], until: float) -> _Connection:
        """To the first address that answers. One that doesn't takes at most half of the time that is left from the others."""
        loop = asyncio.get_running_loop()
        hosts = [target.host] if self._addresses is None else await self._addresses(target.host, target.port)
        for left, host in zip(range(len(hosts), 0, -1), hosts, strict=True):
            try:
                async with asyncio.timeout((until - loop.time()) / min(left, 2)):
                    _, connection = await loop.create_connection(
                        lambda: _Connection(loop, self._outbox, pool, self._open),
                        host,
                        target.port,
                        ssl=self._tls if target.tls else None,
                        server_hostname=target.host if target.tls else None,
                    )
                    if not connection.closing:
                        self._open.add(connection)
                    return connection
            except OSError:  # TimeoutError is one
                if left == 1:
                    raise
        raise HttpError("no connection: no address")


class Response:
    """One answer, from its head on. Read it to its end or abort it."""

    __slots__ = ("_connection", "_exchange", "headers", "status")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._exchange = connection.exchange
        self.status: Final = connection.status
        self.headers: Final[Sequence[tuple[bytes, bytes]]] = connection.headers
        """Names in lower case, duplicates kept."""

    def next_chunk(self) -> Awaitable[bytes | None]:
        """What has arrived of the body since; None at its end. Raises HttpError. Whoever stops early aborts."""
        return self._connection.next_chunk(self._exchange)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises HttpError."""
        try:
            while (chunk := await self._connection.next_chunk(self._exchange)) is not None:
                yield chunk
        finally:
            self.abort()

    def abort(self) -> None:
        """End the exchange: close the connection, unless the answer came to its end. Harmless after that."""
        if self._connection.exchange == self._exchange:
            self._connection.leave()


class _Connection(asyncio.Protocol):
    """One connection and the one exchange on it. `exchange` counts them, so that nobody who is late aborts or reads the next."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        pool: list[_Connection],
        everything: set[_Connection],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._pool = pool
        self._everything = everything
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._idle_since = 0.0
        self.owner: bytes | None = None
        self.exchange = 0
        self._parser = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._unsent = b""
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._unended = 0
        self._interim = 0
        self._head: asyncio.Future[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._pieces = self._body_bytes = 0
        self._paused = False
        self._ended = False
        self._keep = False
        self._error: HttpError | None = None

    # ---- what the client does ----

    @property
    def closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport is None or self._transport.is_closing()

    def usable(self) -> bool:
        """Whether an idle connection may be used: still open, and not idle for too long."""
        return not self.closing and self._idle_since >= self._loop.time() - _IDLE_SECONDS

    def ask(self, request: bytes, timeouts: Timeouts) -> Awaitable[None]:
        """Send a request; done when the head of its answer is there. Raises HttpError."""
        assert self._transport is not None
        self._reset()
        self._busy = True
        self.exchange += 1
        now = self._loop.time()
        self._last = now
        self._idle = timeouts.idle
        self._until = now + timeouts.total
        due = min(self._until, now + (self._idle or timeouts.total))
        # A timer of an earlier exchange that is early enough is left as it is.
        if self._timer is None or self._due > due:
            self._look_at(due)
        self._head = self._loop.create_future()
        self._unsent = request
        self._outbox.put(self._loop, self._send)
        return self._head

    def _send(self) -> None:
        request, self._unsent = self._unsent, b""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(request)

    async def next_chunk(self, exchange: int) -> bytes | None:
        """What has arrived of the body; None at its end. exchange: whose. Raises HttpError, also where that one is over: somebody
        else may have ended it while this one waited, and what comes now is the answer to another request."""
        while exchange != self.exchange or not self._chunks:
            if exchange != self.exchange:
                raise HttpError("the exchange was ended")
            if self._ended:
                return None
            if self._error is not None:
                raise self._error
            self._wake = self._loop.create_future()
            await self._wake
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def leave(self) -> None:
        """The exchange is over: back to the pool after a whole answer, else closed."""
        if not self._busy:
            return
        transport = self._transport
        clean = self._ended and self._keep and not self._chunks
        # A server may answer before it has read the whole request; what is left of that must not meet the next one.
        sent = transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()
        if not (clean and sent):
            self.close()  # whoever still waits for what comes hears of it
            return
        self._busy = False
        self._idle_since = self._loop.time()
        # The longest idle first, whosever they are: else those of callers who left would keep out the one that is used.
        while self._pool and (len(self._pool) >= _IDLE_CONNECTIONS or not self._pool[0].usable()):
            self._pool.pop(0).close()
        self._pool.append(self)

    def close(self) -> None:
        if self._busy and not self._ended:
            self._fail(HttpError("the connection was closed"))  # whoever waits for it hears of it
        self._busy = False
        self._stop_looking()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def _look(self) -> None:
        """Has it taken too long? One timer for both limits and for every exchange, set anew when it fires too early."""
        self._timer = None
        if not self._busy:
            return
        now = self._loop.time()
        due = self._until if self._idle is None else min(self._until, self._last + self._idle)
        if self._paused:
            due = self._until  # it is we who don't read
        if now < due:
            self._look_at(due)
            return
        self._fail(HttpTimeout("no end in time" if now >= self._until else "no bytes in time"))

    def _look_at(self, due: float) -> None:
        self._stop_looking()
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: HttpError) -> None:
        if self._error is None:
            self._error = error
        self._stop_looking()
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        self._notify()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # ---- what the transport says ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's doesn't say that it is one. Where nobody waits for the connection any more, uvloop never says that it was lost:
        # only who got it counts it among those that are open.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._unsent:
            self.close()  # bytes that nobody asked for
            return
        self._last = self._loop.time()
        self._unended += len(data)
        try:
            self._parser.feed_data(data)
            if self._unended > _HEAD_BYTES:
                self._fail(HttpError("a line of the answer is too large"))
        except httptools.HttpParserUpgrade:
            self._fail(HttpError("the server changed the protocol"))
        except httptools.HttpParserError as error:
            own = error.__context__
            self._fail(own if isinstance(own, HttpError) else HttpError("not an HTTP/1.1 answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._everything.discard(self)
        if not self._busy or self._ended:
            return
        if self.status and not self._framed():
            self._ended = True  # the body ends with the connection (RFC 9112 section 6.3)
            self._notify()
        else:
            self._fail(HttpError("the server closed the connection"))

    # ---- what the parser says ----

    def on_message_begin(self) -> None:
        if self._ended:
            self._keep = False  # more than the one answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unended = 0
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > _HEAD_BYTES or len(self.headers) >= _HEAD_COUNT:
            raise HttpError("the head of the answer is too large")
        if self.status:
            return  # a trailer: the headers were read, and don't change any more
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._unended = 0
        if self._ended:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim += 1
            if status == 101 or self._interim > _INTERIM:
                raise HttpError("an interim answer that was not asked for")
            self.headers = []
            return
        for name, value in self.headers:
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise HttpError("a transfer coding other than chunked")
        self.status = status
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._unended = 0
        if self._ended:
            return
        self._pieces += 1
        self._body_bytes += len(body)
        if self._pieces > _MOST_PIECES and self._body_bytes < _LEAST_OF_A_PIECE * self._pieces:
            raise HttpError("an answer in too many small pieces")
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._notify()

    def on_message_complete(self) -> None:
        self._unended = 0
        if self.status and not self._ended:
            self._ended = True
            self._keep = self._parser.should_keep_alive()
            self._notify()

    def _framed(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
