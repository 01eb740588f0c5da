"""Names with `*`, compiled once: the only wildcard in policies and API keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patterns:
    """Any of some names, each exact or with `*`."""

    texts: tuple[str, ...]
    _matches: Callable[[str], object]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Patterns:
        texts = tuple(texts)
        # An empty list matches nothing; an empty pattern would match the empty name.
        return cls(texts, re.compile("|".join(map(_regex, texts)) if texts else r"(?!)", re.DOTALL).fullmatch)

    def match(self, name: str | None) -> bool:
        return name is not None and self._matches(name) is not None


def _regex(text: str) -> str:
    """One name with `*` as a regular expression for fullmatch. Each part between two `*` is taken where it comes first and
    never tried again (an atomic group), so a caller cannot choose a name that takes quadratic time."""
    first, *rest = map(re.escape, text.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last
