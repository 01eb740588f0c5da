"""Text of a document that an agent will read: bounded, and without characters that nobody sees (M-15)."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
_KEPT: Final = frozenset("\n\t")


def seen(text: object, most: int) -> str:
    """What of it can be seen, at most so many characters; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    shown = text[: 2 * most].replace("\r\n", "\n").strip()
    if not shown.isprintable():
        shown = "".join(char for char in shown if char in _KEPT or unicodedata.category(char) not in _UNSEEN).strip()
    return shown if len(shown) <= most else f"{shown[: most - 1].rstrip()}…"
