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
from counterseal.files import check_folder_of, check_own_folder, check_private_file, may
from counterseal.store.port import SigningKeyRow
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


async def look_at_sqlite(path: Path, issuer: str) -> tuple[SigningKeyRow, ...]:
    """The signing keys in this file. Makes nothing and changes nothing.

    Raises ConfigError for what would keep `open_sqlite` from opening it, or the store from being this issuer's.
    """
    there = _to_look_at(path)
    if there is None:
        return ()
    engine = create_async_engine(there, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _begin_by_hand)
    event.listen(engine.sync_engine, "begin", _begin)
    store = SqlStore(engine)
    try:
        return await store.look(issuer)
    finally:
        await store.close()


def _to_look_at(path: Path) -> URL | None:
    """The file, to be read and not written; None where a start would make it. Raises ConfigError."""
    path = path.absolute()
    if not os.path.lexists(path):
        _look_where_it_will_be(path)
        return None
    _look_at_file(path)
    if not path.stat().st_size:
        return None
    # Even to read it SQLite makes files beside it, unless it is told that nobody writes. Where somebody does, they are there.
    log = path.with_name(f"{path.name}-wal")
    alone = {} if log.exists() and log.stat().st_size else {"immutable": "1"}
    return URL.create("sqlite+aiosqlite", database=path.as_uri(), query={"mode": "ro", "uri": "true", **alone})


def _private_file(path: Path) -> Path:
    # Absolute, because SQLite takes some relative names (`:memory:`) for something else than a file.
    path = path.absolute()
    _create_if_missing(path)
    _look_at_file(path)
    return path


def _look_at_file(path: Path) -> None:
    """Whether it is for its owner alone, and we can write it."""
    problem = check_private_file(path)
    if problem is None and not may(path, os.R_OK | os.W_OK):
        problem = f"{path} cannot be read and written by its own account. Run `chmod 600 {path}`."
    problem = problem or _check_beside(path)
    if problem is None and not may(path.parent, os.W_OK | os.X_OK):
        problem = (
            f"the folder {path.parent} cannot be written, and SQLite needs files beside {path.name}. "
            "Let the gateway's account write there."
        )
    if problem is not None:
        raise ConfigError(f"store: {problem}")


def _look_where_it_will_be(path: Path) -> None:
    """Whether `_create_if_missing` could make it, and could leave it there."""
    if not path.parent.exists():
        raise _no_folder(path)
    if not may(path.parent, os.W_OK | os.X_OK):
        raise _not_made(path, "its folder cannot be written")
    if (problem := check_folder_of(path) or _check_beside(path)) is not None:
        raise ConfigError(f"store: {problem}")


def _check_beside(path: Path) -> str | None:
    """SQLite takes a `-wal` that it finds for its own, whoever made it, and writes the keys to it."""
    problem = check_own_folder(path.parent)
    return None if problem is None else f"{problem} SQLite keeps files beside {path.name}."


def _create_if_missing(path: Path) -> None:
    """SQLite itself would make the file with whatever the umask leaves open."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise _no_folder(path) from None
    except OSError as error:
        raise _not_made(path, error.strerror) from None
    try:
        os.fchmod(descriptor, 0o600)  # an umask may have taken even the owner's bits
    finally:
        os.close(descriptor)


def _no_folder(path: Path) -> ConfigError:
    return ConfigError(f"store: the folder {path.parent} does not exist. Run `mkdir -p {path.parent}`.")


def _not_made(path: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"store: {path} cannot be made ({why}). Let the gateway's account write to {path.parent}, or name another `store:`."
    )


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
