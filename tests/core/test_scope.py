"""One scope for one operation, over every name that anybody could think of."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.methods import METHODS
from counterseal.core.patterns import Patterns
from counterseal.core.scope import AllowedScopes, ScopeOf, decode_name, encode_name, scope_as_litellm_says, scope_of
from tests.support.tokens import vectors

TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 section 3.3: scope-token."""

LOOKALIKES = [
    "a.b",
    "a_b",
    "a b",
    "a:b",
    "a%2eb",
    "a%2Eb",
    "a%252Eb",
    "A.B",
    "a+b",
    "a/b",
    "a\\b",
    'a"b',
    "a\tb",
    "a\u00a0b",
]


def holds_one_token(scope: str) -> bool:
    return TOKEN.fullmatch(scope) is not None and scope.split(" ") == [scope]


def test_the_naughty_strings_all_have_a_scope_of_their_own() -> None:
    """S-01, S-02: 515 strings and those that other rules let collide; LiteLLM's maps them to fewer."""
    names = set(json.loads((vectors("blns") / "blns.json").read_text())) | set(LOOKALIKES)
    names = {name for name in names if not any("\ud800" <= letter <= "\udfff" for letter in name)}
    scopes = {scope_of("tools/call", name): name for name in names}
    assert len(scopes) == len(names) > 500
    assert all(holds_one_token(scope) for scope in scopes)
    assert all(decode_name(scope.removeprefix("mcp:tools/call:")) == name for scope, name in scopes.items())


_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    st.sampled_from(' %25:/*_.~-+"\\\tAa')
)


@settings(max_examples=200, deadline=None)
@given(_names)
def test_every_name_is_encoded_as_one_token_and_back(name: str) -> None:
    """S-01, S-02."""
    scope = scope_of("tools/call", name)
    assert holds_one_token(scope)
    assert decode_name(encode_name(name)) == name
    assert scope == "mcp:tools/call:" + encode_name(name)


@settings(max_examples=200, deadline=None)
@given(_names, _names)
def test_s_02_two_names_never_share_a_scope(one: str, other: str) -> None:
    """S-02."""
    assert (scope_of("tools/call", one) == scope_of("tools/call", other)) is (one == other)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("%2eE5Cab._é "), max_size=8))
def test_s_02_only_what_the_encoding_makes_is_decoded(text: str) -> None:
    """S-02: one name has one encoding, so `%2e` for a dot, lower-case digits and bare spaces are refused."""
    try:
        name = decode_name(text)
    except ValueError:
        return
    assert encode_name(name) == text


@pytest.mark.parametrize(
    "text", ["a b", "%2E", "%61", "%c3%a9", "%", "%zz", "%C3", "%ED%A0%80", "é", "a+b", "a/b", "a:b"]
)
def test_what_no_name_is_encoded_as_is_refused(text: str) -> None:
    assert decode_name("a%20b") == "a b"
    with pytest.raises(ValueError, match=r".*"):
        decode_name(text)


@pytest.mark.parametrize(
    "name", ["x:call mcp:tools/x:call", "*", "/../", ":list", "a mcp:tools/list", "tools/list", ""]
)
def test_no_name_means_more_than_itself(name: str) -> None:
    """S-01, S-03: no wildcard, no path and no second scope; and no tool's scope is a method's."""
    scope = scope_of("tools/call", name)
    assert holds_one_token(scope)
    encoded = scope.removeprefix("mcp:tools/call:")
    assert not set(encoded) & set("*/: ")
    assert scope not in {scope_of(method, None) for method in METHODS if method != "tools/call"}


def test_a_lone_surrogate_has_no_scope() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        scope_of("tools/call", "a\ud800")


