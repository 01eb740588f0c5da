"""Names with `*`."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterseal.core.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("read_*", "read_file", True),
        ("read_*", "read_", True),
        ("read_*", "pread_file", False),
        ("read_*", "x\nread_file", False),
        ("read_*", "read", False),
        ("read_file", "read_file", True),
        ("read_file", "read_file\n", False),
        ("read_file", "read_file2", False),
        ("*_file", "read_file", True),
        ("*_file", "read_file_", False),
        ("*", "", True),
        ("*", "a\nb", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "axbxbc", True),
        ("a*b*c", "acb", False),
        ("a**b", "ab", True),
        ("a*a", "a", False),
        ("", "", True),
        ("", "a", False),
        ("a.b", "aXb", False),
        ("a?b", "aXb", False),
        ("[ab]", "a", False),
        ("(a|b)", "a", False),
        ("a|b", "a", False),
        ("^a$", "a", False),
        ("\\*", "\\x", True),
        ("\\*", "*", False),
    ],
)
def test_a_star_stands_for_any_run_of_characters_and_nothing_else_is_special(
    pattern: str, name: str, matches: bool
) -> None:
    """S-05: anchored at both ends."""
    assert Patterns.of([pattern]).match(name) is matches


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("delete", "Delete"),
        ("DELETE", "delete"),
        ("ss*", "\u00df"),
        ("s", "\u017f"),
        ("K", "\u212a"),
        ("k", "\u212a"),
        ("i", "\u0130"),
        ("caf\u00e9", "cafe\u0301"),
        ("a", "\uff41"),
        ("admin", "\u0430dmin"),
    ],
)
def test_names_are_compared_as_they_are(pattern: str, name: str) -> None:
    """S-06, I-14: no folding of case, no normalisation."""
    assert not Patterns.of([pattern]).match(name)
    assert Patterns.of([name]).match(name)


def test_any_of_some_patterns_is_enough_and_none_of_no_patterns_is() -> None:
    """S-09: an empty list matches nothing, not even the empty name."""
    either = Patterns.of(iter(["a*", "b"]))
    assert [name for name in ("a", "ab", "b", "bc", "c", "") if either.match(name)] == ["a", "ab", "b"]
    assert either.texts == ("a*", "b")
    assert not any(Patterns.of([]).match(name) for name in ("", "a", "*"))


def test_an_absent_name_matches_nothing() -> None:
    assert not Patterns.of(["*", ""]).match(None)


_names = st.text(st.sampled_from("ab*.\n[é"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(_names, max_size=3), _names)
@example(["*a*b*a"], "aba")
@example(["a*ab*b"], "aabb")
def test_patterns_match_what_the_standard_librarys_do(texts: list[str], name: str) -> None:
    """S-05: with everything but `*` taken as it is."""
    expected = any(re.fullmatch(fnmatch.translate(text.replace("[", "[[]")), name) is not None for text in texts)
    assert Patterns.of(texts).match(name) is expected


def test_no_name_takes_more_than_its_length_in_time() -> None:
    """J-13: a caller chooses the name, as long as a body may be, after reading which patterns there are."""
    for text, part in (("get_*_by_*_v2", "_by_"), ("*a*a*a*a*b", "a"), ("*ab*ab*c", "ab")):
        started = time.process_time()
        assert not Patterns.of([text]).match("get_" + part * (1_000_000 // len(part)))
        assert time.process_time() - started < 2
