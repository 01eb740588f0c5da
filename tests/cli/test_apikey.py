"""`counterseal apikey`, run as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
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


def name_in_store(folder: Path, subject: str) -> None:
    """Give every key a subject, also one that `create` refuses."""
    with closing(sqlite3.connect(folder / "store.db")) as store, store:
        store.execute("UPDATE api_keys SET subject = ?", [subject])


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


def test_metadata_is_text_under_any_name_that_a_configuration_can_write(run: Run, tmp_path: Path) -> None:
    given = {
        "a": "1",
        "cost_centre": "a=b=c",
        "a.b-c": "",
        "x" * 64: "  ßpace\n ",
        "A": '{"not": "parsed"}',
        "-": "true",
    }
    options = [word for name, value in given.items() for word in ("--metadata", f"{name}={value}")]
    caller = holder(tmp_path, created(run, *options)["secret"], time.time())
    assert caller is not None
    assert caller.metadata == given
    assert all(type(value) is str for value in caller.metadata.values())
    assert listed(run)[0]["metadata"] == given


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
        *("created", "expires", "revoked", "last_used", "previous_ends"),
    ]
    assert (row["id"], row["subject"], row["servers"], row["tools"]) == (key["id"], "alice", ["weather"], None)
    assert row["created"].endswith("Z")
    assert row["expires"] > row["created"]
    assert (row["revoked"], row["last_used"], row["previous_ends"]) == (None, None, None)


def test_u_05_a_listed_name_cannot_command_a_terminal(run: Run, tmp_path: Path) -> None:
    created(run, "--tools", "\x1b]0;x\x07*")
    name_in_store(tmp_path, "\x1b[2Jmallory\n\u202e")
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
        (["--metadata", "novalue"], "--metadata is NAME=VALUE, and 'novalue' has no `=`"),
        (["--metadata", "=value"], "the name '' is not 1 to 64 of A-Z a-z 0-9 _ . and -"),
        (["--metadata", "a b=1"], "the name 'a b' is not"),
        (["--metadata", "näme=1"], "is not 1 to 64"),
        (["--metadata", f"{'a' * 65}=1"], "is not 1 to 64"),
        (["--metadata", "a=1", "--metadata", "a=2"], "--metadata names a twice"),
        (["--metadata", "a=1", "--metadata", "a=1"], "--metadata names a twice"),
        (["--metadata", "a=\udcff"], "--metadata is not text in UTF-8"),
        (["--team", "\udcff"], "--team is not text in UTF-8"),
        (["--tools", "\udcff"], "--tools is not text in UTF-8"),
        (["--expires", "0d"], "--expires is a time like 90d"),
        (["--expires", "-1d"], "--expires is a time like 90d"),
        (["--expires", "soon"], "--expires is a time like 90d"),
        (["--expires", "1w"], "--expires is a time like 90d"),
        (["--expires", "36501d"], "--expires is at most 36500d"),
        (["--expires", "999999999d"], "--expires is at most 36500d"),
        (["--email", " "], "--email is empty"),
        (["--subject", ""], "--subject is empty"),
        (["--subject", "alice\nbob"], "--subject is 1 to 255 characters that a reader can see"),
        (["--subject", "a" * 256], "--subject is 1 to 255 characters"),
        (["--agent", "planner\x00"], "--agent is 1 to 255 characters"),
        (["--email", "alice@\u202eexample.com"], "--email is 1 to 255 characters"),
        (["--team", "da\u200bta"], "--team is 1 to 255 characters"),
        (["--org", "acme\r"], "--org is 1 to 255 characters"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage_and_makes_no_key(run: Run, arguments: list[str], says: str) -> None:
    result = run("create", "--subject", "alice", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert listed(run) == []


def test_a_key_needs_a_subject(run: Run) -> None:
    assert run("create").exit_code == 2


@pytest.mark.parametrize(
    "command",
    [["create", "--subject", "alice"], ["list"], ["rotate", "abcdefghijkl"], ["revoke", "abcdefghijkl"], ["inspect"]],
)
def test_a_store_in_memory_has_no_keys_that_this_command_could_make(tmp_path: Path, command: list[str]) -> None:
    config = tmp_path / "counterseal.yaml"
    config.write_text(CONFIG.format(store='"memory:"'))
    result = CliRunner().invoke(apikey, [command[0], "--config", str(config), *command[1:]])
    assert isinstance(result.exception, ConfigError)
    assert "`store: sqlite:counterseal.db`" in str(result.exception)


# rotate


def rotated(run: Run, id: str, *arguments: str) -> dict[str, str]:
    result = run("rotate", id, *arguments, "--json")
    assert result.exit_code == 0, result.output
    key: dict[str, str] = json.loads(result.stdout)
    assert list(key) == ["id", "secret", "previous_ends"]
    return key


def seconds(date: str) -> float:
    return datetime.fromisoformat(date).timestamp()


def test_a_rotated_key_is_the_same_key_with_another_secret(run: Run, tmp_path: Path) -> None:
    made = created(run, "--team", "data", "--metadata", "cost_centre=7", "--servers", "weather", "--tools", "get_*")
    (before,) = listed(run)
    was = holder(tmp_path, made["secret"], time.time())
    key = rotated(run, made["id"])
    assert key["id"] == made["id"]
    assert key["secret"] != made["secret"]
    assert holder(tmp_path, key["secret"], time.time()) == was
    (after,) = listed(run)
    assert after == {**before, "previous_ends": key["previous_ends"]}


def test_without_an_overlap_the_earlier_secret_ends_at_once(run: Run, tmp_path: Path) -> None:
    made = created(run)
    key = rotated(run, made["id"])
    assert seconds(key["previous_ends"]) == pytest.approx(time.time(), abs=60)
    with pytest.raises(Unauthenticated):
        holder(tmp_path, made["secret"], time.time())
    assert "until" not in run("list").stdout


def test_with_an_overlap_both_secrets_work_until_it_is_over_and_the_list_says_so(run: Run, tmp_path: Path) -> None:
    made = created(run)
    key = rotated(run, made["id"], "--overlap", "24h")
    ends = seconds(key["previous_ends"])
    assert ends == pytest.approx(time.time() + 24 * 3600, abs=60)
    for secret in (made["secret"], key["secret"]):
        assert holder(tmp_path, secret, ends) is not None
    assert holder(tmp_path, key["secret"], ends + 1) is not None
    with pytest.raises(Unauthenticated):
        holder(tmp_path, made["secret"], ends + 1)
    assert f"until {key['previous_ends']}" in run("list").stdout
    assert listed(run)[0]["previous_ends"] == key["previous_ends"]


def test_there_are_never_more_than_two_secrets(run: Run, tmp_path: Path) -> None:
    first = created(run)
    second = rotated(run, first["id"], "--overlap", "24h")
    third = rotated(run, first["id"], "--overlap", "1h")
    for secret in (second["secret"], third["secret"]):
        assert holder(tmp_path, secret, time.time()) is not None
    with pytest.raises(Unauthenticated):
        holder(tmp_path, first["secret"], time.time())


def test_an_overlap_ends_no_later_than_the_key(run: Run) -> None:
    made = created(run, "--expires", "30m")
    assert rotated(run, made["id"], "--overlap", "30d")["previous_ends"] == listed(run)[0]["expires"]


def test_people_are_shown_the_new_secret_once_and_how_long_the_earlier_one_goes_on(run: Run) -> None:
    id = created(run)["id"]
    for arguments, says in (([], "has ended"), (["--overlap", "2h"], "works until 20")):
        result = run("rotate", id, *arguments)
        assert result.exit_code == 0
        key = result.stdout.splitlines()[0]
        assert key.startswith(f"csk_{id}_")
        assert result.stdout.count(key) == 1
        assert f"The earlier secret of {id} {says}" in result.stdout
        assert "\x1b" not in result.stdout


def test_a_key_that_is_not_there_cannot_be_rotated(run: Run) -> None:
    result = run("rotate", "nosuchkey000")
    assert result.exit_code == 1
    assert "There is no API key 'nosuchkey000'; `counterseal apikey list` shows the ids." in result.stderr


def test_a_key_that_was_revoked_is_not_rotated_but_made_anew(run: Run, tmp_path: Path) -> None:
    made = created(run)
    run("revoke", made["id"])
    before = listed(run)
    result = run("rotate", made["id"], "--overlap", "1h")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"API key {made['id']} was revoked" in result.stderr
    assert "counterseal apikey create" in result.stderr
    assert listed(run) == before


def test_a_key_that_has_expired_is_not_rotated_but_made_anew(run: Run, tmp_path: Path) -> None:
    made = created(run, "--expires", "30m")
    database = sqlite3.connect(tmp_path / "store.db")
    database.execute("UPDATE api_keys SET expires = created")
    database.commit()
    database.close()
    result = run("rotate", made["id"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"API key {made['id']} has expired" in result.stderr
    assert "counterseal apikey create" in result.stderr


@pytest.mark.parametrize(
    ("overlap", "says"),
    [
        ("31d", "--overlap is at most 30d"),
        ("2592001", "--overlap is at most 30d"),
        ("-1h", "--overlap is a time like"),
        ("soon", "--overlap is a time like"),
        ("", "--overlap is a time like"),
        ("24", None),
        ("0", None),
        ("30d", None),
    ],
)
def test_an_overlap_is_a_time_of_at_most_30_days(run: Run, overlap: str, says: str | None) -> None:
    made = created(run)
    result = run("rotate", made["id"], "--overlap", overlap)
    assert result.exit_code == (0 if says is None else 2)
    assert (says or "") in result.stderr
    assert (listed(run)[0]["previous_ends"] is None) == (says is not None)


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_02_a_whole_key_as_an_argument_is_refused_without_repeating_it(run: Run, command: str) -> None:
    key = created(run)
    result = run(command, key["secret"])
    assert result.exit_code == 2
    assert "Give the key's id, not the key" in result.stderr
    assert key["secret"][17:] not in result.output
    assert run(command, key["id"]).exit_code == 0


def test_a_02_no_secret_of_a_rotated_key_is_kept(run: Run, tmp_path: Path) -> None:
    made = created(run)
    key = rotated(run, made["id"], "--overlap", "1h")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (made["secret"], key["secret"]):
        assert secret[17:].encode() not in kept
        assert secret[17:] not in run("list").stdout + run("list", "--json").stdout


def test_a_06_nobody_chooses_a_secret_or_the_pepper() -> None:
    """What a command takes says whose the key is and what it may; the rest is drawn."""
    assert {
        name: sorted(option.name or "" for option in command.params) for name, command in apikey.commands.items()
    } == {
        "create": sorted(
            ["config", "subject", "email", "team", "org", "agent", "metadata", "servers", "tools", "expires", "as_json"]
        ),
        "list": ["as_json", "config"],
        "rotate": ["as_json", "config", "id", "overlap"],
        "revoke": ["as_json", "config", "id"],
        "inspect": ["as_json", "config", "no_store"],
    }


@pytest.mark.parametrize("command", [[], ["create"], ["list"], ["rotate"], ["revoke"], ["inspect"]])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(apikey, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "counterseal apikey" in result.stdout
