"""What a caller says fits into a claim, at n and n + 1."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.bounds import OutOfBounds, bounded
from counterseal.core.frozen import freeze
from counterseal.core.limits import LIMITS
from tests.support.tokens import vectors


def nested(depth: int, inside: Any = 1) -> Any:
    for _ in range(depth):
        inside = [inside]
    return inside


@pytest.mark.parametrize(
    ("fits", "does_not", "says"),
    [
        ("x" * 4096, "x" * 4097, "4096 bytes"),
        ("é" * 2048, "é" * 2049, "4096 bytes"),
        (["x" * 4096], ["x" * 4097], "4096 bytes"),
        ({"x" * 4096: 1}, {"x" * 4097: 1}, "4096 bytes"),
        (["x" * 100] * 256, ["x" * 100] * 257, "256 members"),
        (["x"] * 256, ["x"] * 257, "256 members"),
        ([1] * 256, [1] * 257, "256 members"),
        ([[1] * 127, [1] * 127], [[1] * 127, [1] * 128], "256 members"),
        ({str(n): n for n in range(256)}, {str(n): n for n in range(257)}, "256 members"),
        (nested(8), nested(9), "8 deep"),
        (nested(8, "x"), nested(9, "x"), "8 deep"),
        ({"a": nested(7)}, {"a": nested(8)}, "8 deep"),
        (2**53, 2**53 + 1, "2\\^53"),
        ([-(2**53)], [-(2**53) - 1], "2\\^53"),
    ],
)
def test_i_05_a_value_is_as_large_as_it_may_be_and_no_larger(fits: Any, does_not: Any, says: str) -> None:
    assert bounded(fits) == fits
    with pytest.raises(OutOfBounds, match=says):
        bounded(does_not)


@pytest.mark.parametrize("char", ["\r\n", "\0", "\u202e", "\ud800", "\u2028", "\x1b", "\u200f"])
def test_i_05_no_text_ends_a_line_or_turns_one_around(char: str) -> None:
    for value in (f"a{char}b", [f"a{char}b"], ["a", 1, f"a{char}b"], {"a": {"b": f"a{char}b"}}, {f"a{char}b": 1}):
        with pytest.raises(OutOfBounds, match="nobody sees"):
            bounded(value)


def test_i_05_of_the_naughty_strings_those_pass_that_hold_nothing_unseen() -> None:
    texts = json.loads((vectors("blns") / "blns.json").read_text())
    passed = []
    for text in texts:
        try:
            passed.append(bounded(text))
        except OutOfBounds:
            continue
    assert len(texts) > len(passed) > 400
    assert all(text.splitlines() in ([text], []) and "\0" not in text for text in passed)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text("ab é", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(
    _json.filter(lambda value: json.dumps(value).count("[") + json.dumps(value).count("{") <= LIMITS.claim_json_depth)
)
def test_i_09_what_fits_comes_back_equal_and_new(value: Any) -> None:
    for held in (value, freeze(value)):
        made = bounded(held)
        assert made == value
        assert json.loads(json.dumps(made)) == value
        assert made is not value or not isinstance(value, list | dict)
