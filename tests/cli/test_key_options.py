"""What the options of `counterseal apikey` may say. What the command makes of wrong ones is in test_apikey.py."""

from __future__ import annotations

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.cli import key_options

NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)


@given(st.dictionaries(NAME, st.text()))
def test_every_value_comes_back_as_the_text_that_it_was(wanted: dict[str, str]) -> None:
    assert key_options.metadata(f"{name}={value}" for name, value in wanted.items()) == wanted


@given(st.text(st.characters(exclude_characters="=")))
def test_a_name_is_of_the_pattern_or_refused(name: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        assert key_options.metadata([f"{name}=1"]) == {name: "1"}
    else:
        with pytest.raises(click.UsageError, match="the name"):
            key_options.metadata([f"{name}=1"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("45", 45), ("30m", 1800), ("12h", 43200), ("90d", 7776000), ("0", 0), ("0d", 0)]
)
def test_a_time_is_a_whole_number_and_a_unit(text: str, seconds: int) -> None:
    assert key_options.seconds("--x", text, least=0, most="36500d") == seconds


@pytest.mark.parametrize("text", ["", "s", "1.5h", "1e3", " 1h", "1h ", "1h30m", "-1", "+1", "01d", "\u0661h", "1D"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(click.UsageError, match="--x is a time like"):
        key_options.seconds("--x", text, least=0, most="36500d")


@pytest.mark.parametrize(("text", "fits"), [("29d", True), ("30d", True), ("2592000", True), ("2592001", False)])
def test_a_time_may_be_as_long_as_the_longest_and_no_longer(text: str, fits: bool) -> None:
    if fits:
        assert key_options.seconds("--x", text, least=1, most="30d") > 0
    else:
        with pytest.raises(click.UsageError, match="at most 30d"):
            key_options.seconds("--x", text, least=1, most="30d")


def test_names_are_parted_by_commas_and_none_is_empty() -> None:
    assert key_options.names("--x", "a, b ,c") == ("a", "b", "c")
    assert key_options.names("--x", None) is None
    for wrong in ("", ",", "a,", " "):
        with pytest.raises(click.UsageError, match="--x has an empty name"):
            key_options.names("--x", wrong)


def test_text_that_is_no_utf_8_is_told_by_its_option() -> None:
    key_options.check_texts([("team", "dätä"), ("org", None)])
    with pytest.raises(click.UsageError, match="--org is not text"):
        key_options.check_texts([("team", "data"), ("org", "\udcff")])
