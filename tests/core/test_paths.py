"""Paths to claims: read, written and taken away, one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.frozen import freeze, thaw
from counterseal.core.paths import ABSENT, NoObject, at, drop, has, is_missing, put, steps_of, written


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sub", ("sub",)),
        ("realm_access.roles", ("realm_access", "roles")),
        ("https://example.com/tenant", ("https://example.com/tenant",)),
        ("urn:example:x", ("urn:example:x",)),
        ("a..b", ("a", "", "b")),
    ],
)
def test_a_text_is_taken_apart_at_its_dots_unless_it_is_an_address(text: str, path: tuple[str, ...]) -> None:
    assert steps_of(text) == path
    assert written(path) == text


HELD: dict[str, Any] = {"a": {"b": {"c": 1}, "n": None}, "t": "text", "l": [1]}


@pytest.mark.parametrize("held", [HELD, freeze(HELD)], ids=["plain", "frozen"])
def test_a_value_is_found_through_objects_alone(held: Any) -> None:
    assert at(held, ("a", "b", "c")) == 1
    assert at(held, ("a", "n")) is None
    for path in (("x",), ("a", "x"), ("t", "x"), ("l", "0"), ("a", "n", "x"), ("a", "b", "c", "d")):
        assert at(held, path) is ABSENT


@pytest.mark.parametrize("value", [ABSENT, None, "", [], (), {}, freeze({})])
def test_i_07_what_is_empty_is_missing(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [False, 0, 0.0, True, 1, " ", "0", [None], ({},), {"a": None}])
def test_i_07_false_and_nought_are_there(value: Any) -> None:
    assert not is_missing(value)


def test_a_value_is_put_into_the_objects_that_are_there() -> None:
    claims = thaw(HELD)
    put(claims, ("a", "b", "d"), 2)
    put(claims, ("new", "x"), 3)
    put(claims, ("t",), "other")
    assert claims == {"a": {"b": {"c": 1, "d": 2}, "n": None}, "t": "other", "l": [1], "new": {"x": 3}}
    assert has(claims, ("new", "x"))
    for path, told in ((("t", "x"), "t"), (("l", "0"), "l"), (("a", "n", "x"), "a.n"), (("a", "b", "c", "d"), "a.b.c")):
        with pytest.raises(NoObject, match=f"^{told}$"):
            put(claims, path, 1)


def test_what_is_dropped_is_gone_and_nothing_else() -> None:
    claims = thaw(HELD)
    for path in (("a", "b", "c"), ("l",), ("x",), ("t", "x"), ("a", "x", "y")):
        drop(claims, path)
    assert claims == {"a": {"b": {}, "n": None}, "t": "text"}


_names = st.sampled_from(["a", "b", "c"])
_paths = st.lists(_names, min_size=1, max_size=4).map(tuple)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_names, _json, max_size=3), _paths, _json)
def test_what_is_put_is_found_and_what_is_dropped_is_not(
    claims: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    before = thaw(claims)
    try:
        put(claims, path, value)
    except NoObject:
        drop(claims, path)
        assert all(claims[name] == value for name, value in before.items())
        return
    assert at(claims, path) == value
    drop(claims, path)
    assert at(claims, path) is ABSENT
