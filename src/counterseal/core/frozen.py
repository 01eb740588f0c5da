"""JSON values that nobody can change any more, and plain ones made of them (I-09)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any


def freeze(value: Any) -> Any:
    """The same JSON value with read-only mappings and with tuples for lists, all the way down."""
    if isinstance(value, dict | MappingProxyType):
        return MappingProxyType({name: freeze(one) for name, one in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(one) for one in value)
    return value


def thaw(value: Any) -> Any:
    """A new plain JSON value that shares nothing with the frozen one that can be changed."""
    kind = type(value)
    if kind is str:
        return value
    if kind is list or kind is tuple:
        return [thaw(one) for one in value]
    if kind is dict or kind is MappingProxyType:
        return {name: thaw(one) for name, one in value.items()}
    return value
