"""HTTP/1.1 with ceilings: the server's own parser, plus what it leaves out.

llhttp (through httptools) refuses request smuggling, but keeps any number of header bytes for any length of time. Here a
header block over the ceiling is answered with 431, and one that does not end in time closes the connection, as does an answer
that its caller does not take (H-08, H-09). It also takes more than HTTP/1.1 as MCP uses it: other versions, other
transfer codings than `chunked`, and targets that are not a path; those are 400 (H-01, H-04, H-16).

A request to `/mcp` becomes an Exchange as soon as its head is here; every other address is served by way of ASGI.

Clients send the same head again and again. One that is, byte for byte, what the parser took before it on this connection means
what that meant, and is not parsed again; only the digits of its Content-Length may be others (docs/decisions/0031).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from counterseal.core.limits import LIMITS
from counterseal.web.exchange import Address, Exchange, Head

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: 36\r\n\r\nthe header block is over the ceiling"
)

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_LENGTH_DIGITS: Final = 32
"""A length with more of them is one with zeros in front, which nobody writes and not every reader counts alike (H-01)."""
_READ_AHEAD: Final = 64 * 1024
"""Bytes of a body that are taken from the socket before somebody asks for them."""


class _NotTaken(Exception):
    """Out of a callback of the parser: the answer is 400, and the connection ends."""


class _Known(NamedTuple):
    """The head of a call that came whole in one piece. before, digits, after: its bytes, parted by its Content-Length.
    size: how many they are."""

    before: bytes
    digits: bytes
    after: bytes
    size: int
    head: Head

    def of(self, data: bytes) -> Head | None:
        """The head of this call, if it is one whole call with this head and nothing else."""
        start = len(self.before)
        end = start + len(self.digits)
        if not (data.startswith(self.before) and data.startswith(self.after, end)):
            return None
        digits = data[start:end]
        if not digits.isdigit() or int(digits) != len(data) - self.size:
            return None
        return self.head if digits == self.digits else self.head.resized(digits)


_MOST_AFTER_HEAD = 2 * LIMITS.body_bytes + 1024 * 1024


class CeilingProtocol(HttpToolsProtocol):
    """One connection, held to the ceilings of core.limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._unfinished = 0
        self._after_head = 0
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._kept: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._left: Callable[[], object] | None = None
        self.gone = False
        self.local: Address = ("", None)
        self.peer = ""
        self._standing: tuple[object, bytes] = (None, b"")
        self._between = True
        self._without_offer: bytes | None = None
        self._known: _Known | None = None

    # ---- what an exchange asks of its connection ----

    def standing_headers(self) -> bytes:
        headers = self.server_state.default_headers
        if headers is not self._standing[0]:
            self._standing = (headers, b"".join(b"%b: %b\r\n" % header for header in headers))
        return self._standing[1]

    def when_left(self, callback: Callable[[], object] | None) -> None:
        self._left = callback
        if self.gone and callback is not None:
            callback()

    def read_on(self) -> None:
        self.flow.resume_reading()

    def writable(self) -> Awaitable[object] | None:
        return self.flow.drain() if self.flow.write_paused else None

    def write_soon(self, write: Callable[[], object]) -> None:
        self.app.outbox.put(self.loop, write)

    def answered(self) -> None:
        self.on_response_complete()

    def close(self) -> None:
        """End the connection as soon as its caller has taken what was written, or has not in time."""
        self.transport.close()
        self._wait_for_reader()

    def on_response_complete(self) -> None:
        """As the server's own, with one timer for all the idle times of a connection instead of one each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._wait_for_reader()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._kept is None:
            self._kept = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _look_idle(self) -> None:
        self._kept = None
        if self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            return  # a request is in hand, and its end begins a new idle time
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._kept = self.loop.call_later(left, self._look_idle)
        else:
            self.close()

    # ---- what the transport says ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.local = self.server or ("", None)
        self.peer = self.client[0] if self.client else ""
        self._deadline = self.loop.call_later(LIMITS.header_seconds, self.close)

    def eof_received(self) -> None:
        self.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        # A connection that is closing ends with its last byte, and until then may hang at any of them.
        if not self.transport.is_closing():
            self._stop_waiting_for_reader()
        super().resume_writing()

    def _wait_for_reader(self) -> None:
        size = self.transport.get_write_buffer_size()
        if size and self._untaken is None and not self.gone:
            self._untaken = self.loop.call_later(LIMITS.body_seconds, self._look_at_reader, size)

    def _look_at_reader(self, before: int) -> None:
        """A caller who takes nothing of its answer for as long as it may take to send a body has left."""
        self._untaken = None
        if self.transport.get_write_buffer_size() < before:
            self._wait_for_reader()
        else:
            self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_waiting_for_reader()
        if self._kept is not None:
            self._kept.cancel()
        self.gone = True
        super().connection_lost(exc)
        # An exchange knows its connection: without this circle both go when the call is over, and wait for no collector.
        self.cycle = None  # type: ignore[assignment]
        self._known = None
        if self._left is not None:
            self._left()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._known is not None:
            head = self._known.of(data)
            if head is not None and self.cycle.response_complete:
                self._again(head, data[self._known.size :])
                return
            self._known = None
        before, between = self.cycle, self._between
        try:
            self._parse(data)
        except HttpParserError:
            self.app.unread.note(self.loop, self.peer)
            self.send_400_response("Invalid HTTP request received.")
            return
        if self.transport.is_closing():
            return  # it was refused
        if not self._in_head:
            if between and self._between and self.cycle is not before:
                self._know(data)
            # What follows a head is a body in its framing, and framing is no way around the ceiling for bodies either.
            self._after_head += len(data)
            if self._after_head > _MOST_AFTER_HEAD:
                self._refused = True
                self.close()
            return
        # A header line is reported only once it ended, so what has no end yet is counted here; roughly, because the end of
        # another request may be in the same bytes.
        self._unfinished += len(data)
        if self._unfinished > 2 * LIMITS.header_bytes:
            self._refuse()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(LIMITS.header_seconds, self.close)

    def _parse(self, data: bytes) -> None:
        """Raises HttpParserError for what is not taken."""
        while True:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as stopped:
                # For another protocol to go on behind the head. None does, so the same head is read without the offer (RFC 9110
                # section 7.8), and what follows it is framed as it says (H-01).
                head, self._without_offer = self._without_offer, None
                if head is None:
                    raise HttpParserError("the parser stopped where nothing was offered") from None
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                data = head + data[stopped.args[0] :]
            else:
                return

    def _know(self, data: bytes) -> None:
        """Remember the head of what was one whole call, in one piece: the parser is now where it was before it."""
        exchange: Any = self.cycle
        head, end, body = data.partition(_END_OF_HEAD)
        length = _LENGTH.search(head + end)
        if (
            not isinstance(exchange, Exchange)
            or length is None
            or not int(length[1]) == len(body) == len(exchange.body)
        ):
            return
        if exchange.head.verb == "POST" and exchange.keep_alive and not self.expect_100_continue:
            start, stop = length.span(1)
            size = len(head) + len(end)
            self._known = _Known(head[:start], length[1], head[stop:] + end, size, exchange.head)

    def _again(self, head: Head, body: bytes) -> None:
        """Another call with a known head, which was held to every ceiling for heads when it was parsed."""
        exchange: Any = Exchange(self, self.app.mcp, head, keep_alive=True, expects_continue=False)
        exchange.body, exchange.more_body = body, False
        self._after_head = len(body)
        self.cycle = exchange
        self._start_asgi_task(exchange, self.app)

    # ---- what the parser says ----

    def on_message_begin(self) -> None:
        self._in_head = True
        self._between = False
        self._unfinished = self._after_head = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise _NotTaken  # a trailer: it came after the headers were decided on, and must not pass for one (H-02)
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        url, parser = self.url, self.parser
        version = parser.get_http_version()
        if self._head_is_over():
            self._refuse()
            raise _NotTaken  # so that nothing behind it is read
        if url[:1] != b"/" or b"#" in url or version not in ("1.1", "1.0"):
            raise _NotTaken
        if len(self.pipeline) >= LIMITS.waiting_request_count:
            raise _NotTaken  # a piece of the stream holds thousands of heads, each of which costs far more than its bytes
        if parser.should_upgrade():
            self._offered(parser.get_method(), url, version)
            return
        self._in_head = False
        if self.app.mcp.answers(url):
            self._exchange(url, version)
        else:
            self._begin_asgi(url)

    def _offered(self, verb: bytes, url: bytes, version: str) -> None:
        """Another protocol, as Java's own client offers one with every request that is not encrypted."""
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        if len(lines) == len(self.headers):
            raise _NotTaken  # CONNECT, which stops the parser without an offer
        self._without_offer = b"%b %b HTTP/%b\r\n%b\r\n" % (verb, url, version.encode(), b"".join(lines))

    def _head_is_over(self) -> bool:
        """Whether the head is over a ceiling. Looks at what else is in it on the way. Raises _NotTaken."""
        headers = self.headers
        size = len(self.url)
        for name, value in headers:
            length = len(value)
            size += len(name) + length + 4
            if length > LIMITS.header_value_bytes:
                return True
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise _NotTaken
            if length > _LENGTH_DIGITS and name == b"content-length":
                raise _NotTaken
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        return size > LIMITS.header_bytes or len(headers) > LIMITS.header_count

    def _exchange(self, url: bytes, version: str) -> None:
        new = version == "1.1"
        # Typed as what it stands in for: the server asks of a cycle what an exchange has.
        exchange: Any = Exchange(
            self,
            self.app.mcp,
            Head(self.parser.get_method().decode("ascii"), url.partition(b"?")[0], tuple(self.headers)),
            keep_alive=new and self.parser.should_keep_alive(),
            expects_continue=new and self.expect_100_continue,
            chunks=new,
        )
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _begin_asgi(self, url: bytes) -> None:
        headers, expects = self.headers, self.expect_100_continue
        super().on_message_begin()  # it makes the scope, and forgets the head
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if self._refused or cycle.response_complete:
            return
        # The first piece is nearly always the whole, and is kept as it is.
        if cycle.body:
            cycle.body = bytearray(cycle.body) if isinstance(cycle.body, bytes) else cycle.body
            cycle.body += body
        else:
            cycle.body = body
        if len(cycle.body) > _READ_AHEAD:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._without_offer is not None:
            return  # it is yet to be read
        self._between = True
        cycle: Any = self.cycle
        if not self._refused and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # ---- what is no request ----

    def send_400_response(self, msg: str) -> None:
        """To what the parser does not take, unless it was refused already."""
        if self._refused:
            return
        self._refused = True
        if self._is_next():
            super().send_400_response(msg)
        self.close()

    def _refuse(self) -> None:
        self._refused = True
        if self._is_next() and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self.close()

    def _is_next(self) -> bool:
        """Whether what is written now is read as the answer to what is being read: each request before it has its answer, and it
        has none. Else the connection ends without a word, lest a call that was made passes for one that was refused."""
        cycle = self.cycle
        return not self.pipeline and (cycle is None or cycle.response_complete == (self._in_head or self._between))
