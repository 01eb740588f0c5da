"""Holds a value against a JSON Schema, in bounded time and without fetching anything (threats.md M-16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs

_BACKTRACKS: Final = 10_000
"""A pattern that tries more often than this to match a text does not match it."""
_TOLD: Final = 5
_LONGEST: Final = 300


class Checker:
    """One schema, compiled. Raises ValueError, with a reason, for one that is no schema of JSON Schema 2020-12."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._explains = not _refers_to_itself(schema)
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

        Where a schema refers to itself, finding the places can take twice as long for each level of the value, which is the
        caller's; so there it is only told that the value does not fit.
        """
        if self._validator.is_valid(value):
            return None
        if not self._explains:
            return "$: the value is not what the schema asks for"
        errors = islice(self._validator.iter_errors(value), _TOLD)
        return "\n".join(f"{_short(_path(error.instance_path))}: {_short(error.message)}" for error in errors)


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
