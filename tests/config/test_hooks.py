"""`hooks:`, as far as the file itself can be right or wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.core.frozen import thaw
from counterseal.hooks.view import CREDENTIALS
from tests.config.writing import accepted, problems

LEAST: dict[str, Any] = {
    "issuer": "https://gateway.example.com",
    "signer": {"channel_token_header": "X-Line"},
    "servers": {
        "weather": {"url": "http://127.0.0.1:8000/mcp"},
        "notes": {"url": "http://127.0.0.1:8001/mcp", "signer": {"channel_token_header": "X-Other-Line"}},
    },
}


def text(**entry: Any) -> str:
    return json.dumps({**LEAST, "hooks": [{"use": "argument_schema", **entry}]})


def refused(**entry: Any) -> str:
    (problem,) = problems(text(**entry))
    return problem.split(": ", 1)[1]


def test_an_entry_needs_no_more_than_what_it_uses() -> None:
    (hook,) = accepted(text()).hooks
    assert (hook.use, hook.name, hook.headers, hook.time_limit) == ("argument_schema", None, (), 1)
    assert (hook.servers, hook.methods, hook.tools, hook.settings) == (None, None, None, {})


def test_hooks_keep_their_order() -> None:
    uses = ["b:B", "a:A", "c:C", "a:A"]
    written = json.dumps({**LEAST, "hooks": [{"use": use} for use in uses]})
    assert [hook.use for hook in accepted(written).hooks] == uses


@pytest.mark.parametrize(
    "use", ["argument_schema", "my-hook", "a.b", "x", "module:Class", "my.own.module:Class", "_m:_C", "m2:C3"]
)
def test_a_hook_is_named_or_a_class_of_a_module(use: str) -> None:
    assert accepted(text(use=use)).hooks[0].use == use


@pytest.mark.parametrize(
    "use",
    [
        *(
            "",
            " ",
            "a b",
            "-a",
            "a-",
            "a:",
            ":A",
            "a:A:B",
            "a/b:C",
            "../a:C",
            "a.:C",
            ".a:C",
            "a..b:C",
            "a:C.D",
            "a:C()",
        ),
        *("1a:C", "\u00e4:C", "x" * 65),
    ],
)
def test_c_01_what_could_mean_something_else_is_no_hook(use: str) -> None:
    assert refused(use=use).startswith("hooks[0].use: must be the name of a hook, or `module:Class`")


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_s12_no_hook_sees_a_credential(name: str) -> None:
    for spelled in (name, name.upper(), name.title()):
        assert (
            refused(headers=["X-Tenant", spelled])
            == "hooks[0].headers[1]: carries a credential, which no hook sees: remove it"
        )
    assert accepted(text(headers=["X-Tenant", f"x-not-{name}"])).hooks[0].headers == ("X-Tenant", f"x-not-{name}")


@pytest.mark.parametrize("name", ["X-Line", "x-line", "X-Other-Line", "X-OTHER-LINE"])
def test_s12_no_hook_sees_a_channel_token_wherever_it_comes_in(name: str) -> None:
    assert refused(headers=[name]) == "hooks[0].headers[0]: carries a channel token, which no hook sees: remove it"


@pytest.mark.parametrize("name", ["", "X Tenant", "X-Tenant:", "X-T\u00e4nant", "X\r\n"])
def test_a_header_has_the_name_of_one(name: str) -> None:
    assert refused(headers=[name]).startswith("hooks[0].headers[0]: is no name of an HTTP header")


def test_a_header_is_on_the_list_once() -> None:
    assert refused(headers=["X-Tenant", "X-Tenant"]).startswith("hooks[0].headers[1]: is in this list already")


@pytest.mark.parametrize(("limit", "seconds"), [(1, 1), ("1s", 1), (30, 30), ("30s", 30)])
def test_a_hook_has_a_time_limit(limit: Any, seconds: int) -> None:
    assert accepted(text(time_limit=limit)).hooks[0].time_limit == seconds


@pytest.mark.parametrize("limit", [0, -1, 31, "0s", "1m", "1h"])
def test_p_01_no_hook_is_without_one(limit: Any) -> None:
    assert refused(time_limit=limit).startswith("hooks[0].time_limit: must be 1 to 30 seconds")


@pytest.mark.parametrize("key", ["fail_open", "Use", "class", "settings", "enabled"])
def test_c_01_a_key_that_there_is_not_is_told_with_those_that_there_are(key: str) -> None:
    """There is no way to let a call pass where a hook fails."""
    assert refused(**{key: True}).startswith(f"hooks[0].{key}: is an unknown key")


def test_the_key_with_is_known_by_its_name_in_the_file() -> None:
    assert refused(wiht={}) == "hooks[0].wiht: is an unknown key; did you mean `with`?"


@pytest.mark.parametrize("key", ["servers", "methods", "tools"])
@pytest.mark.parametrize("value", [None, [], [""]])
def test_p_05_what_is_empty_could_mean_all_or_none(key: str, value: Any) -> None:
    assert f"hooks[0].{key}" in refused(**{key: value})
    assert accepted(text(**{key: ["*"]}))


def test_a_server_and_a_method_that_there_are_not_are_told() -> None:
    assert (
        refused(servers=["weather", "wether"])
        == "hooks[0].servers[1]: is not the name of a server; did you mean `weather`?"
    )
    assert refused(methods=["tools/cal"]) == "hooks[0].methods[0]: is not a method of MCP; did you mean `tools/call`?"
    accepted(text(servers=["weath*", "x*"], methods=["tools/*"]))


def test_settings_are_the_hooks_own_and_frozen() -> None:
    given = {"a": [1, {"b": None}], "c": 1.5, "d": True}
    (hook,) = accepted(text(**{"with": given})).hooks
    assert thaw(hook.settings) == given
    with pytest.raises(TypeError):
        hook.settings["a"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        hook.settings["a"].append(1)
