"""What becomes of a worker's file while it is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from counterseal.audit import reader
from counterseal.audit.sinks import look_at_folder
from counterseal.errors import ConfigError
from tests.audit.folder import entries, records, states
from tests.audit.test_sinks import file_sink, refused, until
from tests.contracts.sink import entry
from tests.support.somebody_else import being_nobody, folder_of_nobody


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


@pytest.mark.parametrize(("name", "mode"), [("audit", 0o500), ("audit", 0o600), (".", 0o500)])
async def test_a_folder_that_our_account_may_not_write_is_seen_before_and_at_the_start(name: str, mode: int) -> None:
    with folder_of_nobody() as above, being_nobody():
        folder = above / "audit"
        if name == "audit":
            folder.mkdir()
        (above / name).chmod(mode)
        sink = file_sink(folder)
        with pytest.raises(ConfigError, match=r"audit\.sink: records cannot be written to .*/audit "):
            look_at_folder(folder)
        with pytest.raises(ConfigError, match=r"audit\.sink: records cannot be written to .*/audit "):
            await sink.start()
        (above / name).chmod(0o700)
        look_at_folder(folder)
        assert folder.exists() == (name == "audit")
