"""Secrets, the store and folders, in the keys that lead to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.one_key import BASE, line, refused
from tests.config.writing import accepted, problems


@pytest.mark.parametrize(
    ("value", "store"),
    [
        ("memory:", "memory:"),
        ("sqlite:counterseal.db", "sqlite:/etc/gateway/counterseal.db"),
        ("sqlite:data/counterseal.db", "sqlite:/etc/gateway/data/counterseal.db"),
        ("sqlite:/var/lib/counterseal.db", "sqlite:/var/lib/counterseal.db"),
    ],
)
def test_a_store_is_beside_the_configuration_unless_absolute(value: str, store: str) -> None:
    assert accepted(line("store", value), Path("/etc/gateway")).store == store


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("postgresql://user:c4n4ry@db/x", "not built yet"),
        ("postgres:x", "not built yet"),
        ("sqlite:", "must be `sqlite:PATH`"),
        ("sqlite", "must be `sqlite:PATH`"),
        ("counterseal.db", "must be `sqlite:PATH`"),
        ("memory", "must be `sqlite:PATH`"),
        ("memory:x", "must be `sqlite:PATH`"),
        ("SQLITE:x", "must be `sqlite:PATH`"),
        ("sqlite::memory:", 'write `"memory:"`'),
        ("sqlite:///x.db", "without `//`"),
        ("c4n4ry", "must be `sqlite:PATH`"),
    ],
)
def test_another_store_is_refused(value: str, says: str) -> None:
    problem = refused("store", value)
    assert says in problem
    assert "c4n4ry" not in problem


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("file:audit/", "/etc/gateway/audit"),
        ("file:/var/log/gateway", "/var/log/gateway"),
        ("file:///var/log", "/var/log"),
    ],
)
def test_records_go_beside_the_configuration_unless_absolute(value: str, folder: str) -> None:
    assert accepted(line("audit.sink", value), Path("/etc/gateway")).audit.folder == Path(folder)
    assert accepted(BASE, Path("/etc/gateway")).audit.folder == Path("/etc/gateway/audit")


@pytest.mark.parametrize("value", ["file:", "audit/", "stdout:", "syslog:x", "file://host/x"])
def test_another_sink_is_refused(value: str) -> None:
    assert "file:" in refused("audit.sink", value)


def test_a_key_source_is_the_store_a_variable_or_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "x")
    (tmp_path / "key.pem").write_text("x")
    (tmp_path / "key.pem").chmod(0o600)
    assert accepted(line("keys.source", "store")).keys.source == "store"
    assert accepted(line("keys.source", "env:MCP_JWT_SIGNING_KEY")).keys.source == "env:MCP_JWT_SIGNING_KEY"
    assert accepted(line("keys.source", "file:key.pem"), tmp_path).keys.source == f"file:{tmp_path}/key.pem"


def test_y_06_a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("x")
    (tmp_path / "key.pem").chmod(0o640)
    (problem,) = problems(line("keys.source", "file:key.pem"), tmp_path)
    assert "keys.source: " in problem
    assert f"chmod 600 {tmp_path}/key.pem" in problem
    (tmp_path / "key.pem").chmod(0o600)
    accepted(line("keys.source", "file:key.pem"), tmp_path)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("env:MCP_JWT_SIGNING_KEY", "MCP_JWT_SIGNING_KEY is not set"),
        ("file:missing.pem", "cannot be read"),
        ("pkcs11:token=x", "key stores are not built yet"),
        ("awskms:alias/x", "key stores are not built yet"),
        ("-----BEGIN PRIVATE KEY----- c4n4ry", "the key itself never stands in the configuration"),
        ("env:c4n4ry-c4n4ry", "must name an environment variable"),
    ],
)
def test_a_key_source_that_cannot_be_had_is_refused(value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCP_JWT_SIGNING_KEY", raising=False)
    problem = refused("keys.source", value)
    assert says in problem
    assert "c4n4ry" not in problem
