"""Names that mix alphabets catch the eye; names that don't are left alone."""

from __future__ import annotations

import pytest

from counterseal.core.scripts import mixed_scripts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\N{CYRILLIC SMALL LETTER A}dmin", ["CYRILLIC", "LATIN"]),
        ("g\N{GREEK SMALL LETTER OMICRON}\N{CYRILLIC SMALL LETTER O}gle", ["CYRILLIC", "GREEK", "LATIN"]),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}dmin", ["FULLWIDTH", "LATIN"]),
        ("\N{MATHEMATICAL BOLD SMALL A}dmin", ["LATIN", "MATHEMATICAL"]),
    ],
)
def test_i_14_alphabets_that_look_alike_in_one_name_are_told(text: str, found: list[str]) -> None:
    assert mixed_scripts(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "admin",
        "ålice",
        "Жанна 7",
        "アリス-alice",
        "李明@example.com",
        "\u202e",
        "1\N{CYRILLIC SMALL LETTER A}",
        "\ud800",
    ],
)
def test_i_14_a_name_of_one_alphabet_or_of_others_that_go_together_is_no_alarm(text: str) -> None:
    assert mixed_scripts(text) is None
