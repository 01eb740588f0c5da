"""How a store of an older version becomes one of this version.

* All steps run in one transaction together with the new version number, and hold the lock for writing from its beginning: of
  two processes one migrates and the other finds it done, and a migration that was interrupted never began.
* A step only adds, so a gateway of the version before goes on with the store that it has open. It may not start again on it.
* A step is never changed once it was released. What it leads to is what `schema.py` makes anew (tests/store/test_migrations.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from counterseal.store.schema import VERSION, about

STEPS: Final[Mapping[int, tuple[str, ...]]] = {
    # the secret before the current one
    1: (
        "ALTER TABLE api_keys ADD COLUMN previous_mac BLOB",
        "ALTER TABLE api_keys ADD COLUMN previous_ends DOUBLE",
    ),
    # the definitions of tools
    2: (
        "ALTER TABLE counterseal ADD COLUMN pin_generation INTEGER DEFAULT '0' NOT NULL",
        "CREATE TABLE tool_pins (server TEXT NOT NULL, tool TEXT NOT NULL, approved TEXT, approved_definition TEXT, "
        "approved_at DOUBLE, approved_by TEXT, seen TEXT, seen_definition TEXT, seen_at DOUBLE, PRIMARY KEY (server, tool))",
    ),
}
"""The version that a step starts from, and its statements."""


async def migrate(connection: AsyncConnection, version: int) -> None:
    """From `version`, which has a step, to VERSION. connection: in a transaction for writing."""
    for step in range(version, VERSION):
        for statement in STEPS[step]:
            await connection.execute(text(statement))
    await connection.execute(update(about).values(schema_version=VERSION))
