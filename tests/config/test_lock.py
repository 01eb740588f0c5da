"""`counterseal.lock`: written for reviewers, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterseal.config.compile import warnings
from counterseal.config.load import load
from counterseal.config.lock import lock_path, read_lock, write_lock
from counterseal.core.definition import definition_digest
from counterseal.errors import ConfigError

TOOL: dict[str, Any] = {"name": "a", "description": "wörd \U000e0041\u200b x", "inputSchema": {"maximum": 2**63 - 1}}


def entry(**changes: Any) -> dict[str, Any]:
    return {"digest": definition_digest(TOOL), "definition": TOOL, **changes}


def document(**changes: Any) -> dict[str, Any]:
    return {"lock": 1, "servers": {"weather": {"a": entry()}}, **changes}


def problems(folder: Path, text: str | bytes | dict[str, Any]) -> list[str]:
    content = json.dumps(text, indent=1).encode() if isinstance(text, dict) else text
    lock_path(folder).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as caught:
        read_lock(folder)
    return [problem.removeprefix(f"{lock_path(folder)}:") for problem in caught.value.problems]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    locked = {"weather": {"b": {"name": "b"}, "a": TOOL}, "crm": {}}
    lock_path(tmp_path).write_text(write_lock(locked))
    assert read_lock(tmp_path) == locked


def test_it_changes_only_where_something_changed() -> None:
    one = {"weather": {"b": {"name": "b", "title": "B"}, "a": TOOL}, "crm": {}}
    other = {"crm": {}, "weather": {"a": dict(reversed(TOOL.items())), "b": {"title": "B", "name": "b"}}}
    assert write_lock(one) == write_lock(other)


def test_m_15_a_reviewer_sees_every_character() -> None:
    text = write_lock({"weather": {"a": TOOL}})
    assert "wörd \\udb40\\udc41\\u200b x" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_no_file_locks_nothing(tmp_path: Path) -> None:
    assert read_lock(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1:1: the file is empty"),
        ("lock: 1", "1:1: counterseal.lock: is not what `counterseal servers lock` writes"),
        ("[]", "1:1: counterseal.lock: is not what `counterseal servers lock` writes"),
        (b"\xff", "1:1: the file is not UTF-8"),
        ('{"lock": 1,\n "servers": {"a": }}', "2:19: the file is not JSON"),
        ('{"lock": 1, "lock": 1, "servers": {}}', "1:1: the file is not JSON that every reader takes alike"),
        (document(lock=2), "2:2: lock: is of another version; this one reads 1"),
        ({"servers": {}}, "1:1: counterseal.lock: is of another version"),
        (document(more=1), "26:2: more: is an unknown member: remove it"),
        ({"lock": 1, "servers": {"weather": []}}, "4:3: servers.weather: is not a mapping of tools"),
    ],
)
def test_what_is_no_lock_file_is_told_with_its_place(tmp_path: Path, text: Any, says: str) -> None:
    (problem,) = problems(tmp_path, text)
    if isinstance(text, dict) and "more" in text:
        assert problem.partition(":")[2].partition(" ")[2].startswith("more: is an unknown member")
        return
    assert problem.startswith(says)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"digest": entry()["digest"][:-1] + "x"}, "has a `digest` that is not that of its `definition`"),
        ({"definition": {**TOOL, "description": "evil"}}, "has a `digest` that is not that of its `definition`"),
        ({"definition": {**TOOL, "name": "b"}}, "has the definition of another tool"),
        ({"definition": []}, "has the definition of another tool"),
        ({"note": "reviewed"}, "must have `digest` and `definition` and nothing else"),
    ],
)
def test_a_tool_that_was_changed_by_hand_is_found_out(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    (problem,) = problems(tmp_path, {"lock": 1, "servers": {"weather": {"a": entry(**changed)}}})
    assert problem.startswith(f"5:4: servers.weather.a: {says}")
    assert problem.endswith("write the file again with `counterseal servers lock`")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    servers = {"weather": {"a": entry(digest="x"), "b": entry()}, "crm": 1}
    assert len(problems(tmp_path, {"lock": 1, "servers": servers})) == 3


def test_a_folder_in_its_place_is_an_error_and_not_no_lock(tmp_path: Path) -> None:
    lock_path(tmp_path).mkdir()
    with pytest.raises(ConfigError, match="it cannot be read"):
        read_lock(tmp_path)


def test_a_server_that_is_not_configured_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "counterseal.yaml"
    config.write_text('issuer: https://g.example.com\nservers: {crm: {url: "https://crm.example.com/mcp"}}\n')
    lock_path(tmp_path).write_text(write_lock({"crm": {}}))
    told = list(warnings(load(config), {}))
    lock_path(tmp_path).write_text(write_lock({"crm": {}, "weather": {}}))
    (more,) = set(warnings(load(config), {})) - set(told)
    assert (
        more == "counterseal.lock has the server weather, which is not configured: one that was renamed is not locked"
    )
