"""`counterseal apikey`, run as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.apikey import apikey
from counterseal.clock import SystemClock
from counterseal.core.caller import Caller
from counterseal.errors import ConfigError, Unauthenticated
from counterseal.identity.api_key import ApiKeys
from counterseal.store.open import open_store
from counterseal.store.port import API_KEY_PEPPER

CONFIG = """
issuer: https://gateway.example.com
store: {store}
servers:
  weather:
    url: http://127.0.0.1:8000/mcp
    headers: {{X-Static: "env:A_SECRET_THAT_IS_NOT_HERE"}}
  files: {{url: "http://127.0.0.1:8001/mcp"}}
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = tmp_path / "counterseal.yaml"
    config.write_text(CONFIG.format(store="sqlite:store.db"))

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(apikey, [command, "--config", str(config), *arguments])

    return run


def created(run: Run, *arguments: str) -> dict[str, str]:
    result = run("create", "--subject", "alice", *arguments, "--json")
    assert result.exit_code == 0, result.output
    key: dict[str, str] = json.loads(result.stdout)
    return key


def holder(folder: Path, secret: str, now: float) -> Caller | None:
    """Who a gateway with this store says that it is."""

    async def ask() -> Caller | None:
        store = await open_store(f"sqlite:{folder}/store.db")
        try:
            keys = ApiKeys(store, await store.secret(API_KEY_PEPPER), SystemClock())
            await keys.refresh()
            return keys.holder(secret.encode(), now)
        finally:
            await store.close()

    return asyncio.run(ask())


