"""HTTP/1.1 with ceilings: the server's own parser, plus what it leaves out.

llhttp (through httptools) refuses request smuggling, but keeps any number of header bytes for any length of time. Here a
header block over the ceiling is answered with 431, and one that does not end in time closes the connection, as does an answer
that its caller does not take (threats.md H-08, H-09). It also takes more than HTTP/1.1 as MCP uses it: other versions, other
transfer codings than `chunked`, and targets that are not a path; those are 400 (H-01, H-04, H-16).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from counterseal.core.limits import LIMITS

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: 36\r\n\r\nthe header block is over the ceiling"
)

_CODING = b"transfer-encoding"
_CODING_LENGTH = len(_CODING)

LEFT = "counterseal.left"
"""The ASGI extension by which a request hears at once, and without a task of its own, that its caller has left, and whether all
of it has arrived."""


class _NotTaken(Exception):
    """Out of a callback of the parser: the answer is 400, and the connection ends."""


_MOST_AFTER_HEAD = 2 * LIMITS.body_bytes + 1024 * 1024


class CeilingProtocol(HttpToolsProtocol):
    """One connection, held to the ceilings of core.limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._unfinished = 0
        self._after_head = 0
        self._size = 0
        self._count = 0
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._left: Callable[[], object] | None = None
        self._gone = False

    def when_left(self, callback: Callable[[], object] | None) -> None:
        """Call this when the connection ends, at once if it has; None: no more. The request in hand finds it in its scope,
        under LEFT."""
        self._left = callback
        if self._gone and callback is not None:
            callback()

    def arrived(self) -> bool:
        """Whether the body of the request in hand is here to its end, so that nobody need wait for it."""
        return not self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(LIMITS.header_seconds, transport.close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _wait_for_reader(self, size: int) -> None:
        self._untaken = self.loop.call_later(LIMITS.body_seconds, self._look_at_reader, size)

    def _look_at_reader(self, before: int) -> None:
        """A caller who takes nothing of its answer for as long as it may take to send a body has left."""
        size = self.transport.get_write_buffer_size()
        if size < before:
            self._wait_for_reader(size)
        else:
            self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)
        self._gone = True
        if self._left is not None:
            self._left()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if not self._in_head:
            # What follows a head is a body in its framing, and framing is no way around the ceiling for bodies either.
            self._after_head += len(data)
            if self._after_head > _MOST_AFTER_HEAD:
                self._refused = True
                self.transport.close()
            return
        # A header line is reported only once it ended, so what has no end yet is counted here; roughly, because the end of
        # another request may be in the same bytes.
        self._unfinished += len(data)
        if self._unfinished > 2 * LIMITS.header_bytes:
            self._refuse()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(LIMITS.header_seconds, self.transport.close)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._unfinished = self._size = self._count = self._after_head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise _NotTaken  # a trailer: it came after the headers were decided on, and must not pass for one (threats.md H-02)
        self._count += 1
        self._size += len(name) + len(value) + 4
        if len(value) > LIMITS.header_value_bytes:
            self._size = LIMITS.header_bytes + 1
        if len(name) == _CODING_LENGTH and name.lower() == _CODING and value.lower() != b"chunked":
            raise _NotTaken
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        if self._size > LIMITS.header_bytes or self._count > LIMITS.header_count:
            self._refuse()
        elif self.url[:1] != b"/" or b"#" in self.url or self.parser.get_http_version() not in ("1.1", "1.0"):
            raise _NotTaken
        elif self.parser.should_upgrade():
            raise _NotTaken  # the parser stops here, so that the body would be read as the next request (H-01)
        else:
            self.scope["extensions"] = {LEFT: {"when_left": self.when_left, "arrived": self.arrived}}
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
