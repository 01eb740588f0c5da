"""Opening the store's SQLite file: it holds private keys, so it is made for its owner only and checked before each use.

SQLite gives the files beside it (`-wal`, `-shm`) the same mode.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import create_async_engine

from counterseal.errors import ConfigError
from counterseal.files import check_private_file
from counterseal.store.sql import SqlStore

_BUSY_SECONDS: Final = 2.0
_WAL_PAUSE_SECONDS: Final = 0.02
_WAL_ATTEMPTS: Final = 50


async def open_sqlite(path: Path, *, busy_seconds: float = _BUSY_SECONDS) -> SqlStore:
    """The store in this file, which is made if it is missing. Raises ConfigError with what to do about it.

    busy_seconds: how long to wait for another process that writes.
    """
    path = _private_file(path)
    await _use_write_ahead_log(path)

    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args={"timeout": busy_seconds},
        hide_parameters=True,
        pool_size=2,
        max_overflow=0,
        pool_timeout=busy_seconds,
    )
    event.listen(engine.sync_engine, "connect", _begin_by_hand)
    event.listen(engine.sync_engine, "begin", _begin)
    store = SqlStore(engine)
    try:
        await store.prepare()
    except BaseException:
        await store.close()
        raise
    return store


def _private_file(path: Path) -> Path:
    # Absolute, because SQLite takes some relative names (`:memory:`) for something else than a file.
    path = path.absolute()
    _create_if_missing(path)
    if (problem := check_private_file(path)) is not None:
        raise ConfigError(f"store: {problem}")
    return path


def _create_if_missing(path: Path) -> None:
    """SQLite itself would make the file with whatever the umask leaves open."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise ConfigError(f"store: the folder {path.parent} does not exist. Run `mkdir -p {path.parent}`.") from None
    except OSError as error:
        raise ConfigError(
            f"store: {path} cannot be made ({error.strerror}). Let the gateway's account write to {path.parent}, "
            "or name another `store:`."
        ) from None
    try:
        os.fchmod(descriptor, 0o600)  # an umask may have taken even the owner's bits
    finally:
        os.close(descriptor)


async def _use_write_ahead_log(path: Path) -> None:
    """Switch the file once and for good, so that readers never wait for a writer.

    SQLite doesn't wait by itself where several processes switch an empty file at once, so this does.
    """
    for _ in range(_WAL_ATTEMPTS - 1):
        try:
            return _switch(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise _unusable(path, error) from None
            await asyncio.sleep(_WAL_PAUSE_SECONDS)
        except sqlite3.Error as error:
            raise _unusable(path, error) from None
    try:
        _switch(path)
    except sqlite3.Error as error:
        raise _unusable(path, error) from None


def _switch(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=_WAL_PAUSE_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _unusable(path: Path, error: sqlite3.Error) -> ConfigError:
    return ConfigError(
        f"store: {path} cannot be opened as a SQLite database ({error}). "
        "Name another `store:`, or end the program that holds it."
    )


def _begin_by_hand(connection: Any, _record: Any) -> None:
    """Keep Python's sqlite3 from beginning transactions on its own, late and only for reading."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
