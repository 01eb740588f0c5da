"""Chained records on disk: one append-only file, and a new one after anything went wrong with it. Blocks; for one thread.

A file that a write failed on is never touched again: what is behind its last whole line is unknown, and a line in the
middle of another would break the chain. The next file's first line names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from counterseal.audit import chain
from counterseal.clock import Clock
from counterseal.files import may

Fsync = Literal["none", "group"]
"""none: a line is durable once the operating system has it, so it outlives the process but not a power cut.
group: once the disk has it; lines that wait at the same time share one wait for the disk."""


class NotWritten(Exception):
    """whole: how many of the entries are in the file nevertheless. The text says why, without any path."""

    def __init__(self, why: str, whole: int) -> None:
        super().__init__(why)
        self.whole = whole


def create(path: Path) -> int:
    """A new file for its owner only. Raises OSError, also if there is one of this name."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


class ChainFiles:
    """Writes entries into `<UTC start>-<writer id>.jsonl` files of one folder.

    about: what the first line of each file says of the gateway. open_file: makes a file and returns its descriptor.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        *,
        clock: Clock,
        fsync: Fsync,
        open_file: Callable[[Path], int] = create,
    ) -> None:
        self._folder = folder
        self._about = about
        self._clock = clock
        self._fsync = fsync == "group"
        self._open_file = open_file
        self._descriptor: int | None = None
        self._before: str | None = None
        self._name = ""
        self._writer = ""
        self._seq = 0
        self._prev = chain.FIRST_PREV

    def append(self, entries: Iterable[tuple[float, bytes]]) -> None:
        """Write (time, encoded entry) pairs in one go. Without a file, or after a failure, opens a new one first.

        Raises NotWritten; entries that were not whole may be given again.
        """
        if self._descriptor is None:
            self._open()
        lines = [self._line(time, entry) for time, entry in entries]
        self._write(lines)

    def close(self) -> None:
        """Write the closing line, if there is a file to close. Raises NotWritten."""
        if self._descriptor is None:
            return
        now = self._clock.wall()
        self._write([chain.closing_line(seq=self._seq, time=now, writer=self._writer, prev=self._prev)])
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.close(descriptor)
        except OSError as error:  # some file systems report a failed write only here
            raise NotWritten(_why(error), 0) from None

    def _open(self) -> None:
        now = self._clock.wall()
        self._writer = secrets.token_hex(8)
        self._seq, self._prev = 0, chain.FIRST_PREV
        self._name = f"{chain.stamp(now).replace('-', '').replace(':', '')}-{self._writer}.jsonl"
        path = self._folder / self._name
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = self._open_file(path)
            if self._fsync:
                _sync_folder(self._folder)
        except OSError as error:
            self._drop()
            raise NotWritten(_why(error), 0) from None
        after = {} if self._before is None else {"after": self._before}
        try:
            self._write([self._line(now, chain.encode({"event": "open", **self._about, **after}))])
        except NotWritten as error:
            # Nothing was recorded in it, and on a full disk there would be one more each second.
            path.unlink(missing_ok=True)
            raise NotWritten(str(error), 0) from None
        self._before = self._name

    def _line(self, time: float, entry: bytes) -> bytes:
        text = chain.line(seq=self._seq, time=time, writer=self._writer, prev=self._prev, entry=entry)
        self._seq += 1
        self._prev = chain.digest(text)
        return text

    def _write(self, lines: list[bytes]) -> None:
        assert self._descriptor is not None
        if not lines:
            return
        text = memoryview(b"\n".join([*lines, b""]))
        written = 0
        try:
            while written < len(text):
                written += os.write(self._descriptor, text[written:])
            if self._fsync:
                os.fsync(self._descriptor)
            # The system writes on to a deleted file as if nothing were, and nobody can read it.
            if os.fstat(self._descriptor).st_nlink == 0:
                raise OSError(errno.ENOENT, "the file was deleted")
        except OSError as error:
            self._drop()
            # After a failed fsync nobody knows what the disk has. Nor is anything left of a file that was deleted.
            whole = bytes(text[:written]).count(b"\n") if written < len(text) else 0
            raise NotWritten(_why(error), whole) from None

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # it is given up because something failed already
                os.close(descriptor)


def why_not_in(folder: Path) -> str | None:
    """Why no file could be made in this folder, which is made where it is missing; None for no reason that can be seen without
    making one."""
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        return f"{there} is no folder"
    return None if may(there, os.W_OK | os.X_OK) else f"{there} cannot be written"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
