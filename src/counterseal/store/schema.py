"""The tables. They change only together with `VERSION` and a step in `migrations.py`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

from counterseal.store.port import ACTIVE

VERSION: Final = 3

METADATA: Final = MetaData()

about: Final = Table(
    "counterseal",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("issuer", Text),
    # since version 3
    Column("pin_generation", Integer, nullable=False, server_default="0"),
)
"""One row, of id 1: what this store is."""

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("mac", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("email", Text),
    Column("team", Text),
    Column("org", Text),
    Column("agent", Text),
    Column("metadata", JSON, nullable=False),
    Column("servers", JSON(none_as_null=True)),
    Column("tools", JSON(none_as_null=True)),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("last_used", Double),
    # since version 2
    Column("previous_mac", LargeBinary),
    Column("previous_ends", Double),
)

signing_keys: Final = Table(
    "signing_keys",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("pem", LargeBinary, nullable=False),
    Column("created", Double, nullable=False),
    Column("state", Text, nullable=False),
)

_ACTIVE_ONLY = signing_keys.c.state == ACTIVE

# What makes two processes that start on an empty store end with one key (Y-01).
Index(
    "one_active_key_per_algorithm",
    signing_keys.c.algorithm,
    unique=True,
    sqlite_where=_ACTIVE_ONLY,
    postgresql_where=_ACTIVE_ONLY,
)

stored_secrets: Final = Table(
    "secrets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

tool_pins: Final = Table(
    "tool_pins",
    METADATA,
    Column("server", Text, primary_key=True),
    Column("tool", Text, primary_key=True),
    Column("approved", Text),
    Column("approved_definition", Text),
    Column("approved_at", Double),
    Column("approved_by", Text),
    Column("seen", Text),
    Column("seen_definition", Text),
    Column("seen_at", Double),
)
"""Since version 3. What is approved of each tool, and what was seen in its place since."""
