"""Reading folders of records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from counterseal.audit import chain, reader


def write(
    path: Path, entries: list[dict[str, Any]], *, start: float, writer: str = "a" * 16, close: bool = True
) -> None:
    """A file as a sink writes it, one record each second from `start`."""
    prev, seq, lines = chain.FIRST_PREV, 0, []
    for entry in [{"event": "open"}, *entries]:
        lines.append(chain.line(seq=seq, time=start + seq, writer=writer, prev=prev, entry=chain.encode(entry)))
        prev, seq = chain.digest(lines[-1]), seq + 1
    if close:
        lines.append(chain.closing_line(seq=seq, time=start + seq, writer=writer, prev=prev))
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record.get("record", record["event"]) for record in records]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    intents = [{"event": "intent", "record": f"a{number}"} for number in range(3)]
    write(tmp_path / "1.jsonl", intents, start=100.0, writer="a" * 16)
    write(tmp_path / "2.jsonl", [{"event": "intent", "record": "b0"}], start=101.5, writer="b" * 16, close=False)
    (tmp_path / "notes.txt").write_text("not ours")
    return tmp_path


@pytest.mark.parametrize("block", [1, 7, 64, 300, 65536])
def test_the_last_records_of_all_files_come_in_order_of_time(
    folder: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BLOCK", block)
    everything = ["open", "a0", "open", "a1", "b0", "a2", "close"]
    for count in range(9):
        expected = everything[-count:] if count else []
        assert names(reader.Tail(folder).last(count)) == expected


def test_a_line_that_is_still_being_written_is_left_for_later(folder: Path) -> None:
    tail = reader.Tail(folder)
    path = folder / "2.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[1][:50])
    assert names(tail.last(2)) == ["a2", "close"]
    assert tail.more() == []
    path.write_bytes(whole + whole.splitlines(keepends=True)[1])
    assert names(tail.more()) == ["b0"]
    assert tail.more() == []


def test_more_finds_new_files(folder: Path) -> None:
    tail = reader.Tail(folder)
    tail.last(0)
    assert tail.more() == []
    write(folder / "3.jsonl", [{"event": "intent", "record": "c0"}], start=99.0)
    assert names(tail.more()) == ["open", "c0", "close"]


@pytest.mark.parametrize("line", [b"not json", b"[]", b"\xff\xfe", b"", b'{"a":' + b"[" * 100_000])
def test_a_line_that_cannot_be_read_is_shown_as_such(folder: Path, line: bytes) -> None:
    (folder / "2.jsonl").write_bytes(line + b"\n")
    assert {"event": "unreadable", "detail": "2.jsonl"} in reader.Tail(folder).last(100)


def test_an_empty_file_has_no_records(folder: Path) -> None:
    (folder / "1.jsonl").write_bytes(b"")
    assert names(reader.Tail(folder).last(5)) == ["open", "b0"]
    assert reader.verify(folder).files[0][1].state == "open"


def test_verify_reports_every_file_and_pairs_intents_with_outcomes_of_other_files(folder: Path) -> None:
    found = reader.verify(folder)
    assert [(path.name, report.state) for path, report in found.files] == [("1.jsonl", "closed"), ("2.jsonl", "open")]
    assert (found.broken, found.unfinished) == (False, 4)
    write(folder / "3.jsonl", [{"event": "outcome", "record": "a1"}, {"event": "outcome", "record": "z"}], start=1.0)
    assert reader.verify(folder).unfinished == 3


def test_verify_finds_the_broken_file_among_others(folder: Path) -> None:
    path = folder / "1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"a1"', b'"a9"'))
    found = reader.verify(folder)
    assert found.broken
    assert [(report.state, report.line) for _, report in found.files] == [("broken", 4), ("open", None)]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        reader.verify(tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []
    assert reader.verify(tmp_path).files == ()
