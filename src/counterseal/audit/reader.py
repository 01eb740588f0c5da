"""Reading what the sinks wrote: the last records of a folder in order of time, what is added to it, and its chains.

A folder may be written to meanwhile, so a last line without its line end is left for later.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from counterseal.audit import chain

_BLOCK: Final = 64 * 1024


def files(folder: Path) -> list[Path]:
    """The folder's files of records, oldest first. Raises OSError where there is no such folder."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")


@dataclass(frozen=True, slots=True)
class FolderReport:
    """The report of each file, and how many intents have no outcome in any of them."""

    files: tuple[tuple[Path, chain.Report], ...]
    unfinished: int

    @property
    def broken(self) -> bool:
        return any(report.state == "broken" for _, report in self.files)


def verify(folder: Path) -> FolderReport:
    """Check every chain of a folder. Raises OSError."""
    reports = []
    intents: set[str] = set()
    outcomes: set[str] = set()
    for path in files(folder):
        with path.open("rb") as file:
            report = chain.verify_lines(file)
        reports.append((path, report))
        intents |= report.intents
        outcomes |= report.outcomes
    return FolderReport(tuple(reports), len(intents - outcomes))


class Tail:
    """The end of a folder's records, and then what comes after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_to: dict[Path, int] = {}

    def last(self, count: int) -> list[dict[str, Any]]:
        """The last records of all files together, in order of time. Raises OSError."""
        records: list[dict[str, Any]] = []
        for path in files(self._folder):
            with path.open("rb") as file:
                end = _end_of_lines(file)
                self._read_to[path] = end
                records.extend(_record(path, line) for line in reversed(list(_lines_backward(file, end, count))))
        records.sort(key=_when)
        return records[-count:] if count else []

    def more(self) -> list[dict[str, Any]]:
        """What was added since the last answer, in order of time. Raises OSError."""
        records: list[dict[str, Any]] = []
        for path in files(self._folder):
            start = self._read_to.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            self._read_to[path] = start + len(whole)
            records.extend(_record(path, line) for line in whole.splitlines())
        records.sort(key=_when)
        return records


def _end_of_lines(file: BinaryIO) -> int:
    """Where the last whole line ends."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _lines_backward(file: BinaryIO, end: int, count: int) -> Iterator[bytes]:
    """At most `count` lines before `end`, the last one first."""
    rest = b""
    at = end
    while at > 0 and count > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        lines = io.BytesIO(file.read(at - start) + rest).readlines()
        # The first may have begun in the block before.
        rest = b"" if start == 0 else lines.pop(0)
        at = start
        for line in reversed(lines):
            if count == 0:
                return
            count -= 1
            yield line


def _record(path: Path, line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {"event": "unreadable", "detail": path.name}


def _when(record: dict[str, Any]) -> tuple[str, str, int]:
    """Lines of one writer stay in their order even where its clock stepped within a microsecond."""
    seq = record.get("seq")
    return str(record.get("time", "")), str(record.get("writer", "")), seq if isinstance(seq, int) else 0
