"""Server-sent events (WHATWG HTML section 9.2): feed bytes, take events, write them anew.

Events are parsed and written again rather than copied, so that framing is decided once: by CR, LF and CRLF, and by nothing
in the data (M-25). Where a chunk of bytes ends must never matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_IDLE: Final = re.compile(rb"(?:[\r\n]+|:[^\r\n]*[\r\n])+")
"""Whole lines that say nothing: empty ones and comments."""

KEEP_ALIVE = b":\n\n"
"""A comment. It keeps proxies from closing a quiet stream."""


class EventTooLarge(ValueError):
    """One event is longer than the ceiling."""


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event. None: the field was not sent. data: lines joined by LF; None where there was no data at all.

    id and retry are passed on as they came: they belong to the client's resumption, not to us.
    """

    data: bytes | None = None
    event: bytes | None = None
    id: bytes | None = None
    retry: bytes | None = None

    def write(self) -> bytes:
        """The event as bytes, ended by an empty line."""
        lines = []
        if self.event is not None:
            lines.append(b"event: " + self.event)
        if self.id is not None:
            lines.append(b"id: " + self.id)
        if self.retry is not None:
            lines.append(b"retry: " + self.retry)
        if self.data is not None:
            # A bare CR ends a line as well, and JSON may hold one as white space (M-25).
            data = self.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            lines.extend(b"data: " + line for line in data.split(b"\n"))
        return b"\n".join(lines) + b"\n\n"


class Reader:
    """Turns chunks into events. limit: bytes that one event may take."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._scanned = 0
        self._lf = -1
        self._after_cr = False
        self._first = True
        self._fields: dict[bytes, bytes] = {}
        self._data: list[bytes] = []
        self._size = 0
        self.comments = 0
        """Comments seen so far, those in a row as one: a server's own keep-alive."""
        self.lines = 0
        """Lines read so far, those that say nothing in a row as one."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes. Raises EventTooLarge."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._after_cr = True
        self._tail += chunk
        if self._size + len(self._tail) > self._limit and b"\n" not in chunk and b"\r" not in chunk:
            raise EventTooLarge(f"an event is longer than {self._limit} bytes")
        events: list[Event] = []
        start = 0
        self._lf = -1
        while (end := self._line_end(start)) is not None:
            self.lines += 1
            if not (self._first or self._data or self._fields) and self._tail[start] in b"\r\n:":
                start = self._skip(start)
                continue
            line = bytes(self._tail[start : end[0]])
            start = end[1]
            self._size += len(line)
            if self._size > self._limit:
                raise EventTooLarge(f"an event is longer than {self._limit} bytes")
            if self._first:
                line = line.removeprefix(b"\xef\xbb\xbf")
                self._first = False
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        del self._tail[:start]
        self._scanned = len(self._tail)
        if self._size + len(self._tail) > self._limit:
            raise EventTooLarge(f"an event is longer than {self._limit} bytes")
        return events

    def _skip(self, start: int) -> int:
        """Where lines that say nothing end, of which one begins here and is whole: millions of them cost what one does (M-24)."""
        found = _IDLE.match(self._tail, start)
        assert found is not None
        self.comments += b":" in found[0]
        self._size = 0
        return found.end()

    def _line_end(self, start: int) -> tuple[int, int] | None:
        """Where the next line ends and the one after it begins. What was searched once is not searched again."""
        begin = max(start, self._scanned)
        size = len(self._tail)
        if self._lf < begin:
            lf = self._tail.find(b"\n", begin)
            self._lf = lf if lf >= 0 else size
        cr = self._tail.find(b"\r", begin, self._lf)
        if cr >= 0:
            return cr, cr + (2 if self._tail[cr + 1 : cr + 2] == b"\n" else 1)
        return (self._lf, self._lf + 1) if self._lf < size else None

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if not name:
            self.comments += 1
            return
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event" or (name == b"id" and b"\0" not in value) or (name == b"retry" and value.isdigit()):
            self._fields[name] = value

    def _dispatch(self) -> Event | None:
        fields, data = self._fields, self._data
        self._fields, self._data, self._size = {}, [], 0
        kind = fields.pop(b"event", None) or None  # an empty type is `message`, like none at all
        if kind is None and not fields and not data:
            return None
        return Event(
            data=b"\n".join(data) if data else None,
            event=kind,
            id=fields.get(b"id"),
            retry=fields.get(b"retry"),
        )