def test_every_method_has_a_scope_of_its_own() -> None:
    """Contract section 5; only a tool is named in it."""
    scopes = {scope_of(method, "name") for method in METHODS}
    assert len(scopes) == len(METHODS)
    assert all(holds_one_token(scope) for scope in scopes)
    assert scope_of("tools/list", None) == "mcp:tools/list"
    assert scope_of("resources/read", "file:///a") == "mcp:resources/read"
    assert scope_of("tools/call", "get_weather") == "mcp:tools/call:get_weather"
    assert scope_of("io.counterseal/stream", None) == "mcp:io.counterseal/stream"


@pytest.mark.parametrize("method", ["tools/call:get_weather", "tools/call:", "a b", "a\nb", 'a"', "é", "tools%2Fcall"])
def test_no_method_can_be_spelled_so_that_its_scope_is_another_operations(method: str) -> None:
    scope = scope_of(method, None)
    assert holds_one_token(scope)
    assert not scope.startswith("mcp:tools/call:")
    assert decode_name(scope.removeprefix("mcp:").replace("/", "%2F")) == method


# ---- LiteLLM's scopes, and those that may be held ---------------------------------------------------------------------


def test_litellms_scopes_are_two_for_a_tool_and_ours_for_the_rest() -> None:
    assert scope_as_litellm_says("tools/call", "get_weather") == "mcp:tools/call mcp:tools/get_weather:call"
    assert scope_as_litellm_says("tools/list", None) == "mcp:tools/list"
    assert {scope_as_litellm_says(method, None) for method in METHODS if method != "tools/call"} == {
        scope_of(method, None) for method in METHODS if method != "tools/call"
    }


@settings(max_examples=200, deadline=None)
@given(_names, _names)
def test_s15_two_names_never_share_litellms_scopes_and_each_is_read_back(one: str, other: str) -> None:
    """S-01, S-02: still two values, whatever the name."""
    scope = scope_as_litellm_says("tools/call", one)
    first, second = scope.split(" ")
    assert first == "mcp:tools/call"
    assert holds_one_token(second)
    assert decode_name(second.removeprefix("mcp:tools/").removesuffix(":call")) == one
    assert (scope == scope_as_litellm_says("tools/call", other)) is (one == other)


def test_s15_the_naughty_strings_all_have_litellm_scopes_of_their_own() -> None:
    """The rule of LiteLLM maps 523 names to 425."""
    names = set(json.loads((vectors("blns") / "blns.json").read_text())) | set(LOOKALIKES)
    names = {name for name in names if not any("\ud800" <= letter <= "\udfff" for letter in name)}
    assert len({scope_as_litellm_says("tools/call", name) for name in names}) == len(names) > 500
    assert len({re.sub(r"[^a-zA-Z0-9_\-]", "_", name) for name in names}) < len(names) - 90


@pytest.mark.parametrize("name_it", [scope_of, scope_as_litellm_says])
def test_allowed_scopes_are_held_against_every_scope_of_an_operation(name_it: ScopeOf) -> None:
    names = name_it("tools/call", "get_weather").split(" ")
    every = AllowedScopes(Patterns.of([*names, "mcp:tools/list"]), name_it)
    assert every.refused("tools/call", "get_weather") is None
    assert every.refused("tools/list", None) is None
    assert every.refused("tools/call", "get_weather2") == name_it("tools/call", "get_weather2").split(" ")[-1]
    assert every.refused("resources/read", "x") == "mcp:resources/read"
    for missing in names:
        fewer = AllowedScopes(Patterns.of([name for name in names if name != missing]), name_it)
        assert fewer.refused("tools/call", "get_weather") == missing


def test_s_03_a_star_in_a_tools_name_is_no_wildcard_and_one_in_a_pattern_is() -> None:
    allowed = AllowedScopes(Patterns.of(["mcp:tools/call:get_*"]), scope_of)
    assert allowed.refused("tools/call", "get_weather") is None
    assert allowed.refused("tools/call", "get_*") is None
    assert allowed.refused("tools/call", "*") == "mcp:tools/call:%2A"
