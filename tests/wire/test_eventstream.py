"""Server-sent events: framing is decided by CR, LF and CRLF alone, and never by where a chunk ends (M-25)."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterseal.wire.eventstream import KEEP_ALIVE, Event, EventTooLarge, Reader

PROPERTY: Final = settings(max_examples=200, deadline=None)
PLENTY: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"


def events(*chunks: bytes, limit: int = PLENTY) -> list[Event]:
    reader = Reader(limit)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(places)]


# Pieces that streams are made of: all that framing, fields and comments could be confused by.
_piece = st.one_of(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"\r\n\r\n", b":", b" ", b"\0", BOM]),
    st.sampled_from(
        [b"data: ", b"data:", b"data", b"event: ", b"id: ", b"id", b"retry: ", b": comment", b"Data: ", b"x: "]
    ),
    st.sampled_from(
        ["\u2028".encode(), "\u2029".encode(), "\u0085".encode(), b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xff"]
    ),
    st.sampled_from([b"message", b"42", b"{}", b'{"a": 1}']),
)
_streams = st.one_of(st.lists(_piece, max_size=25).map(b"".join), st.binary(max_size=60))
_cuts = st.lists(st.integers(0, 200), max_size=12)


@PROPERTY
@given(_streams, _cuts)
@example(b"data: a\r\n\r\n", [8])
@example(b"\r\n\r\n", [1, 2, 3])
def test_where_a_chunk_ends_never_matters(stream: bytes, cuts: list[int]) -> None:
    """M-25."""
    whole = events(stream)
    assert events(*split(stream, cuts)) == whole
    assert events(*(bytes([byte]) for byte in stream)) == whole
    assert events(b"", *split(stream, cuts), b"") == whole


def _verdict(limit: int, *chunks: bytes) -> list[Event] | None:
    try:
        return events(*chunks, limit=limit)
    except EventTooLarge:
        return None


@PROPERTY
@given(_streams, _cuts, st.integers(0, 40))
@example(BOM + b"\n", [1], 0)
def test_where_a_chunk_ends_never_decides_whether_an_event_is_too_long(
    stream: bytes, cuts: list[int], limit: int
) -> None:
    """M-24, M-25: not where a BOM or a comment takes a part of the ceiling either."""
    whole = _verdict(limit, stream)
    assert _verdict(limit, *split(stream, cuts)) == whole
    assert _verdict(limit, *(bytes([byte]) for byte in stream)) == whole


@PROPERTY
@given(_streams)
def test_what_is_written_is_read_back_as_it_was(stream: bytes) -> None:
    """M-25: write(parse(x)) means what x means."""
    read = events(stream)
    written = b"".join(event.write() for event in read)
    assert events(written) == read
    assert events(written.replace(b"\n", b"\r\n")) == read
    assert events(written.replace(b"\n", b"\r")) == read


_value = st.binary(max_size=20).filter(lambda value: not {10, 13} & set(value))


@PROPERTY
@given(st.binary(max_size=40), st.none() | _value, st.none() | _value.filter(lambda value: 0 not in value))
@example(b"a\rdata: forged", None, None)
@example(b"a\r\n\r\ndata: forged", None, None)
@example(b"\r", b"", None)
def test_no_data_can_write_a_second_event_or_field(data: bytes, kind: bytes | None, id: bytes | None) -> None:
    """M-25: line ends in data become line ends of the same data, whichever they are."""
    read = events(Event(data, kind, id).write(), b"data: next\n\n")
    assert read == [Event(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), kind or None, id), Event(b"next")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_of_the_standard_ends_lines(end: bytes) -> None:
    """M-25: bare CR too."""
    lines = [b"event: message", b"id: 7", b"retry: 50", b"data: a", b"data: b", b"", b"data: c", b"", b""]
    assert events(end.join(lines)) == [Event(b"a\nb", b"message", b"7", b"50"), Event(b"c")]


@pytest.mark.parametrize("text", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\0", "\ufeff"])
def test_nothing_else_ends_a_line(text: str) -> None:
    """M-25."""
    data = f'{{"a": "x{text}data: y{text}{text}z"}}'.encode()
    assert events(b"data: " + data + b"\n\n") == [Event(data)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"\n\n\n", []),
        (b"data:a\n\n", [Event(b"a")]),
        (b"data: a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),
        (b"data:\ta\n\n", [Event(b"\ta")]),
        (b"data\n\n", [Event(b"")]),
        (b"data:\n\n", [Event(b"")]),
        (b"data\ndata\n\n", [Event(b"\n")]),
        (b"data: a:b\n\n", [Event(b"a:b")]),
        (b" data: a\n\n", []),
        (b"DATA: a\n\n", []),
        (b"data : a\n\n", []),
        (b"other: a\n\n", []),
        (b"id: 1\n\n", [Event(id=b"1")]),
        (b"id\n\n", [Event(id=b"")]),
        (b"id: a\0b\n\n", []),
        (b"id: 1\nid: a\0b\ndata: c\n\n", [Event(b"c", id=b"1")]),
        (b"retry: 10\n\n", [Event(retry=b"10")]),
        (b"retry: 1.5\nretry: -1\nretry: 1 \nretry:\nretry: \xd9\xa5\n\n", []),
        (b"event: a\nevent: b\ndata: c\n\n", [Event(b"c", b"b")]),
        (b"event\ndata: c\n\n", [Event(b"c")]),
        (b"event: a\nevent:\ndata: c\n\n", [Event(b"c")]),
        (b"event:\n\n", []),
        (BOM + b"data: a\n\n", [Event(b"a")]),
        (BOM + BOM + b"data: a\n\n", []),
        (b"\n" + BOM + b"data: a\n\n", []),
        (b"data: a\n\n" + BOM + b"data: b\n\n", [Event(b"a")]),
    ],
)
def test_fields_are_read_as_the_standard_says(stream: bytes, expected: list[Event]) -> None:
    """WHATWG HTML 9.2.6; an event of an id or a delay alone is kept, because it is for the client's resumption."""
    assert events(stream) == expected


