"""The form of the records, and that every change of them is found."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.audit import chain

WRITER = "0123456789abcdef"
ENTRIES: list[dict[str, Any]] = [
    {"event": "open", "gateway": "0.1.0"},
    {"event": "intent", "record": "rec_1", "name": "é"},
    {"event": "outcome", "record": "rec_1", "bytes": 17},
    {"event": "refusal", "record": "rec_2", "reason": "policy_denied"},
    {"event": "intent", "record": "rec_3"},
]


def written(entries: list[dict[str, Any]], *, close: bool = True, writer: str = WRITER) -> list[bytes]:
    """A file as a sink writes it, as its lines."""
    lines, prev = [], chain.FIRST_PREV
    for seq, entry in enumerate(entries):
        lines.append(chain.line(seq=seq, time=1.8e9 + seq, writer=writer, prev=prev, entry=chain.encode(entry)))
        prev = chain.digest(lines[-1])
    if close:
        lines.append(chain.closing_line(seq=len(entries), time=1.9e9, writer=writer, prev=prev))
    return [line + b"\n" for line in lines]


def verify(text: bytes) -> chain.Report:
    # Lines as a file gives them: only \\n ends one.
    return chain.verify_lines(re.findall(rb"[^\n]*\n|[^\n]+", text))


# the form


def test_a_line_is_one_json_object_that_says_its_place() -> None:
    lines = [json.loads(line) for line in written(ENTRIES)]
    assert list(lines[1]) == ["v", "seq", "time", "writer", "prev", "event", "record", "name"]
    assert lines[1]["time"] == "2027-01-15T08:00:01.000000Z"
    assert lines[1]["name"] == "é"
    assert [line["seq"] for line in lines] == [0, 1, 2, 3, 4, 5]
    assert {line["writer"] for line in lines} == {WRITER}
    assert lines[0]["prev"] == "0" * 64
    assert lines[-1]["event"] == "close"


HOSTILE = [
    "\n",
    "\r\n",
    "\x00",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\x9b31m",
    "\u202e",
    "\u2028",
    "\u2066",
    "\ufeff",
    "\U0001f600",
    "ÿ",
    '"',
    "\\",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_u_05_what_a_terminal_or_an_editor_might_act_on_is_escaped(text: str) -> None:
    line = chain.encode({"event": "intent", text: f"a{text}b", "list": [text]})
    assert all(0x20 <= byte <= 0x7E for byte in line)
    assert json.loads(line) == {"event": "intent", text: f"a{text}b", "list": [text]}


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists, max_leaves=5)


@settings(max_examples=60)
@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=5))
def test_u_05_every_entry_comes_back_as_it_was(entry: dict[str, Any]) -> None:
    line = chain.encode(entry)
    assert all(0x20 <= byte <= 0x7E for byte in line)
    assert json.loads(line) == entry


@pytest.mark.parametrize("entry", [{}, {"a": object()}, {"a": "\ud800"}, {"\udfff": 1}])
def test_an_entry_that_json_cannot_hold_is_a_value_error(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        chain.encode(entry)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_800_000_000.5, "2027-01-15T08:00:00.500000Z"),
        (1_800_000_000.9999999, "2027-01-15T08:00:01.000000Z"),  # the nearest double is the next second
        (1_800_000_000.999999, "2027-01-15T08:00:00.999999Z"),
    ],
)
def test_times_are_utc_with_microseconds(seconds: float, text: str) -> None:
    assert chain.stamp(seconds) == text


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_times_sort_as_text(one: float, other: float) -> None:
    earlier, later = sorted([one, other])
    assert chain.stamp(earlier) <= chain.stamp(later)


# the check


def test_a_whole_file_is_closed() -> None:
    report = chain.verify_lines(written(ENTRIES))
    assert (report.state, report.lines, report.line, report.problem) == ("closed", 6, None, None)
    assert (set(report.intents), set(report.outcomes)) == ({"rec_3"}, set())


def test_u_02_a_file_whose_writer_was_killed_is_open_and_counts_what_is_unknown() -> None:
    report = chain.verify_lines(written(ENTRIES, close=False))
    assert (report.state, report.lines, set(report.intents)) == ("open", 5, {"rec_3"})


def test_an_outcome_of_an_earlier_file_is_reported() -> None:
    report = chain.verify_lines(written([ENTRIES[0], {"event": "outcome", "record": "rec_9"}]))
    assert report.outcomes == {"rec_9"}


@pytest.mark.parametrize("lines", [[], written(ENTRIES[:1], close=False)])
def test_a_file_that_was_only_just_made_is_open(lines: list[bytes]) -> None:
    assert chain.verify_lines(lines).state == "open"


def test_u_03_every_edit_of_a_single_byte_is_found() -> None:
    text = b"".join(written(ENTRIES))
    for at in range(len(text)):
        for byte in {text[at] ^ 1, text[at] ^ 0x20, ord("\n"), ord("0"), ord('"'), 0xFF} - {text[at]}:
            report = verify(text[:at] + bytes([byte]) + text[at + 1 :])
            assert report.state == "broken", f"byte {at} to {byte}"
            assert report.line is not None
            # The line itself, or the one after it, whose `prev` no longer fits.
            assert report.line - 1 - text[:at].count(b"\n") in (0, 1)


def test_u_03_every_byte_that_is_taken_out_or_put_in_is_found() -> None:
    text = b"".join(written(ENTRIES))
    for at in range(len(text)):
        without = text[:at] + text[at + 1 :]
        assert verify(without).state == "broken", f"without byte {at}"
        for byte in (b" ", b"\n", b"0", text[at : at + 1]):
            assert verify(text[:at] + byte + text[at:]).state == "broken", f"{byte!r} before byte {at}"
    for byte in (b" ", b"\n", b"{"):
        assert verify(text + byte).state == "broken"


def test_u_03_every_line_that_is_taken_out_is_found() -> None:
    lines = written(ENTRIES)
    for at in range(len(lines) - 1):
        report = chain.verify_lines(lines[:at] + lines[at + 1 :])
        assert (report.state, report.line) == ("broken", at + 1)


def test_u_03_a_cut_at_the_end_is_seen_as_an_end_that_is_not_clean() -> None:
    """More cannot be had without checkpoints: a killed writer leaves the same."""
    text = b"".join(written(ENTRIES))
    for size in range(len(text)):
        report = verify(text[:size])
        assert report.state in ("open", "torn") or size == len(text) - 1
        assert report.lines == text[:size].count(b"\n")
    assert verify(text).state == "closed"


def test_u_03_every_swap_copy_and_move_of_lines_is_found() -> None:
    lines = written(ENTRIES)
    for one in range(len(lines)):
        for other in range(len(lines)):
            moved = lines[:one] + lines[one + 1 :]
            moved.insert(other, lines[one])
            copied = [*lines]
            copied.insert(other, lines[one])
            swapped = [*lines]
            swapped[one], swapped[other] = swapped[other], swapped[one]
            for changed in (moved, copied, swapped):
                assert changed == lines or chain.verify_lines(changed).state == "broken"


def test_u_03_a_line_of_another_writer_is_found() -> None:
    ours, theirs = written(ENTRIES), written(ENTRIES, writer="f" * 16)
    for at in range(len(ours)):
        assert chain.verify_lines(ours[:at] + theirs[at:]).state == ("broken" if at else "closed")


@pytest.mark.parametrize("change", [{"seq": 2}, {"seq": "1"}, {"writer": "f" * 16}, {"v": 2}, {"event": "close"}])
def test_u_03_a_line_that_was_put_in_with_the_right_hash_but_does_not_belong_there_is_found(
    change: dict[str, Any],
) -> None:
    first, second, *_ = written(ENTRIES)
    record = json.loads(second)
    assert chain.verify_lines([first, json.dumps(record).encode() + b"\n"]).state == "open"
    report = chain.verify_lines([first, json.dumps(record | change).encode() + b"\n"])
    assert (report.state, report.line) == ("broken", 2)


def test_a_line_that_was_not_written_to_its_end_is_torn_not_broken() -> None:
    text = b"".join(written(ENTRIES, close=False))
    whole = len(b"".join(written(ENTRIES[:-1], close=False)))
    for size in range(whole + 1, len(text)):
        report = verify(text[:size])
        assert (report.state, report.lines) == ("torn", 4)


@pytest.mark.parametrize("garbage", [b"x", b"{", b'{"v":1,"seq":9,', b"\x00" * 100, b'{"v":1,"seq":5,"time":0}x'])
def test_what_is_no_beginning_of_the_next_line_is_not_torn_but_broken(garbage: bytes) -> None:
    text = b"".join(written(ENTRIES, close=False))
    expected = "torn" if garbage == b"{" else "broken"
    assert verify(text + garbage).state == expected


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"1",
        b"",
        b'{"v":1}',
        b'{"v":2,"seq":0,"writer":"a","prev":"' + b"0" * 64 + b'","event":"open"}',
        b'{"v":1,"seq":0,"seq":0,"writer":"a","prev":"' + b"0" * 64 + b'","event":"open"}',
        b'{"v":1,"seq":0,"writer":"a","prev":"' + b"0" * 64 + b'","event":"intent"}',
        b'{"v":1,"seq":0,"writer":"a","prev":"' + b"1" * 64 + b'","event":"open"}',
        b"[" * 10_000,
    ],
)
def test_a_first_line_that_no_sink_writes_is_broken(line: bytes) -> None:
    report = chain.verify_lines([line + b"\n"])
    assert (report.state, report.line, report.lines) == ("broken", 1, 0)
    good = b'{"v":1,"seq":0,"writer":"a","prev":"' + b"0" * 64 + b'","event":"open"}\n'
    assert chain.verify_lines([good]).state == "open"
