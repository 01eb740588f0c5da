"""One request to `/mcp` and the answer to it, straight on its connection: no ASGI in between (docs/decisions/0014).

It stands where the server's own request cycle stands, so that keep-alive, pipelining and shutdown stay the server's; what that
asks of a cycle is `body`, `more_body`, `message_event`, `keep_alive`, `disconnected`, `response_complete` and `run_asgi`. An
answer that is whole leaves in one write.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from counterseal.core.call import Inbound
from counterseal.core.reply import Headers

_log = logging.getLogger("counterseal.web")

_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PIECE: Final = 256 * 1024
_NO_LENGTH: Final = frozenset({204, 304})
_CR: Final = ord("\r")
_LF: Final = ord("\n")

Address = tuple[str, int | None]


def _anything(_: int) -> None:
    """Any number of bytes may be here."""


class CallerLeft(Exception):
    """The connection ended before the answer did."""


class TooLong(Exception):
    """The body is over its ceiling."""


class Connection(Protocol):
    """What an exchange needs of the connection that it is on."""

    @property
    def transport(self) -> asyncio.Transport: ...

    @property
    def gone(self) -> bool: ...

    @property
    def local(self) -> Address: ...

    @property
    def peer(self) -> str: ...

    def standing_headers(self) -> bytes:
        """Header lines of every answer."""
        ...

    def when_left(self, callback: Callable[[], object] | None) -> None:
        """Call this when the connection ends, at once if it has; None: no more."""
        ...

    def read_on(self) -> None:
        """Take more of the body from the socket."""
        ...

    def writable(self) -> Awaitable[object] | None:
        """What to wait for before more is written; None for nothing."""
        ...

    def write_soon(self, write: Callable[[], object]) -> None:
        """Call this with the other writes of this turn of the loop."""
        ...

    def answered(self) -> None:
        """The answer to the request in hand is out."""
        ...

    def close(self) -> None:
        """End it once what was written is taken."""
        ...


class Endpoint(Protocol):
    """Who answers. Raises nothing but CancelledError, unless it has a defect."""

    async def __call__(self, exchange: Exchange) -> None: ...


class Head:
    """The head of a request. The requests of a connection that have the same one share it.

    verb, path: as they were sent; the path without its query. headers: names in lower case, in order, duplicates kept.
    passed: what the endpoint made of it, once it found nothing in it to refuse. Its own, and kept for the next request.
    """

    __slots__ = ("headers", "passed", "path", "verb")

    def __init__(self, verb: str, path: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.verb = verb
        self.path = path
        self.headers = headers
        self.passed: Inbound | None = None

    def resized(self, length: bytes) -> Head:
        """The same head with another Content-Length."""
        headers = tuple((name, length if name == b"content-length" else value) for name, value in self.headers)
        head = Head(self.verb, self.path, headers)
        head.passed = None if self.passed is None else self.passed.resized(length)
        return head


class Exchange:
    """more_headers: what every answer to this request gets besides its own. chunks: whether its caller knows of them; to one who
    does not, an answer in pieces ends with the connection."""

    __slots__ = (
        "_chunked",
        "_chunks",
        "_connection",
        "_endpoint",
        "_expects_continue",
        "_waiting",
        "_whole",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "more_body",
        "more_headers",
        "response_complete",
        "started",
    )

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        head: Head,
        *,
        keep_alive: bool,
        expects_continue: bool,
        chunks: bool = True,
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self.head = head
        self.keep_alive = keep_alive
        self._expects_continue = expects_continue
        self._chunks = chunks
        self._waiting: asyncio.Future[None] | None = None
        self._chunked = False
        self._whole = b""
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.more_headers: Headers = ()
        self.disconnected = False
        self.started = False
        self.response_complete = False

    # ---- what the server's protocol asks of a cycle ----

    @property
    def message_event(self) -> Exchange:
        return self

    def set(self) -> None:
        """Something happened: more of the body, its end, or the connection's."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def run_asgi(self, _: object) -> None:
        """Answer, whatever happens."""
        try:
            await self._endpoint(self)
        except CallerLeft:
            pass
        except asyncio.CancelledError:
            # By the server, which ends. What is out of an answer already must not look whole.
            self._connection.close()
            raise
        except BaseException as error:
            _log.error("an exchange failed", exc_info=error)
            if self.started:
                self._connection.close()
            else:
                self.keep_alive = False
                await self.answer(500, ((b"content-type", b"text/plain"),), b"Internal Server Error")
            if not isinstance(error, Exception):
                raise
        else:
            if not (self.response_complete or self._whole or self._connection.gone):
                self._connection.close()

    # ---- what the endpoint asks ----

    @property
    def local(self) -> Address:
        """The address that the caller reached."""
        return self._connection.local

    @property
    def peer(self) -> str:
        """The address that the caller has, as the socket says it."""
        return self._connection.peer

    def when_left(self, callback: Callable[[], object] | None) -> None:
        """Call this when the caller has left, at once if it has; None: no more."""
        self._connection.when_left(callback)

    async def body_arrived(self, limit: int, held: Callable[[int], object] = _anything) -> None:
        """Wait until the body is here to its end. limit: bytes. held: is told how many are here, and may raise. Raises TooLong,
        CallerLeft."""
        while self.more_body:
            if self._connection.gone:
                raise CallerLeft
            if len(self.body) > limit:
                raise TooLong
            held(len(self.body))
            if self._expects_continue:
                self._expects_continue = False
                self._connection.transport.write(_CONTINUE)
            self._connection.read_on()
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def taken_body(self, limit: int) -> bytes:
        """The body, which has arrived. limit: bytes. Raises TooLong."""
        self._connection.read_on()  # who doesn't read does not hear that its caller left
        if len(self.body) > limit:
            raise TooLong
        return bytes(self.body)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer, which leaves with the others of this turn of the loop. To a caller who has left, nothing."""
        if (wait := self._connection.writable()) is not None:
            await wait
        if self._connection.gone:
            return
        head = self._head(status, headers, None if status in _NO_LENGTH else len(body))
        self._whole = head if self.head.verb == "HEAD" else head + body
        self._connection.write_soon(self._leave)

    async def large_answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer, piece by piece as its caller takes it: without a second copy, until all but the last of it is taken.
        To a caller who has left, nothing more."""
        if not await self._writable():
            return
        self._connection.transport.write(self._head(status, headers, len(body)))
        with memoryview(body) as whole:
            for start in range(0, len(whole), _PIECE):
                self._connection.transport.write(whole[start : start + _PIECE])
                if not await self._writable():
                    return
        self._end()

    async def _writable(self) -> bool:
        """Wait until more may be written; False where nobody is there to take it."""
        if (wait := self._connection.writable()) is not None:
            await wait
        return not self._connection.gone

    def _leave(self) -> None:
        whole, self._whole = self._whole, b""
        if not self._connection.transport.is_closing():
            self._connection.transport.write(whole)
            self._end()

    async def start(self, status: int, headers: Headers) -> None:
        """The head of an answer whose body comes in pieces."""
        if (wait := self._connection.writable()) is not None:
            await wait
        if not self._connection.gone:
            self._chunked = self._chunks
            self._connection.transport.write(self._head(status, headers, None))

    async def piece(self, data: bytes) -> None:
        """A piece of the body, sent at once. To a caller who has left, nothing."""
        if (wait := self._connection.writable()) is not None:
            await wait
        if data and not self._connection.gone:
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def abandon(self) -> None:
        """End the connection with what was not taken of the answer."""
        self._connection.transport.abort()

    def end(self) -> None:
        """The end of an answer in pieces."""
        if not self._connection.gone:
            if self._chunked:
                self._connection.transport.write(b"0\r\n\r\n")
            self._end()

    def _head(self, status: int, headers: Headers, length: int | None) -> bytes:
        lines = [b"%b: %b" % header for header in (*headers, *self.more_headers)]
        if length is not None:
            lines.append(b"content-length: %d" % length)
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked")
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        text = b"".join(lines)
        if _CR in text or _LF in text or 0 in text:
            raise ValueError("a header holds a line end or NUL")
        lines.append(b"\r\n")
        head = b"%b%b%b" % (_STATUS[status], self._connection.standing_headers(), b"\r\n".join(lines))
        self.started = True
        return head

    def _end(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._connection.close()
        self._connection.answered()
