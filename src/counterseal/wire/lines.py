"""Lines of a stream, as MCP's stdio transport frames its messages: feed bytes, take lines.

A line ends with LF, and a CR before it is not part of it. Where a chunk of bytes ends must never matter. A line over the ceiling
is thrown away up to its end, so that what follows it is read as if it had not been there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_SHOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line that was thrown away. start: its first 4 KiB, to find out whose it was."""

    start: bytes = field(repr=False)


class Lines:
    """limit: bytes that one line may have, without its end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._start: bytes | None = None

    def feed(self, chunk: bytes) -> list[bytes | Overlong]:
        """The lines that this chunk ends; empty ones are left out."""
        *ended, rest = chunk.split(b"\n")
        found: list[bytes | Overlong] = []
        for part in ended:
            if not part and not self._size:
                continue  # a program that prints nothing but line ends must not cost much
            self._add(part)
            if (line := self._line()) != b"":
                found.append(line)
        self._add(rest)
        return found

    def _add(self, part: bytes) -> None:
        if not part:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._limit + 1:  # a CR may still turn out to be its end
            if self._start is None:
                self._start = b"".join(self._parts)[:_SHOWN]
            self._parts.clear()

    def _line(self) -> bytes | Overlong:
        start, line = self._start, b"".join(self._parts)
        self._parts, self._size, self._start = [], 0, None
        if start is not None:
            return Overlong(start)
        line = line.removesuffix(b"\r")
        return Overlong(line[:_SHOWN]) if len(line) > self._limit else line
