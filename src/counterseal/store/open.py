"""From the configuration's `store:` to a store."""

from __future__ import annotations

from pathlib import Path

from counterseal.errors import ConfigError
from counterseal.store.memory import MemoryStore
from counterseal.store.port import SigningKeyRow, Store
from counterseal.store.sqlite import look_at_sqlite, open_sqlite


async def open_store(url: str) -> Store:
    """`sqlite:PATH` (relative to the working directory unless absolute) or `memory:`. Raises ConfigError."""
    kind, _, rest = url.partition(":")
    if url == "memory:":
        return MemoryStore()
    if kind == "sqlite" and rest:
        return await open_sqlite(Path(rest))
    if kind == "postgresql":
        raise ConfigError("store: PostgreSQL is not built yet. Use `sqlite:PATH`.")
    raise ConfigError("store: it is neither `sqlite:PATH` nor `memory:`.")


async def look_at_store(url: str, issuer: str) -> tuple[SigningKeyRow, ...]:
    """The signing keys in a store, none where there is no store yet. Makes nothing and changes nothing.

    url: as the configuration has it. Raises ConfigError for what a start would refuse.
    """
    kind, _, rest = url.partition(":")
    return await look_at_sqlite(Path(rest), issuer) if kind == "sqlite" else ()
