"""How large and of which characters a claim may be that a caller has a say in (I-05)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from counterseal.core.limits import LIMITS
from counterseal.core.names import is_plain

_SAFE_INTEGER: Final = 2**53
"""Beyond it readers that hold numbers as doubles see another number (RFC 7493 section 2.2)."""
_SURELY_SHORT: Final = LIMITS.claim_text_bytes // 4
"""Characters that fit whatever they are."""


class OutOfBounds(ValueError):
    """A value must not be a claim. The text says why, without it."""


def bounded(value: Any) -> Any:
    """A new plain JSON value, equal to this one and sharing nothing with it that can be changed. Raises OutOfBounds."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= _SURELY_SHORT and value.isprintable() else _text(value)
    if kind is bool or value is None:
        return value
    if kind is tuple or kind is list:
        # Most lists are of a few short texts, and to look at each of them would cost more than all the rest.
        try:
            together = "".join(value)
        except TypeError:
            together = ""
        if 0 < len(together) <= _SURELY_SHORT and len(value) <= LIMITS.claim_json_members and together.isprintable():
            return list(value)
    return _copy(value, 0, [LIMITS.claim_json_members])


def _copy(value: Any, depth: int, left: list[int]) -> Any:
    """left: how many members there may still be, counted down."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is list or kind is tuple:
        _enter(value, depth, left)
        return [_copy(one, depth + 1, left) for one in value]
    if kind is dict or kind is MappingProxyType:
        _enter(value, depth, left)
        return {_text(name): _copy(one, depth + 1, left) for name, one in value.items()}
    if kind is int and not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
        raise OutOfBounds("has a whole number beyond 2^53")
    return value


def _enter(holder: Any, depth: int, left: list[int]) -> None:
    if depth >= LIMITS.claim_json_depth:
        raise OutOfBounds(f"has lists and objects more than {LIMITS.claim_json_depth} deep")
    left[0] -= len(holder)
    if left[0] < 0:
        raise OutOfBounds(f"has more than {LIMITS.claim_json_members} members")


def _text(text: str) -> str:
    if len(text) > _SURELY_SHORT and len(text.encode(errors="replace")) > LIMITS.claim_text_bytes:
        raise OutOfBounds(f"has a text of more than {LIMITS.claim_text_bytes} bytes")
    if not is_plain(text):
        raise OutOfBounds("has a text with characters that nobody sees")
    return text
