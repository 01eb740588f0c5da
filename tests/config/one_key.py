"""A configuration of one key, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

from tests.config.writing import problems

BASE = "issuer: https://gateway.example.com\n"


def line(key: str, value: Any) -> str:
    """A configuration with one more key, `signer.ttl_seconds` for example, on its second line."""
    text = json.dumps(value, ensure_ascii=False)
    for step in reversed(key.split(".")):
        text = f"{{{json.dumps(step)}: {text}}}"
    return BASE + text.strip().removeprefix("{").removesuffix("}") + "\n"


def refused(key: str, value: Any) -> str:
    (problem,) = problems(line(key, value))
    assert problem.startswith("2:")
    assert f": {key}" in problem
    return problem
