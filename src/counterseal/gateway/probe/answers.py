"""What a server made of a request: it did it, it refused, or nobody can tell. Pure: status, media type and bytes in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from counterseal.core import strict_json
from counterseal.core.limits import LIMITS

Verdict = Literal["accepted", "refused", "error"]
"""error: neither of the others could be seen: the server failed, was not reached, or answered something else."""

_INTERNAL: Final = -32603
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """said: in words, for people. result: of the JSON-RPC response; None where there is none."""

    verdict: Verdict
    said: str
    result: Mapping[str, Any] | None = None


def of_status(status: int) -> Answer | None:
    """What the status alone says; None for 2xx, where the body has the word."""
    if 200 <= status < 300:
        return None
    # A redirect leads to a login, and other 4xx keep the call out as well: the good one got in, and differs in the token only.
    refused = status < 500 and status != 429
    return Answer("refused" if refused else "error", f"HTTP {status}")


def of_message(body: bytes) -> Answer:
    """What a JSON-RPC response says."""
    try:
        message = strict_json.read(body, depth=LIMITS.json_depth, members=LIMITS.json_members)
    except (strict_json.NotStrict, strict_json.TooBig):
        return Answer("error", "no JSON-RPC response")
    if isinstance(message, dict) and isinstance(error := message.get("error"), dict):
        code = error.get("code")
        said = f"JSON-RPC error {code if isinstance(code, int) else '?'}"
        return Answer("error" if code == _INTERNAL else "refused", f"{said}: {_short(error.get('message'))}")
    if not isinstance(message, dict) or not isinstance(result := message.get("result"), dict):
        return Answer("error", "no JSON-RPC response")
    if result.get("isError") is True:
        return Answer("refused", f"the tool failed: {_short(result.get('content'))}", result)
    return Answer("accepted", "answered", result)


def refusal_of_an_api(status: int) -> Answer:
    """What the status of an HTTP API says, all that there is of it."""
    return of_status(status) or Answer("accepted", f"HTTP {status}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