def listed(run: Run) -> list[dict[str, Any]]:
    result = run("list", "--json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_created_key_is_its_holders_with_all_that_was_said(run: Run, tmp_path: Path) -> None:
    key = created(
        run,
        *("--email", "alice@example.com", "--team", "data", "--org", "acme", "--agent", "copilot"),
        *(
            "--metadata",
            "cost_centre=7",
            "--metadata",
            "note=a=b",
            "--servers",
            "weather, files",
            "--tools",
            "get_*,list_*",
        ),
        *("--expires", "90d"),
    )
    assert set(key) == {"id", "secret"}
    now = time.time()
    caller = holder(tmp_path, key["secret"], now)
    assert caller is not None
    assert (caller.client_id, caller.subject, caller.email) == (key["id"], "alice", "alice@example.com")
    assert (caller.team, caller.organisation, caller.agent) == ("data", "acme", "copilot")
    assert caller.metadata == {"cost_centre": "7", "note": "a=b"}
    assert caller.servers is not None
    assert caller.tools is not None
    assert caller.servers.texts == ("weather", "files")
    assert caller.tools.texts == ("get_*", "list_*")
    assert caller.expires == pytest.approx(now + 90 * 86400, abs=60)
    assert holder(tmp_path, key["secret"], now + 89 * 86400) is not None
    with pytest.raises(Unauthenticated):
        holder(tmp_path, key["secret"], now + 91 * 86400)


def test_a_key_of_which_only_the_subject_is_said_is_not_restricted(run: Run, tmp_path: Path) -> None:
    caller = holder(tmp_path, created(run)["secret"], time.time())
    assert caller is not None
    assert (caller.servers, caller.tools, caller.expires, caller.metadata) == (None, None, None, {})


def test_people_are_shown_the_key_once_and_how_to_send_it(run: Run) -> None:
    result = run("create", "--subject", "alice")
    assert result.exit_code == 0
    key = result.stdout.splitlines()[0]
    assert result.stdout.count(key) == 1
    assert "Authorization: Bearer" in result.stdout
    assert "X-API-Key" in result.stdout
    assert f"counterseal apikey revoke {key.split('_')[1]}" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_02_no_list_shows_a_secret_or_what_is_stored_of_it(run: Run, tmp_path: Path) -> None:
    key = created(run)
    for result in (run("list"), run("list", "--json")):
        assert key["id"] in result.stdout
        assert key["secret"][17:] not in result.stdout
        assert "mac" not in result.stdout
    assert key["secret"][17:].encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_list_says_what_is_known_of_each_key(run: Run) -> None:
    assert listed(run) == []
    assert "counterseal apikey create" in run("list").stdout
    key = created(run, "--servers", "weather", "--expires", "30m")
    (row,) = listed(run)
    assert list(row) == [
        *("id", "subject", "email", "team", "org", "agent", "servers", "tools", "metadata"),
        *("created", "expires", "revoked", "last_used"),
    ]
    assert (row["id"], row["subject"], row["servers"], row["tools"]) == (key["id"], "alice", ["weather"], None)
    assert row["created"].endswith("Z")
    assert row["expires"] > row["created"]
    assert (row["revoked"], row["last_used"]) == (None, None)


def test_u_05_a_listed_name_cannot_command_a_terminal(run: Run) -> None:
    run("create", "--subject", "\x1b[2Jmallory\n\u202e", "--tools", "\x1b]0;x\x07*")
    shown = run("list").stdout
    assert "mallory" in shown
    assert all(character == "\n" or 0x20 <= ord(character) <= 0x7E for character in shown)


def test_a_revoked_key_is_refused_and_listed_as_such(run: Run, tmp_path: Path) -> None:
    gone, kept = created(run), created(run)
    result = run("revoke", gone["id"])
    assert (result.exit_code, result.stdout) == (0, f"Revoked {gone['id']}.\n")
    with pytest.raises(Unauthenticated):
        holder(tmp_path, gone["secret"], time.time())
    assert holder(tmp_path, kept["secret"], time.time()) is not None
    assert {row["id"]: row["revoked"] is not None for row in listed(run)} == {gone["id"]: True, kept["id"]: False}
    states = {line.split()[0]: line.split()[1] for line in run("list").stdout.splitlines()[1:]}
    assert states == {gone["id"]: "revoked", kept["id"]: "active"}
    again = run("revoke", gone["id"], "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, {"id": gone["id"], "revoked": True})


def test_a_key_that_is_not_there_cannot_be_revoked(run: Run) -> None:
    result = run("revoke", "nosuchkey000")
    assert result.exit_code == 1
    assert "There is no API key 'nosuchkey000'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--servers", "weather,wether"], "--servers names wether, and the configuration has weather, files"),
        (["--servers", "*"], "--servers names *"),
        (["--servers", ""], "--servers has an empty name"),
        (["--tools", "get_*,"], "--tools has an empty name"),
        (["--metadata", "novalue"], "--metadata is NAME=VALUE"),
        (["--metadata", "=value"], "--metadata is NAME=VALUE"),
        (["--metadata", "a=1", "--metadata", "a=2"], "--metadata is NAME=VALUE"),
        (["--expires", "0d"], "--expires is a time like 90d"),
        (["--expires", "-1d"], "--expires is a time like 90d"),
        (["--expires", "soon"], "--expires is a time like 90d"),
        (["--expires", "1w"], "--expires is a time like 90d"),
        (["--email", " "], "--email is empty"),
        (["--subject", ""], "--subject is empty"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage_and_makes_no_key(run: Run, arguments: list[str], says: str) -> None:
    result = run("create", "--subject", "alice", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert listed(run) == []


def test_a_key_needs_a_subject(run: Run) -> None:
    assert run("create").exit_code == 2


@pytest.mark.parametrize("command", [["create", "--subject", "alice"], ["list"], ["revoke", "abcdefghijkl"]])
def test_a_store_in_memory_has_no_keys_that_this_command_could_make(tmp_path: Path, command: list[str]) -> None:
    config = tmp_path / "counterseal.yaml"
    config.write_text(CONFIG.format(store='"memory:"'))
    result = CliRunner().invoke(apikey, [command[0], "--config", str(config), *command[1:]])
    assert isinstance(result.exception, ConfigError)
    assert "`store: sqlite:counterseal.db`" in str(result.exception)


def test_rotate_is_not_built_yet(run: Run) -> None:
    result = run("rotate", "abcdefghijkl")
    assert result.exit_code == 2
    assert "not built yet" in result.stderr


@pytest.mark.parametrize("command", [[], ["create"], ["list"], ["revoke"]])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(apikey, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "counterseal apikey" in result.stdout
