"""The way to a claim: its name, or the names of the objects around it and then its own.

As a text it has dots between its steps (`realm_access.roles`). A text with `://` in it is one name and never taken apart: that is
how claims are named that nobody else shall use (`https://example.com/tenant`, RFC 7519 section 4.2).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

Path = tuple[str, ...]

ABSENT: Final = object()
"""What is found where nothing is; `null` is something."""

_NUMBERS: Final = frozenset([bool, int, float])
_OBJECTS: Final = frozenset([dict, MappingProxyType])
"""JSON objects, as they are read and as they are frozen. Asking for these two is a tenth of what asking for any mapping costs."""


class NoObject(ValueError):
    """Something on the way is there and is no object. The text is the path to it."""


def steps_of(text: str) -> Path:
    """The path that a text means."""
    return (text,) if "://" in text else tuple(text.split("."))


def written(path: Path) -> str:
    """A path for people."""
    return ".".join(path)


def at(holder: Any, path: Path) -> Any:
    """The value there, else ABSENT."""
    for step in path:
        if type(holder) not in _OBJECTS:
            return ABSENT
        holder = holder.get(step, ABSENT)
    return holder


def has(claims: dict[str, Any], path: Path) -> bool:
    """Whether something is there."""
    return at(claims, path) is not ABSENT


def is_missing(value: Any) -> bool:
    """Whether a value says nothing: absent, null, an empty text, list or object. `false` and `0` do (I-07)."""
    return value is ABSENT if value else type(value) not in _NUMBERS


def put(claims: dict[str, Any], path: Path, value: Any) -> None:
    """Write a value there, with the objects that lead to it. Raises NoObject."""
    *steps, name = path
    holder = claims
    for depth, step in enumerate(steps, 1):
        below = holder.get(step, ABSENT)
        if below is ABSENT:
            below = holder[step] = {}
        elif type(below) is not dict:
            raise NoObject(written(path[:depth]))
        holder = below
    holder[name] = value


def drop(claims: dict[str, Any], path: Path) -> None:
    """Take away what is there; nothing, where nothing is."""
    if len(path) == 1:
        claims.pop(path[0], None)
        return
    holder = at(claims, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
