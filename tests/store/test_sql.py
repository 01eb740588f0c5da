"""The SQL store, over SQLite files."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counterseal.errors import CannotTell, ConfigError
from counterseal.store.schema import VERSION
from counterseal.store.sql import SqlStore
from counterseal.store.sqlite import open_sqlite
from tests.contracts.store import BARE, FULL, StoreContract
from tests.store.cold_start import cold_start


class TestSqlStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqlStore]:
        store = await open_sqlite(tmp_path / "store.db")
        yield store
        await store.close()

    @pytest.fixture
    async def another(self, store: SqlStore, tmp_path: Path) -> AsyncIterator[SqlStore]:
        another = await open_sqlite(tmp_path / "store.db")
        yield another
        await another.close()


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    first = await open_sqlite(tmp_path / "store.db")
    await first.add_api_key(FULL)
    secret, generation = await first.secret("pepper"), await first.generation()
    await first.close()
    second = await open_sqlite(tmp_path / "store.db")
    assert (await second.api_keys()) == (generation, (FULL,))
    assert await second.secret("pepper") == secret
    await second.close()


def test_y_01_processes_that_start_at_once_on_an_empty_store_end_with_one_key(tmp_path: Path) -> None:
    """20 cold starts by 4 processes: one kid for each algorithm, one secret of each name."""
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        for start in range(20):
            path = tmp_path / f"{start}.db"
            results = processes.starmap(cold_start, [(str(path), number) for number in range(4)], chunksize=1)
            assert len(results) == 4
            assert len(set(results)) == 1, f"cold start {start}: {results}"
            database = sqlite3.connect(path)
            assert database.execute("SELECT algorithm, count(*) FROM signing_keys GROUP BY algorithm").fetchall() == [
                ("ES256", 1),
                ("RS256", 1),
            ]
            assert database.execute("SELECT count(*) FROM secrets").fetchone() == (2,)
            database.close()


async def test_a_07_a_store_that_another_program_holds_locked_cannot_tell(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "store.db", busy_seconds=0.05)
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(CannotTell) as told:
        await store.add_api_key(FULL)
    assert told.value.reason.code == "store_unavailable"
    assert told.value.detail == "database is locked"
    assert (await store.api_keys())[1] == ()  # reading goes on
    holder.execute("ROLLBACK")
    holder.close()
    await store.add_api_key(FULL)
    assert (await store.api_keys())[1] == (FULL,)
    await store.close()


async def test_a_07_a_store_whose_file_was_spoilt_cannot_tell(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "store.db")
    await store.add_api_key(BARE)
    await store.close()
    store = await open_sqlite(tmp_path / "store.db")
    with (tmp_path / "store.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)  # behind the first page, which the open connection knows by heart
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(CannotTell) as told:
        await store.api_keys()
    assert told.value.reason.code == "store_unavailable"
    await store.close()


async def test_an_error_repeats_no_parameter(tmp_path: Path) -> None:
    """Y-05: the database's errors would print the row that they are about."""
    store = await open_sqlite(tmp_path / "store.db")
    database = sqlite3.connect(tmp_path / "store.db")
    database.execute("DROP TABLE api_keys")
    database.commit()
    database.close()
    with pytest.raises(CannotTell) as told:
        await store.add_api_key(FULL)
    assert told.value.detail == "no such table: api_keys"
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    await store.close()


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await (await open_sqlite(tmp_path / "store.db")).close()
    await (await open_sqlite(tmp_path / "store.db")).close()  # its own version is not
    database = sqlite3.connect(tmp_path / "store.db")
    newer = VERSION + 1
    database.execute("UPDATE counterseal SET schema_version = ?", (newer,))
    database.commit()
    says = rf"newer version of Counterseal \(schema {newer}; this version knows {VERSION}\)"
    with pytest.raises(ConfigError, match=says):
        await open_sqlite(tmp_path / "store.db")
    assert database.execute("SELECT schema_version FROM counterseal").fetchall() == [(newer,)]
    database.close()


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await open_sqlite(tmp_path / "ours.db")).close()
    path.touch(0o600)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(ConfigError, match="tables of another program"):
        await open_sqlite(path)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    database.close()
