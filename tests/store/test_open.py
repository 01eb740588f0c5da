"""`store:` of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterseal.errors import ConfigError
from counterseal.store.memory import MemoryStore
from counterseal.store.open import open_store


async def test_sqlite_opens_the_file_that_it_names(tmp_path: Path) -> None:
    await (await open_store(f"sqlite:{tmp_path}/store.db")).close()
    assert (tmp_path / "store.db").exists()


async def test_memory_is_in_memory() -> None:
    assert isinstance(await open_store("memory:"), MemoryStore)


async def test_postgresql_is_not_built_yet() -> None:
    with pytest.raises(ConfigError, match="PostgreSQL is not built yet"):
        await open_store("postgresql://localhost/counterseal")


@pytest.mark.parametrize(
    "text", ["", "sqlite", "sqlite:", "memory", "memory:x", "mysql://localhost/x", "/srv/store.db"]
)
async def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="neither"):
        await open_store(text)
