"""Opening the store's file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from counterseal.errors import ConfigError
from counterseal.store.sqlite import look_at_sqlite, open_sqlite
from tests.contracts.store import BARE
from tests.support.somebody_else import being_nobody, folder_of_nobody


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
async def test_y_06_the_file_and_those_beside_it_are_for_the_owner_only_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        store = await open_sqlite(tmp_path / "store.db")
        await store.add_api_key(BARE)
    finally:
        os.umask(before)
    beside = sorted(path.name for path in tmp_path.iterdir())
    assert beside == ["store.db", "store.db-shm", "store.db-wal"]
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
    await store.close()


@pytest.mark.parametrize("accepted", [0o600, 0o700])
async def test_y_06_a_file_for_its_owner_is_opened(tmp_path: Path, accepted: int) -> None:
    await (await open_sqlite(tmp_path / "store.db")).close()
    (tmp_path / "store.db").chmod(accepted)
    await (await open_sqlite(tmp_path / "store.db")).close()


@pytest.mark.parametrize("refused", [0o640, 0o620, 0o604, 0o602, 0o601, 0o666])
async def test_y_06_a_file_that_others_can_use_is_refused(tmp_path: Path, refused: int) -> None:
    await (await open_sqlite(tmp_path / "store.db")).close()
    (tmp_path / "store.db").chmod(refused)
    with pytest.raises(ConfigError, match=r"chmod .*store\.db"):
        await open_sqlite(tmp_path / "store.db")
    assert mode(tmp_path / "store.db") == refused  # it is the operator's to mend


async def test_y_06_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    await (await open_sqlite(tmp_path / "real.db")).close()
    (tmp_path / "store.db").symlink_to(tmp_path / "real.db")
    with pytest.raises(ConfigError, match="symbolic link"):
        await open_sqlite(tmp_path / "store.db")


async def test_y_06_a_link_to_nowhere_is_refused_and_nothing_is_made_there(tmp_path: Path) -> None:
    (tmp_path / "store.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigError):
        await open_sqlite(tmp_path / "store.db")
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o1775])
async def test_y_06_a_folder_that_others_can_write_to_is_refused_even_if_it_is_sticky(
    tmp_path: Path, mode: int
) -> None:
    """There somebody else can make the `-wal` first: SQLite takes it for its own, and writes the private keys to it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    for _ in range(2):  # before the file is made, and after
        with pytest.raises(ConfigError, match="chmod"):
            await open_sqlite(folder / "store.db")
        with pytest.raises(ConfigError, match="chmod"):
            await look_at_sqlite(folder / "store.db", "https://gateway.example.com")
        _write(folder / "store.db", b"")
    folder.chmod(0o755)
    await (await open_sqlite(folder / "store.db")).close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.mkdir(), "regular file"),
        (lambda path: os.mkfifo(path, 0o600), "regular file"),
        (lambda path: _write(path, b"this is no database " * 100), "cannot be opened as a SQLite database"),
    ],
)
async def test_what_is_no_database_is_refused(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "store.db"
    spoil(path)
    with pytest.raises(ConfigError, match=says):
        await open_sqlite(path)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


async def test_an_empty_file_that_is_private_becomes_a_store(tmp_path: Path) -> None:
    _write(tmp_path / "store.db", b"")
    store = await open_sqlite(tmp_path / "store.db")
    assert await store.generation() == 0
    await store.close()


async def test_a_missing_folder_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist. Run `mkdir -p .*missing`"):
        await open_sqlite(tmp_path / "missing" / "store.db")


async def test_the_name_that_sqlite_keeps_for_memory_is_a_file_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = await open_sqlite(Path(":memory:"))
    await store.close()
    assert mode(tmp_path / ":memory:") == 0o600


@pytest.mark.parametrize(
    ("of_folder", "of_file", "says"),
    [
        (0o700, 0o400, r"cannot be read and written by its own account. Run `chmod 600 "),
        (0o500, 0o600, "the folder .* cannot be written, and SQLite needs files beside store.db"),
        (0o500, None, r"store\.db cannot be made"),
    ],
    ids=["file", "folder", "folder of none"],
)
async def test_what_our_account_may_not_write_is_refused_with_a_sentence_and_seen_beforehand(
    of_folder: int, of_file: int | None, says: str
) -> None:
    """It was an error of the database in the middle of the start."""
    with folder_of_nobody() as folder, being_nobody():
        path = folder / "store.db"
        if of_file is not None:
            await (await open_sqlite(path)).close()
            path.chmod(of_file)
        folder.chmod(of_folder)
        for use in (open_sqlite(path), look_at_sqlite(path, "https://gateway.example.com")):
            with pytest.raises(ConfigError, match=says):
                await use
        folder.chmod(0o700)
        path.unlink(missing_ok=True)
        assert await look_at_sqlite(path, "https://gateway.example.com") == ()
        assert not path.exists()
        await (await open_sqlite(path)).close()
