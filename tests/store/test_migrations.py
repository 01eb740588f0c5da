"""A store of an older version becomes one of this version, whole or not at all."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from counterseal.errors import ConfigError
from counterseal.store.migrations import STEPS
from counterseal.store.port import ApiKeyRow, Sighting, SigningKeyRow
from counterseal.store.schema import VERSION
from counterseal.store.sqlite import open_sqlite
from tests.store.migrating import killed, opened

VERSION_1: Final = """
CREATE TABLE api_keys (
	id TEXT NOT NULL,
	mac BLOB NOT NULL,
	subject TEXT NOT NULL,
	email TEXT,
	team TEXT,
	org TEXT,
	agent TEXT,
	metadata JSON NOT NULL,
	servers JSON,
	tools JSON,
	created DOUBLE NOT NULL,
	expires DOUBLE,
	revoked DOUBLE,
	last_used DOUBLE,
	PRIMARY KEY (id)
);
CREATE TABLE counterseal (
	id INTEGER NOT NULL,
	schema_version INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	issuer TEXT,
	PRIMARY KEY (id)
);
CREATE TABLE secrets (
	name TEXT NOT NULL,
	value BLOB NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE signing_keys (
	kid TEXT NOT NULL,
	algorithm TEXT NOT NULL,
	pem BLOB NOT NULL,
	created DOUBLE NOT NULL,
	state TEXT NOT NULL,
	PRIMARY KEY (kid)
);
CREATE UNIQUE INDEX one_active_key_per_algorithm ON signing_keys (algorithm) WHERE state = 'active';
INSERT INTO api_keys VALUES (
	'abcdefghijkl', X'00FF6D6163', 'alice; DROP TABLE api_keys; --', 'alice@example.com', 'data', 'acme', 'copilot',
	'{"n\\u00e4me": "w\\u00f6rd \\n", "empty": ""}', '["weather", "files"]', '[]',
	1800000000.125, 1800000900.5, NULL, 1800000050.0
);
INSERT INTO api_keys VALUES (
	'mnopqrstuvwx', X'6F74686572', 'bob', NULL, NULL, NULL, NULL, '{}', NULL, NULL,
	1800000001.0, NULL, 1800000100.0, NULL
);
INSERT INTO counterseal VALUES (1, 1, 3, 'https://gateway.example.com');
INSERT INTO secrets VALUES ('api_key_pepper', X'CC672A00E499C28F9E542A86E14FF058A167A152A789CBED74D5B2DF2322C062');
INSERT INTO signing_keys VALUES ('one', 'ES256', X'7468652070726976617465206B6579206F6E65', 1.0, 'active');
"""
"""A store as version 1 made and filled it."""

ALICE: Final = ApiKeyRow(
    id="abcdefghijkl",
    mac=b"\x00\xffmac",
    subject="alice; DROP TABLE api_keys; --",
    email="alice@example.com",
    team="data",
    org="acme",
    agent="copilot",
    metadata={"näme": "wörd \n", "empty": ""},
    servers=("weather", "files"),
    tools=(),
    created=1_800_000_000.125,
    expires=1_800_000_900.5,
    last_used=1_800_000_050.0,
)
BOB: Final = ApiKeyRow(id="mnopqrstuvwx", mac=b"other", subject="bob", created=1_800_000_001.0, revoked=1_800_000_100.0)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The file of a store of version 1."""
    path = tmp_path / "store.db"
    path.touch(0o600)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(VERSION_1)
    database.close()
    return path


def dump(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    lines = list(database.iterdump())
    database.close()
    return lines


def columns(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table and index, by what it is made of."""
    database = sqlite3.connect(path)
    kinds = {"table": "table_info", "index": "index_xinfo"}
    found = {
        name: database.execute(f"PRAGMA {kinds[kind]}({name})").fetchall()
        for kind, name in database.execute("SELECT type, name FROM sqlite_master")
    }
    database.close()
    return found


async def test_a_store_of_version_1_is_opened_with_all_that_is_in_it(old: Path) -> None:
    store = await open_sqlite(old)
    assert await store.api_keys() == (3, (ALICE, BOB))
    assert await store.signing_keys() == (
        SigningKeyRow(kid="one", algorithm="ES256", pem=b"the private key one", created=1.0),
    )
    assert (await store.secret("api_key_pepper")).hex().startswith("cc672a00")
    await store.bind_issuer("https://gateway.example.com")
    with pytest.raises(ConfigError, match="belongs to"):
        await store.bind_issuer("https://other.example.com")
    await store.close()


async def test_it_is_of_this_version_afterwards_and_made_like_a_new_one(old: Path, tmp_path: Path) -> None:
    await (await open_sqlite(old)).close()
    await (await open_sqlite(tmp_path / "new.db")).close()
    assert columns(old) == columns(tmp_path / "new.db")
    database = sqlite3.connect(old)
    assert database.execute("SELECT schema_version FROM counterseal").fetchall() == [(VERSION,)]
    database.close()


async def test_what_version_2_is_for_can_be_done_with_it(old: Path) -> None:
    store = await open_sqlite(old)
    row = await store.rotate_api_key(ALICE.id, b"new", ALICE.created, ALICE.created + 60)
    assert row == ALICE.rotated(b"new", ALICE.created + 60)
    assert (await store.api_keys())[1] == (row, BOB)
    await store.close()


async def test_what_version_3_is_for_can_be_done_with_it(old: Path) -> None:
    store = await open_sqlite(old)
    assert await store.tool_pins() == (0, ())
    sighting = Sighting(server="a", tool="b", kind="first", digest="sha-256:x", definition="{}", when=1.0)
    await store.note_tools([sighting])
    assert [(pin.tool, pin.approved) for pin in (await store.tool_pins())[1]] == [("b", "sha-256:x")]
    await store.close()


async def test_it_is_migrated_once(old: Path) -> None:
    await (await open_sqlite(old)).close()
    migrated = dump(old)
    await (await open_sqlite(old)).close()
    assert dump(old) == migrated


def test_every_version_before_this_one_has_a_step() -> None:
    assert sorted(STEPS) == list(range(1, VERSION))


def test_processes_that_migrate_at_once_migrate_once(old: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        assert processes.map(opened, [str(old)] * 8, chunksize=1) == [(3, 2)] * 8
    assert dump(old).count("INSERT INTO \"counterseal\" VALUES(1,3,3,'https://gateway.example.com',0);") == 1


@pytest.mark.parametrize(
    "after",
    [
        "ALTER TABLE api_keys ADD COLUMN previous_mac",
        "ALTER TABLE api_keys ADD COLUMN previous_ends",
        "CREATE TABLE",
        "UPDATE",
    ],
)
def test_a_migration_that_is_killed_never_began(old: Path, after: str) -> None:
    """After its first statement, its last one, and with the new version written but not yet for good."""
    before = dump(old)
    process = multiprocessing.get_context("spawn").Process(target=killed, args=(str(old), after))
    process.start()
    process.join(30)
    assert process.exitcode == -9
    assert dump(old) == before
    assert opened(str(old)) == (3, 2)


async def test_a_gateway_of_the_version_before_goes_on_with_the_store_it_has_open(old: Path) -> None:
    """Its statements, as it sends them: a step only adds."""
    running = sqlite3.connect(old)
    store = await open_sqlite(old)
    await store.rotate_api_key(ALICE.id, b"new", ALICE.created, ALICE.created + 60)
    read = "SELECT id, mac, subject, metadata, servers, tools, expires, revoked FROM api_keys ORDER BY created"
    assert [row[1] for row in running.execute(read)] == [b"new", b"other"]
    running.execute(
        "INSERT INTO api_keys (id, mac, subject, metadata, created) VALUES ('carolscarols', X'00', 'carol', '{}', 1.0)"
    )
    running.commit()
    running.close()
    carol = ApiKeyRow(id="carolscarols", mac=b"\x00", subject="carol", created=1.0)
    assert carol in (await store.api_keys())[1]
    await store.close()
