"""`counterseal audit reconcile` for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from counterseal.cli.audit import audit
from tests.audit.test_reconcile import AUDIENCE, held, intent, outcome, receipt

CALLS = [intent("a"), outcome("a"), intent("b"), outcome("b", "failed", status=502, reason="server_unreachable")]


def run(folder: Path, *more: str, server: str = "receipts.jsonl") -> Result:
    told = ("--gateway", str(folder / "audit"), "--server", str(folder / server))
    return CliRunner().invoke(audit, ["reconcile", *told, *more])


def test_the_same_calls_are_exit_code_0(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a")])
    done = run(tmp_path)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"server    {AUDIENCE}",
        "minted    2",
        "verified  1",
        "explained 1  it failed: server_unreachable",
        "",
        "The same calls on both sides.",
    ]


def test_a_difference_is_exit_code_1_with_its_call_and_its_meaning(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a"), receipt("forged\u001b[31m", sub="mallory")])
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "1  verified, and not minted by these records: somebody else has the signing key" in done.stdout
    assert "\\u001b[31m  tools/call  get_weather  mallory" in done.stdout
    assert "\u001b" not in done.stdout
    assert done.stdout.endswith("Not the same: 1 differences.\n")


def test_for_programs_there_is_json_with_every_difference(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a"), *(receipt(f"f{number}") for number in range(50))])
    assert "... and 30 more" in run(tmp_path).stdout
    done = run(tmp_path, "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["equal"], said["minted"], said["verified"]) == (False, 2, 51)
    assert {one["jti"] for one in said["differences"]} == {f"f{number}" for number in range(50)}
    assert {(one["kind"], one["aud"]) for one in said["differences"]} == {("not_minted", AUDIENCE)}
    assert "somebody else has the signing key" in said["differences"][0]["meaning"]


def test_records_that_were_changed_are_exit_code_1_and_nothing_is_compared(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a")])
    (path,) = (tmp_path / "audit").iterdir()
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo", 1))
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "nothing was compared" in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a")])
    again = ("--server", str(tmp_path / "receipts.jsonl"), "--gateway", str(tmp_path / "audit"))
    assert run(tmp_path, *again).exit_code == 0


def test_wrong_usage_says_what_would_be_right(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a")])
    (tmp_path / "empty").mkdir()
    for arguments, says in (
        (("--since", "yesterday"), "write a time with its zone"),
        (("--until", "2026-07-28T12:00:00"), "write a time with its zone"),
    ):
        done = run(tmp_path, *arguments)
        assert (done.exit_code, says in done.output) == (2, True), done.output
    done = run(tmp_path, server="empty")
    assert done.exit_code == 2
    assert "--audience" in done.output
    done = run(tmp_path, "--audience", AUDIENCE, server="empty")
    assert done.exit_code == 1
    assert "minted and answered, and not verified" in done.stdout
    (tmp_path / "audit").rename(tmp_path / "moved")
    (tmp_path / "audit").mkdir()
    assert run(tmp_path).exit_code == 2


def test_a_window_is_a_time_with_its_zone(tmp_path: Path) -> None:
    held(tmp_path, CALLS, [receipt("a")])
    done = run(tmp_path, "--since", "2100-01-01T00:00:00Z", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["minted"] == 0
