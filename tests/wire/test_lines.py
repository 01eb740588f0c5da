"""Lines: framing that no chunk boundary changes, and a ceiling that spoils nothing behind it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.wire.lines import Lines, Overlong


def test_a_line_ends_with_lf_and_the_cr_before_it_is_not_part_of_it() -> None:
    assert Lines(10).feed(b"a\nb\r\n\n\r\nc\rd\n") == [b"a", b"b", b"c\rd"]


def test_only_what_has_ended_is_a_line() -> None:
    lines = Lines(10)
    assert lines.feed(b"ab") == []
    assert lines.feed(b"c\nd") == [b"abc"]
    assert lines.feed(b"\n") == [b"d"]


def shown(lines: list[bytes | Overlong]) -> list[bytes | None]:
    """None for a line over the ceiling, of which more or less is kept."""
    return [None if isinstance(line, Overlong) else line for line in lines]


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one)), st.data())
def test_where_a_chunk_ends_does_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(parts) + b"\n"
    expected = shown(Lines(6).feed(whole))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    lines = Lines(6)
    found = [
        line
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for line in lines.feed(whole[start:end])
    ]
    assert shown(found) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_m_24_a_line_over_the_ceiling_is_thrown_away_and_the_next_one_is_not(end: bytes) -> None:
    lines = Lines(8)
    assert lines.feed(b"x" * 8 + end) == [b"x" * 8]
    assert shown(lines.feed(b"x" * 9 + end + b"next\n")) == [None, b"next"]


def test_m_24_of_a_line_over_the_ceiling_its_beginning_is_kept_and_no_more() -> None:
    lines = Lines(100)
    for _ in range(1000):
        assert lines.feed(b"y" * 1000) == []
        assert sum(map(len, lines._parts)) <= 1000
    (found,) = lines.feed(b"\n")
    assert isinstance(found, Overlong)
    assert found.start == b"y" * 1000
    assert lines.feed(b"ok\n") == [b"ok"]


def test_m_24_line_ends_alone_cost_next_to_nothing() -> None:
    """A program that prints nothing else kept the worker from everybody."""
    began = time.process_time()
    assert Lines(1000).feed(b"\n" * 300_000) == []
    middle = time.process_time()
    assert len(Lines(1000).feed(b"x\n" * 300_000)) == 300_000
    assert middle - began < (time.process_time() - middle) / 2
    lines = Lines(3)
    assert [line for chunk in (b"\n\na", b"\n\n\n", b"abcd", b"\n\nb\n") for line in lines.feed(chunk)] == [
        b"a",
        Overlong(b"abcd"),
        b"b",
    ]
