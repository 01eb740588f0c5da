"""Texts, names, durations, claims and paths, in the keys that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.config.writing import accepted, problems

BASE = "issuer: https://gateway.example.com\n"


def line(key: str, value: Any) -> str:
    """A configuration with one more key, `signer.ttl_seconds` for example, on its second line."""
    text = json.dumps(value, ensure_ascii=False)
    for step in reversed(key.split(".")):
        text = f"{{{json.dumps(step)}: {text}}}"
    return BASE + text.strip().removeprefix("{").removesuffix("}") + "\n"


def refused(key: str, value: Any) -> str:
    (problem,) = problems(line(key, value))
    assert problem.startswith("2:")
    assert f": {key}" in problem
    return problem


@pytest.mark.parametrize(
    ("value", "seconds"), [(1, 1), (900, 900), ("1s", 1), ("90s", 90), ("5m", 300), ("15m", 900), ("900s", 900)]
)
def test_a_duration_is_seconds_or_has_a_unit(value: Any, seconds: int) -> None:
    assert accepted(line("signer.ttl_seconds", value)).signer.ttl_seconds == seconds


@pytest.mark.parametrize(
    "value", ["60", "", "s", "1.5m", 1.5, "-5m", "5 m", "5M", "5min", "PT5M", True, None, [60], "٣s"]
)
def test_c_01_a_duration_of_another_form_is_refused(value: Any) -> None:
    assert "must be a whole number of seconds" in refused("signer.ttl_seconds", value)


def test_c_01_a_number_in_quotes_is_told_to_lose_them() -> None:
    assert "without quotes" in refused("signer.ttl_seconds", "60")
    assert "without quotes" not in refused("signer.ttl_seconds", "soon")


@pytest.mark.parametrize("value", [0, -1, 901, "16m", "1h", "1d"])
def test_a_call_token_lives_at_most_fifteen_minutes(value: Any) -> None:
    assert "at most 900 seconds" in refused("signer.ttl_seconds", value)


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_is_a_number(port: int) -> None:
    assert accepted(line("listen.port", port)).listen.port == port


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    assert "0 for any that is free" in refused("listen.port", port)


@pytest.mark.parametrize(
    "name", ["w", "W", "0", "weather", "we-ather", "we_ather", "a_b_c", "a-", "a--b", "a-_b", "a" * 63]
)
def test_s_04_a_server_name_is_letters_digits_dash_and_single_underscore(name: str) -> None:
    assert name in accepted(line("servers", {name: {"url": "http://w"}})).servers


@pytest.mark.parametrize(
    "name", ["", "_a", "a_", "-a", "a__b", "a___b", "a.b", "a/b", "a b", "a\n", "wétter", "a" * 64]
)
def test_s_04_a_server_name_that_could_be_taken_apart_in_two_ways_is_refused(name: str) -> None:
    (problem,) = problems(line("servers", {name: {"url": "http://w"}}))
    assert problem.startswith("2:13: servers.")
    assert "`__` separates server and tool" in problem


@pytest.mark.parametrize("text", ["", " ", "a ", " a", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\u00a0b"])
def test_a_text_that_does_not_look_like_what_it_is_is_refused(text: str) -> None:
    written = BASE + f"signer: {{audience: {json.dumps(text)}}}\n"
    (problem,) = problems(written)
    assert "signer.audience: " in problem
    assert "remove them" in problem or "empty text" in problem
    assert "\x1b" not in problem


def test_a_text_in_any_script_is_accepted() -> None:
    assert (
        accepted(line("servers", {"w": {"url": "http://w", "description": "Прогноз погоды"}})).servers["w"].description
    )
    assert accepted(line("servers", {"w": {"url": "http://w", "description": ""}})).servers["w"].description == ""


def test_a_pattern_that_no_name_could_match_is_refused() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    policy = [{"permit": {"tools": [composed]}}]
    assert accepted(line("policy", policy)).policy[0].selection.tools == (composed,)
    policy = [{"permit": {"tools": [decomposed]}}]
    assert "normal form C" in refused("policy", policy)


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
        ("sqlite::memory:", "write `memory:`"),
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
