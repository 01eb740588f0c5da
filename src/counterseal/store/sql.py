"""The store over SQLAlchemy Core. `sqlite.py` makes the engine.

* Parameters only, no text is ever put into a statement (A-03), and no error repeats a parameter.
* A write transaction takes its lock when it begins, so it waits for another writer instead of failing half-way.
* An insert that lost a race is no error: unique constraints decide, and the loser reads the winner's row.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import RowMapping, and_, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from counterseal.errors import CannotTell, ConfigError
from counterseal.store.migrations import STEPS, migrate
from counterseal.store.port import ACTIVE, ApiKeyRow, Sighting, SigningKeyRow, ToolPin, approved, other_issuer, sighted
from counterseal.store.schema import METADATA, VERSION, about, api_keys, signing_keys, stored_secrets, tool_pins


class SqlStore:
    """All ports over one engine. Call `prepare` before anything else."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Read by the engine's "begin" event.
        self._for_writing = engine.execution_options(writing=True)

    async def prepare(self) -> None:
        """Make the tables in an empty database, or bring those of an older version up to date. Raises ConfigError for a
        database that isn't ours or is too new."""
        try:
            async with self._for_writing.begin() as connection:
                await _prepare(connection)
        except SQLAlchemyError as error:
            raise _unusable(error) from None

    async def look(self, issuer: str) -> tuple[SigningKeyRow, ...]:
        """The signing keys, for one who changes nothing. Raises ConfigError for what `prepare` or `bind_issuer` would refuse."""
        try:
            async with self._engine.begin() as connection:
                if await _version(connection) != VERSION:
                    return ()
                stored = await connection.scalar(select(about.c.issuer))
                keys = await _signing_keys(connection)
        except SQLAlchemyError as error:
            raise _unusable(error) from None
        if stored not in (None, issuer):
            raise ConfigError(other_issuer(str(stored), issuer))
        return keys

    async def generation(self) -> int:
        async with self._transaction(self._engine) as connection:
            return await _generation(connection)

    async def api_keys(self) -> tuple[int, tuple[ApiKeyRow, ...]]:
        async with self._transaction(self._engine) as connection:
            generation = await _generation(connection)
            rows = await connection.execute(select(api_keys).order_by(api_keys.c.created, api_keys.c.id))
            return generation, tuple(_api_key(row) for row in rows.mappings())

    async def add_api_key(self, row: ApiKeyRow) -> None:
        values = {column.name: getattr(row, column.name) for column in api_keys.columns}
        values["metadata"] = dict(row.metadata)
        try:
            async with self._transaction(self._for_writing) as connection:
                await connection.execute(insert(api_keys).values(values))
                await connection.execute(_next_generation())
        except IntegrityError:
            raise ValueError(f"there is an API key {row.id} already") from None

    async def revoke_api_key(self, id: str, when: float) -> bool:
        this = api_keys.c.id == id
        async with self._transaction(self._for_writing) as connection:
            found = await connection.scalar(select(api_keys.c.id).where(this))
            changed = await connection.execute(
                update(api_keys).where(this, api_keys.c.revoked.is_(None)).values(revoked=when)
            )
            if changed.rowcount:
                await connection.execute(_next_generation())
            return found is not None

    async def rotate_api_key(self, id: str, mac: bytes, now: float, previous_ends: float) -> ApiKeyRow | None:
        this = api_keys.c.id == id
        async with self._transaction(self._for_writing) as connection:
            found = (await connection.execute(select(api_keys).where(this))).mappings().first()
            row = None if found is None else _api_key(found)
            if row is None or not row.in_force(now):
                return row
            row = row.rotated(mac, previous_ends)
            changed = {name: getattr(row, name) for name in ("mac", "previous_mac", "previous_ends")}
            await connection.execute(update(api_keys).where(this).values(changed))
            await connection.execute(_next_generation())
            return row

    async def note_use(self, uses: Mapping[str, float]) -> None:
        async with self._transaction(self._for_writing) as connection:
            for id, when in uses.items():
                earlier = or_(api_keys.c.last_used.is_(None), api_keys.c.last_used < when)
                await connection.execute(update(api_keys).where(api_keys.c.id == id, earlier).values(last_used=when))

    async def signing_keys(self) -> tuple[SigningKeyRow, ...]:
        async with self._transaction(self._engine) as connection:
            return await _signing_keys(connection)

    async def add_signing_key_if_absent(self, algorithm: str, make: Callable[[], SigningKeyRow]) -> SigningKeyRow:
        if (row := await self._active(algorithm)) is not None:
            return row
        made = await asyncio.to_thread(make)
        values = {column.name: getattr(made, column.name) for column in signing_keys.columns}
        await self._insert_unless_there(insert(signing_keys).values(values))
        row = await self._active(algorithm)
        if row is None:
            raise ValueError(f"`make` made no active key of {algorithm}")
        return row

    async def _active(self, algorithm: str) -> SigningKeyRow | None:
        this = select(signing_keys).where(signing_keys.c.algorithm == algorithm, signing_keys.c.state == ACTIVE)
        async with self._transaction(self._engine) as connection:
            row = (await connection.execute(this)).mappings().first()
            return None if row is None else SigningKeyRow(**row)

    async def secret(self, name: str) -> bytes:
        if (value := await self._secret(name)) is not None:
            return value
        await self._insert_unless_there(insert(stored_secrets).values(name=name, value=secrets.token_bytes(32)))
        value = await self._secret(name)
        assert value is not None
        return value

    async def _secret(self, name: str) -> bytes | None:
        async with self._transaction(self._engine) as connection:
            value: bytes | None = await connection.scalar(
                select(stored_secrets.c.value).where(stored_secrets.c.name == name)
            )
            return value

    async def bind_issuer(self, issuer: str) -> None:
        async with self._transaction(self._for_writing) as connection:
            await connection.execute(update(about).where(about.c.issuer.is_(None)).values(issuer=issuer))
            stored = await connection.scalar(select(about.c.issuer))
        if stored != issuer:
            raise ConfigError(other_issuer(str(stored), issuer))

    async def pin_generation(self) -> int:
        async with self._transaction(self._engine) as connection:
            return await _pin_generation(connection)

    async def tool_pins(self) -> tuple[int, tuple[ToolPin, ...]]:
        bare = [column for column in tool_pins.columns if not column.name.endswith("_definition")]
        async with self._transaction(self._engine) as connection:
            generation = await _pin_generation(connection)
            rows = await connection.execute(select(*bare).order_by(tool_pins.c.server, tool_pins.c.tool))
            return generation, tuple(ToolPin(**row) for row in rows.mappings())

    async def tool_definitions(self, server: str | None = None) -> tuple[ToolPin, ...]:
        wanted = select(tool_pins).order_by(tool_pins.c.server, tool_pins.c.tool)
        if server is not None:
            wanted = wanted.where(tool_pins.c.server == server)
        async with self._transaction(self._engine) as connection:
            return tuple(ToolPin(**row) for row in (await connection.execute(wanted)).mappings())

    async def note_tools(self, sightings: Sequence[Sighting]) -> None:
        async with self._transaction(self._for_writing) as connection:
            moved = False
            for sighting in sightings:
                before = await _tool_pin(connection, sighting.server, sighting.tool)
                moved |= await _put(connection, before, sighted(before, sighting))
            if moved:
                await connection.execute(_next_pin_generation())

    async def approve_tools(self, server: str, seen: Mapping[str, str], when: float) -> frozenset[str]:
        done = set()
        async with self._transaction(self._for_writing) as connection:
            for tool, digest in seen.items():
                before = await _tool_pin(connection, server, tool)
                if before is not None and before.seen == digest:
                    await _put(connection, before, approved(before, when))
                    done.add(tool)
            if done:
                await connection.execute(_next_pin_generation())
        return frozenset(done)

    async def close(self) -> None:
        await self._engine.dispose()

    async def _insert_unless_there(self, statement: Any) -> None:
        try:
            async with self._transaction(self._for_writing) as connection:
                await connection.execute(statement)
        except IntegrityError:
            pass  # Another process was first; the caller reads its row.

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Raises CannotTell for everything but a broken constraint, which the verbs know the meaning of."""
        try:
            async with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            raise CannotTell("store_unavailable", "the store cannot be reached", detail=_plainly(error)) from None


async def _prepare(connection: AsyncConnection) -> None:
    version = await _version(connection)
    if version is None:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(insert(about).values(id=1, schema_version=VERSION, generation=0))
    elif version != VERSION:
        await migrate(connection, version)


async def _version(connection: AsyncConnection) -> int | None:
    """Of the tables, one that this program can use; None where there are none. Raises ConfigError."""
    tables = await connection.run_sync(lambda sync: sync.dialect.get_table_names(sync))
    if not tables:
        return None
    if about.name not in tables:
        raise ConfigError("store: the database holds tables of another program. Name another `store:`.")
    version: int = (await connection.execute(select(about.c.schema_version))).scalar_one()
    if version != VERSION and version not in STEPS:
        raise ConfigError(
            f"store: it was made by a newer version of Counterseal (schema {version}; this version knows {VERSION}). "
            "Start that version, or name another `store:`."
        )
    return version


async def _generation(connection: AsyncConnection) -> int:
    generation: int = (await connection.execute(select(about.c.generation))).scalar_one()
    return generation


async def _signing_keys(connection: AsyncConnection) -> tuple[SigningKeyRow, ...]:
    rows = await connection.execute(select(signing_keys).order_by(signing_keys.c.created, signing_keys.c.kid))
    return tuple(SigningKeyRow(**row) for row in rows.mappings())


def _next_generation() -> Any:
    return update(about).values(generation=about.c.generation + 1)


async def _pin_generation(connection: AsyncConnection) -> int:
    generation: int = (await connection.execute(select(about.c.pin_generation))).scalar_one()
    return generation


def _next_pin_generation() -> Any:
    return update(about).values(pin_generation=about.c.pin_generation + 1)


def _this_tool(server: str, tool: str) -> Any:
    return and_(tool_pins.c.server == server, tool_pins.c.tool == tool)


async def _tool_pin(connection: AsyncConnection, server: str, tool: str) -> ToolPin | None:
    row = (await connection.execute(select(tool_pins).where(_this_tool(server, tool)))).mappings().first()
    return None if row is None else ToolPin(**row)


async def _put(connection: AsyncConnection, before: ToolPin | None, pin: ToolPin) -> bool:
    """Whether that changed anything."""
    if pin == before:
        return False
    values = {column.name: getattr(pin, column.name) for column in tool_pins.columns}
    if before is None:
        await connection.execute(insert(tool_pins).values(values))
    else:
        await connection.execute(update(tool_pins).where(_this_tool(pin.server, pin.tool)).values(values))
    return True


def _api_key(row: RowMapping) -> ApiKeyRow:
    values = dict(row)
    for name in ("servers", "tools"):
        values[name] = None if values[name] is None else tuple(values[name])
    return ApiKeyRow(**values)


def _unusable(error: SQLAlchemyError) -> ConfigError:
    return ConfigError(
        f"store: the database cannot be used ({_plainly(error)}). "
        "End the program that holds it, name another `store:`, or bring a good copy back from a backup."
    )


def _plainly(error: Exception) -> str:
    """The database's own words, without the statement and its parameters."""
    return str(error.orig) if isinstance(error, DBAPIError) else type(error).__name__
