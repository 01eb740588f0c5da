"""One strict JSON reader for bodies and for tokens.

Two readers that disagree about one text are the root of a whole family of bypasses, so this one refuses every text that
another reader could understand differently: duplicate members (also when one is spelled with escapes), NaN and Infinity,
numbers that overflow a double, a byte order mark, UTF-16, lone surrogates, trailing text, and more depth or members than
the ceiling. jiter does all of that but the overflow and the ceilings.
"""

from __future__ import annotations

import math
from typing import Any, Final

import jiter


class NotStrict(ValueError):
    """The text is not JSON that every reader understands alike. The message quotes none of the text."""


class TooBig(ValueError):
    """The text is over the ceiling for depth or members."""


# A double overflows from 1e309 on, so only a text with an exponent of three digits, or with two hundred digits in a row, can
# hold one. Nearly every text has neither and is spared the walk; a match inside a string only costs the walk. Both are looked
# for in the text with every digit made a zero, in linear time and at a tenth of what a pattern costs.
_EXPONENT: Final = b"0e000"
_LONG_RUN: Final = b"0" * 200
_ZEROED: Final = bytes(
    ord("0") if 0x30 <= byte <= 0x39 else ord("e") if byte in b"eE" else ord(" ") for byte in range(256)
)


def _may_overflow(text: bytes) -> bool:
    zeroed = text.translate(_ZEROED, b"+")
    return max(zeroed.find(_EXPONENT), zeroed.find(_LONG_RUN)) >= 0  # as in core/canonical.py, not `in`


def read(text: bytes, *, depth: int, members: int) -> Any:
    """The value of one JSON text (RFC 8259, read as RFC 7493 I-JSON would have it).

    depth counts nested arrays and objects; members counts array elements and object members together.
    Raises NotStrict or TooBig. Integers keep every digit.
    """
    try:
        value = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        problem = str(error)
        if "recursion" in problem:
            raise TooBig(f"nested deeper than {depth}") from None
        raise NotStrict(_without_text(problem)) from None
    # Brackets and commas inside strings only make the estimate too high, never too low.
    opened = text.count(b"{") + text.count(b"[")
    crowded = opened > depth or text.count(b",") + opened > members
    if crowded or _may_overflow(text):
        _walk(value, depth, members)
    return value


def _without_text(problem: str) -> str:
    """jiter names a duplicate member in its message; a member's name is the caller's text and stays out of ours."""
    return "a duplicate member" if "uplicate key" in problem else problem


def _walk(value: Any, depth: int, members: int) -> None:
    seen = 0
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        node, level = stack.pop()
        if isinstance(node, dict | list):
            if level > depth:
                raise TooBig(f"nested deeper than {depth}")
            seen += len(node)
            if seen > members:
                raise TooBig(f"more than {members} members")
            stack.extend((child, level + 1) for child in (node.values() if isinstance(node, dict) else node))
        elif isinstance(node, float) and not math.isfinite(node):
            raise NotStrict("a number that no double can hold")
