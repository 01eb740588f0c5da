"""Holds a value against a JSON Schema, in bounded time and without fetching anything (M-16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs

_BACKTRACKS: Final = 10_000
"""A pattern that tries more often than this to match a text does not match it."""
_TOLD: Final = 5
_DEEP: Final = 6
"""Levels of a value down to which the places are looked for in a schema that refers to itself."""
_LONGEST: Final = 300


class Checker:
    """One schema, compiled. Raises ValueError, with a reason, for one that is no schema of JSON Schema 2020-12."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._refers_to_itself = _refers_to_itself(schema)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(schema),
                mask="the value",
                offline=True,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
            )
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(_short(getattr(error, "message", str(error)))) from None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, one place a line, without quoting it; None where nothing is.

        Where a schema refers to itself, finding the places can take several times as long for each level of the value, and those
        are the caller's; so of a deep value it is only told that it does not fit.
        """
        if self._validator.is_valid(value):
            return None
        if self._refers_to_itself and _is_deep(value):
            return "$: the value is not what the schema asks for"
        errors = islice(self._validator.iter_errors(value), _TOLD)
        return "\n".join(f"{_short(_path(error.instance_path))}: {_short(error.message)}" for error in errors)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEP):
        level = [
            child
            for node in level
            if isinstance(node, Mapping | list | tuple)
            for child in (node.values() if isinstance(node, Mapping) else node)
        ]
    return level != []


def _refers_to_itself(schema: Mapping[str, Any]) -> bool:
    """Whether following references, which all lead to `#/$defs/...`, can lead back to where one was."""
    definitions = schema.get("$defs", {})
    leads_to = {name: set(_references(one)) for name, one in definitions.items()}
    # Take away what leads nowhere any more; what is left goes round.
    while done := [name for name, others in leads_to.items() if not others & leads_to.keys()]:
        for name in done:
            del leads_to[name]
    return bool(leads_to)


def _references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    stack = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            reference = node.get("$ref")
            if isinstance(reference, str):
                yield unquote(reference.removeprefix("#/$defs/")).replace("~1", "/").replace("~0", "~")
            stack.extend(node.values())
        elif isinstance(node, list | tuple):
            stack.extend(node)


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
