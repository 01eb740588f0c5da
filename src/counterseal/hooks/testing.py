"""Values to try a hook with, without a gateway: what it would see, and what it would be offered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterseal.clock import Clock, SystemClock
from counterseal.core.frozen import freeze
from counterseal.hooks.offered import Offered
from counterseal.hooks.view import CallerView, CallView, Event, View


def view(
    name: str | None = "get_forecast",
    arguments: Mapping[str, Any] | None = None,
    *,
    method: str = "tools/call",
    server: str = "weather",
    headers: Mapping[str, str] | None = None,
    **caller: Any,
) -> View:
    """One call as a gate or a claim source sees it. caller: fields of CallerView, by default those of an API key of `alice`."""
    who = {"kind": "api_key", "client_id": "k3m9x0a7q2fz", "subject": "alice", **caller}
    has_arguments = method in ("tools/call", "prompts/get")
    return View(
        caller=CallerView(**{**who, "metadata": freeze(dict(who.get("metadata", {})))}),
        call=CallView(
            server=server,
            method=method,
            name=name,
            arguments=freeze(dict(arguments or {})) if has_arguments else None,
        ),
        headers=freeze({key.lower(): value for key, value in (headers or {}).items()}),
    )


def event(**changes: Any) -> Event:
    """One call as an observer sees it: permitted and answered, unless changed."""
    usual: dict[str, Any] = {
        "record": "rec_1",
        "caller": view().caller,
        "server": "weather",
        "method": "tools/call",
        "name": "get_forecast",
        "verdict": "permitted",
        "rule": "policy[0]",
        "reason": None,
        "outcome": "answered",
        "status": 200,
        "seconds": 0.01,
    }
    return Event(**{**usual, **changes})


def offered(
    *,
    schemas: Mapping[tuple[str, str], bytes] | None = None,
    secrets: Mapping[str, str] | None = None,
    folder: Path = Path(),
    clock: Clock | None = None,
) -> Offered:
    """What a constructor gets. schemas: by server and tool; may be changed later. secrets: by their references."""

    def secret(reference: str) -> str:
        if reference not in (secrets or {}):
            raise ValueError("there is no such secret")
        return (secrets or {})[reference]

    known = {} if schemas is None else schemas
    return Offered(
        lambda server, tool: known.get((server, tool)), secret, lambda text: folder / text, clock or SystemClock()
    )
