"""`counterseal audit`, run as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counterseal.audit import reader
from counterseal.audit.sinks import FileSink
from counterseal.cli.audit import audit
from counterseal.clock import SystemClock

CALLER = {"kind": "api_key", "client_id": "abcdefghijkl", "issuer": None, "subject": "alice"}
INTENT = {
    "event": "intent",
    "record": "rec_1",
    "server": "weather",
    "method": "tools/call",
    "name": "get_forecast",
    "caller": CALLER,
    "rule": "policy[0]",
}
OUTCOME = {"event": "outcome", "record": "rec_1", "outcome": "answered", "status": 200, "reason": None}
REFUSAL = INTENT | {"event": "refusal", "record": "rec_2", "reason": "policy_denied", "caller": None}


def write(folder: Path, *entries: dict[str, Any], close: bool = True) -> None:
    async def run() -> None:
        sink = FileSink(folder, clock=SystemClock(), issuer="https://gateway.example.com")
        await sink.start()
        for entry in entries:
            await sink.write(entry)
        if close:
            await sink.close()

    asyncio.run(run())


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(audit, [command, *map(str, arguments)])


def test_tail_prints_one_line_a_record_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, INTENT, OUTCOME)
    write(tmp_path, REFUSAL)
    result = run("tail", tmp_path)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[1] for line in lines] == ["open", "intent", "outcome", "close", "open", "refusal", "close"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line[0]) for line in lines)
    assert lines[1][2:] == ["alice", "weather", "tools/call", "get_forecast", "policy[0]", "rec_1"]
    assert lines[2][2:6] == ["alice", "weather", "tools/call", "get_forecast"]
    assert lines[2][6].startswith("answered,200")
    assert lines[2][7] == "rec_1"
    assert lines[5][2:] == ["-", "weather", "tools/call", "get_forecast", "policy_denied", "rec_2"]
    assert run("tail", tmp_path, "-n", 2).stdout.splitlines() == result.stdout.splitlines()[-2:]


def test_an_outcome_says_whose_it_is_though_its_intent_is_not_among_the_last(tmp_path: Path) -> None:
    write(tmp_path, INTENT, OUTCOME, close=False)
    (line,) = run("tail", tmp_path, "-n", 1).stdout.splitlines()
    assert line.split()[1:6] == ["outcome", "alice", "weather", "tools/call", "get_forecast"]
    assert run("tail", tmp_path, "-n", 0).stdout == ""


def test_a_call_that_was_asked_of_several_servers_ends_like_any_other(tmp_path: Path) -> None:
    gather = {
        "event": "gather",
        "record": "rec_9",
        "server": "",
        "method": "tools/list",
        "name": None,
        "caller": CALLER,
    }
    write(tmp_path, gather)
    assert run("verify", tmp_path).stdout.splitlines()[-1].startswith("1 files; 1 calls with an intent and no outcome")
    write(tmp_path, {"event": "outcome", "record": "rec_9", "outcome": "answered", "status": 200, "seconds": 0.002})
    lines = [line.split() for line in run("tail", tmp_path).stdout.splitlines()]
    (begun,) = [line for line in lines if line[1] == "gather"]
    (ended,) = [line for line in lines if line[1] == "outcome"]
    assert begun[2:6] == ["alice", "-", "tools/list", "-"]
    assert ended[2:6] == ["alice", "-", "tools/list", "-"]


def test_tail_prints_the_records_as_they_are_for_programs(tmp_path: Path) -> None:
    write(tmp_path, INTENT | {"name": "é\n"})
    (path,) = reader.files(tmp_path)
    assert run("tail", tmp_path, "--json").stdout.encode() == path.read_bytes()


def test_u_05_no_name_can_command_a_terminal_or_make_a_line_of_its_own(tmp_path: Path) -> None:
    name = "a b\n2027-01-15T08:00:01Z refusal\x1b[2J\x7f\x9b\u202e\u2028"
    write(tmp_path, INTENT | {"name": name, "caller": CALLER | {"subject": name}, "server": name, "record": name})
    for arguments in ([], ["--json"]):
        shown = run("tail", tmp_path, *arguments).stdout
        assert len(shown.splitlines()) == 3
        assert all(character == "\n" or 0x20 <= ord(character) <= 0x7E for character in shown)
    assert len(run("tail", tmp_path).stdout.splitlines()[1].split()) == 8


def test_tail_has_no_colours_where_there_is_no_terminal(tmp_path: Path) -> None:
    write(tmp_path, REFUSAL)
    assert "\x1b" not in run("tail", tmp_path).stdout
    coloured = CliRunner().invoke(audit, ["tail", str(tmp_path)], color=True).stdout
    assert "\x1b[33m" in coloured


def test_tail_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    write(tmp_path, INTENT)
    program = subprocess.Popen(
        [sys.executable, "-m", "counterseal", "audit", "tail", str(tmp_path), "-f", "-n", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has them ignore it, and what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert program.stdout is not None
        assert " close " in program.stdout.readline()
        write(tmp_path, REFUSAL)
        assert [program.stdout.readline().split()[1] for _ in range(3)] == ["open", "refusal", "close"]
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
        assert program.stderr is not None
        assert program.stderr.read() == ""
    finally:
        program.kill()
        program.communicate()


def test_verify_says_that_whole_files_are_whole(tmp_path: Path) -> None:
    write(tmp_path, INTENT, OUTCOME)
    write(tmp_path, INTENT | {"record": "rec_3"}, close=False)
    result = run("verify", tmp_path)
    assert result.exit_code == 0
    one, other = reader.files(tmp_path)
    assert result.stdout.splitlines() == [
        f"{one}: 4 records, whole and closed",
        f"{other}: 2 records, whole so far, not closed: still being written, or its writer was killed",
        "2 files; 1 calls with an intent and no outcome",
        "Whether records were cut off the end of a file that was not closed cannot be seen yet.",
    ]


def test_u_03_verify_says_where_a_file_was_changed(tmp_path: Path) -> None:
    write(tmp_path, INTENT, OUTCOME)
    (path,) = reader.files(tmp_path)
    assert run("verify", tmp_path).exit_code == 0
    path.write_bytes(path.read_bytes().replace(b"get_forecast", b"get_forecasT"))
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert f"{path}:3: the line does not follow the one before: one of the two was changed" in result.stdout
    found = run("verify", tmp_path, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout) == {
        "broken": True,
        "files": [
            {
                "file": str(path),
                "state": "broken",
                "records": 2,
                "line": 3,
                "problem": "the line does not follow the one before: one of the two was changed",
            }
        ],
        "intents_without_outcome": 0,
    }


def test_u_05_nor_can_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\n\u202e.jsonl").write_bytes(b"x\n")
    (tmp_path / "b\x1b[2J\n.jsonl").write_bytes(b"")
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert result.output.isascii()
    assert "\x1b" not in result.output
    assert [line.partition(".jsonl")[0] for line in result.output.splitlines()[:2]] == [
        f"{tmp_path}/a\\u001b[2J\\n\\u202e",
        f"{tmp_path}/b\\u001b[2J\\n",
    ]


def test_a_record_that_was_not_written_to_its_end_is_not_called_broken(tmp_path: Path) -> None:
    write(tmp_path, INTENT, OUTCOME)
    (path,) = reader.files(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    result = run("verify", tmp_path)
    assert result.exit_code == 0
    assert "the last line is not complete" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["verify", ".", "--jwks", "keys.json"], ["export"], ["export", ".", "--to", "x"]]
)
def test_what_is_not_built_yet_says_so(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "not built yet" in result.stderr


@pytest.mark.parametrize("command", ["tail", "verify"])
def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, command: str) -> None:
    result = run(command, tmp_path / "nowhere")
    assert result.exit_code == 2


@pytest.mark.parametrize("command", [[], ["tail"], ["verify"]])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(audit, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "counterseal audit" in result.stdout
