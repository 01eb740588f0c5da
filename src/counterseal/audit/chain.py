"""The form of a file of records, and the check that nothing in it was changed. Pure: text in, text out.

* One record is one line of JSON in printable ASCII: every control and non-ASCII character is escaped, so no name or claim
  can forge a line, colour a terminal or turn the reading direction (U-05).
* Each line starts with `v` (1), `seq` (from 0), `time` (UTC), `writer` (the same in the whole file) and `prev`: the
  SHA-256 of the line before, without its line end; 64 zeros in the first line.
* The first line is the event `open`. A clean end is the event `close`, whose `sum` is the SHA-256 of its own line up to
  there, because no later line vouches for it.

What this shows: a line that was edited, taken out, put in or moved. What it cannot show: that lines at the end of a file
without `close` were cut off or its very last line was edited, or that somebody wrote the whole rest of a file anew. That
takes checkpoints that are signed and kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from counterseal.core import strict_json

VERSION: Final = 1
FIRST_PREV: Final = "0" * 64

_encode = msgspec.json.Encoder().encode
_TO_ESCAPE: Final = re.compile("[\x7f-\U0010ffff]")
_decoder: Final = json.JSONDecoder()
_DEL: Final = 0x7F
_SUM_LENGTH: Final = len(',"sum":""}') + 64


def encode(entry: Mapping[str, Any]) -> bytes:
    """The JSON object of an entry in printable ASCII. Raises ValueError for an empty one or one that JSON cannot hold."""
    try:
        text = _encode(entry)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the entry has no JSON form: {error}") from None
    if len(text) < len('{"":0}'):
        raise ValueError("the entry is empty")
    if text.isascii() and _DEL not in text:
        return text
    # msgspec escapes C0 controls itself. What is left can only stand inside strings, where escapes mean the same.
    return _TO_ESCAPE.sub(_escaped, text.decode()).encode("ascii")


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def stamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with microseconds; such texts sort by time."""
    second = int(seconds // 1)
    return f"{_second(second)}.{int((seconds - second) * 1_000_000):06d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    """Formatting is a third of what a line costs, and thousands of lines share a second."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def line(*, seq: int, time: float, writer: str, prev: str, entry: bytes) -> bytes:
    """One line without its end. entry: as `encode` made it; its members must have other names than the chain's five and `sum`."""
    head = f'{{"v":{VERSION},"seq":{seq},"time":"{stamp(time)}","writer":"{writer}","prev":"{prev}",'
    return head.encode() + entry[1:]


def closing_line(*, seq: int, time: float, writer: str, prev: str) -> bytes:
    """The line of a clean end, which vouches for itself."""
    body = line(seq=seq, time=time, writer=writer, prev=prev, entry=b'{"event":"close"}')[:-1]
    return _with_sum(body)


def _with_sum(body: bytes) -> bytes:
    return body + b',"sum":"' + digest(body).encode() + b'"}'


def digest(line: bytes) -> str:
    """What the next line's `prev` says of this one."""
    return hashlib.sha256(line).hexdigest()


State = Literal["closed", "open", "torn", "broken"]
"""closed: whole, with a clean end. open: whole as far as it goes; it is being written or its writer was killed.
torn: like open, and the last line was not written to its end. broken: changed afterwards."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one file looks like. lines: how many are whole and in their chain.

    line, problem: where a broken file breaks, counted from 1, and how; else None.
    intents: records with an intent and no outcome in this file. outcomes: the other way round (a writer that had to go on
    in a new file puts the outcome there).
    """

    state: State
    lines: int
    line: int | None = None
    problem: str | None = None
    intents: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()


def verify_lines(lines: Iterable[bytes]) -> Report:
    """Check one file, given as its lines with their line ends."""
    prev, writer = FIRST_PREV, None
    state: State = "open"
    intents: set[str] = set()
    outcomes: set[str] = set()
    count = 0
    for text in lines:
        if state == "closed":
            return Report("broken", count, count + 1, "there is something after the closing line")
        if not text.endswith(b"\n"):
            if _is_torn(text, count):
                state = "torn"
                break
            return Report("broken", count, count + 1, "the line end is missing or was changed")
        try:
            record = _read(text[:-1])
        except ValueError as error:
            return Report("broken", count, count + 1, str(error))
        if count == 0:
            writer = record.get("writer")
            problem = None if record.get("event") == "open" else "the first line is not the one that opens a file"
        else:
            problem = None if record.get("writer") == writer else "the line is of another writer"
        if record.get("seq") != count:
            problem = f"record {count} should be here, not {record.get('seq')}: lines were taken out, put in or moved"
        elif record.get("prev") != prev:
            problem = "the line does not follow the one before: one of the two was changed"
        if problem is not None:
            return Report("broken", count, count + 1, problem)
        if record.get("event") == "close" or "sum" in record:
            if text[:-1] != _with_sum(text[: -1 - _SUM_LENGTH]):
                return Report("broken", count, count + 1, "the closing line was changed")
            state = "closed"
        _pair(record, intents, outcomes)
        prev = digest(text[:-1])
        count += 1
    return Report(state, count, intents=frozenset(intents), outcomes=frozenset(outcomes))


def _read(text: bytes) -> dict[str, Any]:
    try:
        record = strict_json.read(text, depth=64, members=100_000)
    except (strict_json.NotStrict, strict_json.TooBig):
        raise ValueError("the line is not one JSON object") from None
    if not isinstance(record, dict):
        raise ValueError("the line is not one JSON object")
    if record.get("v") != VERSION:
        raise ValueError(f"the line is not of version {VERSION}")
    return record


def _is_torn(text: bytes, seq: int) -> bool:
    """Whether a last line without its end is what an interrupted write leaves: the beginning of the next line."""
    start = f'{{"v":{VERSION},"seq":{seq},'.encode()
    if not text.startswith(start[: len(text)]):
        return False
    try:
        record, end = _decoder.raw_decode(text.decode("ascii", "replace"))
    except (ValueError, RecursionError):
        return True
    # A whole object without its line end may be torn too, unless it closes the file or has something else behind it.
    return end == len(text) and "sum" not in record


def _pair(record: Mapping[str, Any], intents: set[str], outcomes: set[str]) -> None:
    id = record.get("record")
    if not isinstance(id, str):
        return
    if record.get("event") in ("intent", "gather"):
        intents.add(id)
    elif record.get("event") == "outcome":
        if id in intents:
            intents.remove(id)
        else:
            outcomes.add(id)
