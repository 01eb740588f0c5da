"""What all servers together say of themselves: only what one of them has and this caller may use."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from counterseal.wire.aggregate import merged
from counterseal.wire.aggregate.names import Spelling
from counterseal.wire.answer import NotAnAnswer


def said(capabilities: Any, **more: Any) -> merged.Introduction:
    members = msgspec.json.decode(
        json.dumps({"capabilities": capabilities, **more}).encode(), type=dict[str, msgspec.Raw]
    )
    return merged.introduction(members)


def everything(server: str, method: str) -> bool:
    return True


def test_a_capability_is_there_where_one_server_has_it() -> None:
    both = {
        "a": said({"tools": {"listChanged": True}, "logging": {}}),
        "b": said({"tools": {}, "resources": {"subscribe": True}, "prompts": {}, "completions": {}}),
    }
    assert merged.capabilities(both, everything, push=True) == {
        "tools": {"listChanged": True},
        "prompts": {},
        "resources": {"subscribe": True},
        "completions": {},
        "logging": {},
    }
    assert merged.capabilities({"b": both["b"]}, everything, push=True).keys() == {
        "tools",
        "prompts",
        "resources",
        "completions",
    }
    assert merged.capabilities({}, everything, push=True) == {}


def test_what_nobody_could_hear_is_not_promised() -> None:
    one = {"a": said({"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}})}
    assert merged.capabilities(one, everything, push=False) == {"tools": {}, "resources": {}}


def test_what_the_caller_may_not_use_is_not_promised() -> None:
    both = {"a": said({"tools": {}, "prompts": {}}), "b": said({"prompts": {}, "resources": {}})}

    def no_prompts(server: str, method: str) -> bool:
        return method != "prompts/get"

    def only_a(server: str, method: str) -> bool:
        return server == "a"

    assert merged.capabilities(both, no_prompts, push=True).keys() == {"tools", "resources"}
    assert merged.capabilities(both, only_a, push=True).keys() == {"tools", "prompts"}


def test_what_is_not_carried_here_is_left_out() -> None:
    one = said(
        {
            "tools": {"listChanged": "yes", "other": True},
            "experimental": {"x": {}},
            "extensions": {"y": {}},
            "tasks": {},
        }
    )
    assert merged.capabilities({"a": one}, everything, push=True) == {"tools": {}}


def test_of_extensions_that_of_tasks_is_carried() -> None:
    tasks = "io.modelcontextprotocol/tasks"
    both = {"a": said({"extensions": {tasks: {"x": 1}, "com.example/y": {}}}), "b": said({"extensions": {tasks: None}})}
    for push in (True, False):
        assert merged.capabilities(both, everything, push=push) == {"extensions": {tasks: {}}}
        assert merged.capabilities({"b": both["b"]}, everything, push=push) == {}


def test_instructions_stand_under_the_names_of_their_servers() -> None:
    text = merged.instructions({"a": said({}, instructions="Do."), "b": said({}), "c": said({}, instructions="Don't.")})
    assert "`{server}__{name}`" in text
    assert "`{server}-{name}`" in merged.instructions({}, Spelling("-", ("a",)))
    assert text.endswith("# a\n\nDo.\n\n# c\n\nDon't.")


def test_long_instructions_are_cut() -> None:
    assert len(said({}, instructions="x" * 20_000).instructions or "") == 16 * 1024


@pytest.mark.parametrize("capabilities", [None, [], "tools"])
def test_what_is_no_introduction_is_no_answer(capabilities: Any) -> None:
    with pytest.raises(NotAnAnswer):
        said(capabilities)


def test_how_long_it_may_be_kept_is_the_servers_word() -> None:
    one = said({}, ttlMs=7, cacheScope="public")
    assert (one.ttl_ms, one.shared) == (7, True)
    assert (said({}).ttl_ms, said({}).shared) == (0, False)