def test_comments_are_counted_and_leave_nothing_behind() -> None:
    reader = Reader(PLENTY)
    assert reader.feed(b": ping\n\n:\r\n\r\ndata: a\n: b\ndata: c\n\n") == [Event(b"a\nc")]
    assert reader.comments == 3
    assert events(KEEP_ALIVE * 3) == []


# ---- ceilings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_may_take_as_many_bytes_as_the_ceiling_and_no_more(end: bytes, size: int) -> None:
    """M-24 at n and n + 1: the lines of the event without their ends."""
    lines = [b"event: message", b"data: " + b"x" * 50, b": comment", b"data: y"]
    stream = end.join([*lines, b"", b""])
    n = sum(map(len, lines))
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert events(*chunks, limit=n) == [Event(b"x" * 50 + b"\ny", b"message")]
    with pytest.raises(EventTooLarge, match=f"longer than {n - 1} bytes"):
        events(*chunks, limit=n - 1)


def test_the_ceiling_is_for_each_event_and_not_for_the_stream() -> None:
    assert len(events(b"data: 12345\n\n" * 1000, limit=11)) == 1000


def test_a_line_that_never_ends_is_refused_before_it_is_kept() -> None:
    """M-24."""
    reader = Reader(1000)
    with pytest.raises(EventTooLarge):
        for _ in range(1000):
            reader.feed(b"x" * 100)


def test_lines_that_dispatch_nothing_cannot_pile_up() -> None:
    """M-24: data without an end."""
    for line in (b"data: x\n", b"x\n", b"id: 1\n"):
        reader = Reader(1000)
        with pytest.raises(EventTooLarge):
            for _ in range(10_000):
                reader.feed(line)


@pytest.mark.parametrize("line", [b": x\n", b":\r\n", b"\n", b"\r", b"\r\n: x\r"])
def test_lines_that_say_nothing_are_not_kept_and_millions_cost_what_one_does(line: bytes) -> None:
    """M-24: nobody else is answered while they are read."""
    reader = Reader(1000)
    many = line * 300_000
    began = time.process_time()
    for start in range(0, len(many), 32 * 1024):
        assert reader.feed(many[start : start + 32 * 1024]) == []
    took = time.process_time() - began
    assert reader.lines < 1000
    assert (reader.comments > 0) == (b":" in line)
    began = time.process_time()
    Reader(1 << 30).feed(b"x\n" * 300_000)
    assert took < (time.process_time() - began) / 2
    assert reader.feed(b"\ndata: a\n: b\n\n\ndata: c\n\n") == [Event(b"a"), Event(b"c")]


def _seconds(chunks: Any) -> float:
    reader = Reader(64 << 20)
    started = time.process_time()
    for chunk in chunks:
        reader.feed(chunk)
    return time.process_time() - started


def test_time_grows_with_the_bytes_and_not_with_their_square() -> None:
    """M-24: many tiny lines in one chunk, with every line end, and one long line in many chunks."""
    for end in (b"\r", b"\n", b"\r\n"):
        small = _seconds([end * 20_000])
        assert _seconds([end * 160_000]) < 30 * small + 0.1
    small = _seconds([b"x" * 100] * 5_000)
    assert _seconds([b"x" * 100] * 40_000) < 30 * small + 0.1
