"""Writes a configuration as YAML and remembers where it put everything, so that tests know places without the code they test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from counterseal.config.load import load_text
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError

Steps = tuple[str | int, ...]

ISSUER = "https://gateway.example.com"
IDP = {"name": "corp", "issuer": "https://idp.example.com", "jwks_uri": "https://idp.example.com/jwks"}


@dataclass
class Written:
    """text: the YAML. keys, values: line and column by steps. A key that was written twice is `again` the second time."""

    text: str = ""
    keys: dict[Steps, tuple[int, int]] = field(default_factory=dict)
    values: dict[Steps, tuple[int, int]] = field(default_factory=dict)
    again: tuple[int, int] | None = None

    @property
    def here(self) -> tuple[int, int]:
        lines = self.text.split("\n")
        return len(lines), len(lines[-1]) + 1

    def place(self, steps: Steps) -> tuple[int, int]:
        """Where a message about this value should point: a plain value at itself, a mapping or list at its key."""
        return self.values.get(steps) or self.keys[steps]


def write(data: Mapping[str, Any], twice: Steps | None = None) -> Written:
    """Block style, every text in double quotes, two columns an indent. twice: this key is written twice."""
    written = Written()
    _mapping(written, data, (), 0, twice)
    return written


def _mapping(written: Written, data: Mapping[str, Any], steps: Steps, indent: int, twice: Steps | None) -> None:
    first = True
    for key, value in data.items():
        for again in (False, True) if (*steps, key) == twice else (False,):
            # After `- ` the first key stands in the same line.
            if not (first and steps and isinstance(steps[-1], int)):
                written.text += " " * indent
            first = False
            if again:
                written.again = written.here
            else:
                written.keys[(*steps, key)] = written.here
            written.text += f"{key if key.isidentifier() else json.dumps(key)}:"
            _value(written, value, (*steps, key), indent, None if again else twice)


def _value(written: Written, value: Any, steps: Steps, indent: int, twice: Steps | None) -> None:
    if isinstance(value, Mapping) and value:
        written.text += "\n"
        _mapping(written, value, steps, indent + 2, twice)
    elif isinstance(value, list) and value:
        written.text += "\n"
        for index, item in enumerate(value):
            written.text += " " * (indent + 2) + "-"
            if isinstance(item, Mapping) and item:
                written.text += " "
                written.values[(*steps, index)] = written.here
                _mapping(written, item, (*steps, index), indent + 4, twice)
            else:
                _value(written, item, (*steps, index), indent + 4, twice)
    else:
        written.text += " "
        if not isinstance(value, Mapping | list) or isinstance(steps[-1], int):
            written.values[steps] = written.here
        written.text += json.dumps(value) + "\n"


def problems(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    """What loading this text says: `line:column: path: what`."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, "counterseal.yaml", folder)
    assert all(problem.startswith("counterseal.yaml:") for problem in caught.value.problems)
    return [problem.removeprefix("counterseal.yaml:") for problem in caught.value.problems]


def accepted(text: str, folder: Path = Path("/nowhere")) -> Configuration:
    return load_text(text, "counterseal.yaml", folder)


def config(**keys: Any) -> dict[str, Any]:
    """A configuration of these top-level keys."""
    return {"issuer": ISSUER, **keys}


def load(**keys: Any) -> Configuration:
    """It, accepted."""
    return accepted(write(config(**keys)).text)


def refused(**keys: Any) -> tuple[Written, str]:
    """What was written, and the one problem with it."""
    written = write(config(**keys))
    (problem,) = problems(written.text)
    return written, problem


def at(written: Written, *steps: str | int) -> str:
    """The beginning of a message about this value."""
    line, column = written.place(steps)
    return f"{line}:{column}: "
