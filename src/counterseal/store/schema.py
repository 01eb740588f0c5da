"""The tables. They change only together with `VERSION` and a step in `migrations.py`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

from counterseal.store.port import ACTIVE

VERSION: Final = 2

METADATA: Final = MetaData()

about: Final = Table(
    "counterseal",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("issuer", Text),
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

# What makes two processes that start on an empty store end with one key (threats.md Y-01).
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
