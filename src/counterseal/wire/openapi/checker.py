"""Holds a value against a JSON Schema, in bounded time and without fetching anything (threats.md M-16)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import jsonschema_rs

_BACKTRACKS: Final = 10_000
"""A pattern that tries more often than this to match a text does not match it."""
_TOLD: Final = 5
_LONGEST: Final = 300


class Checker:
    """One schema, compiled. Raises ValueError, with a reason, for one that is no schema of JSON Schema 2020-12."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
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
        """What is wrong with a value, one place a line, without quoting it; None where nothing is."""
        if self._validator.is_valid(value):
            return None
        errors = islice(self._validator.iter_errors(value), _TOLD)
        return "\n".join(f"{_short(_path(error.instance_path))}: {_short(error.message)}" for error in errors)


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
