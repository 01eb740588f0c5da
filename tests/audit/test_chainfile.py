"""What becomes of a worker's file while it is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from counterseal.audit import reader
from tests.audit.folder import entries, records, states
from tests.audit.test_sinks import file_sink, refused, until
from tests.contracts.sink import entry


@pytest.mark.parametrize("gone", ["the file", "the folder"])
async def test_u_01_a_file_that_was_deleted_takes_no_records(tmp_path: Path, gone: str) -> None:
    """The operating system goes on writing into it, without a word. What was posted goes into the next file."""
    folder = tmp_path / "audit"
    sink = file_sink(folder, retry_seconds=0.01)
    await sink.start()
    await sink.write(entry(1))
    (first,) = reader.files(folder)
    if gone == "the file":
        first.unlink()
    else:
        shutil.rmtree(folder)
    assert await refused(sink, 2) == "the file was deleted"
    sink.post(entry(3, "outcome"))
    await until(lambda: sink.healthy() is None)
    await sink.write(entry(4))
    await sink.close()
    assert states(folder) == ["closed"]
    assert [one["record"] for one in entries(folder)] == ["rec_3", "rec_4"]
    assert records(folder)[0]["after"] == first.name


async def test_u_01_a_file_that_was_moved_still_takes_them(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "audit")
    await sink.start()
    (tmp_path / "audit").rename(tmp_path / "elsewhere")
    await sink.write(entry(1))
    await sink.close()
    assert [one["record"] for one in entries(tmp_path / "elsewhere")] == ["rec_1"]
