"""Which alphabets a name mixes: a subject that looks like another one should catch the eye of whoever reads records.

Names are compared byte for byte and never made alike (I-14); this only says where a look is worth while.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_ALIKE: Final = frozenset(
    ["LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "FULLWIDTH", "MATHEMATICAL"]
)
"""The alphabets, and the forms of Latin, whose letters look like those of one another."""


def mixed_scripts(text: str) -> list[str] | None:
    """The alphabets in alphabetical order, by their names in Unicode, where there are two or more that look alike; else None."""
    if text.isascii():
        return None
    found = {unicodedata.name(char, "").partition(" ")[0] for char in text if char.isalpha()} & _ALIKE
    return sorted(found) if len(found) > 1 else None
