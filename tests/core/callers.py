"""Callers and calls as values."""

from __future__ import annotations

from typing import Any

from counterseal.core.call import Call, Era, Inbound, Shape
from counterseal.core.caller import Caller
from counterseal.core.methods import METHODS, MODERN


def key(**changes: Any) -> Caller:
    """Who holds an API key that says nothing of its holder."""
    return Caller(**{"kind": "api_key", "client_id": "k123", **changes})


def token(claims: dict[str, Any] | None = None, **changes: Any) -> Caller:
    """Who sent a token of an IdP."""
    held = {"sub": "alice", **(claims or {})}
    values = {"kind": "token", "client_id": "ide", "issuer": "https://idp", "subject": held["sub"], "claims": held}
    return Caller(**{**values, **changes})


def anonymous() -> Caller:
    return Caller(kind="anonymous", client_id="anonymous")


def call(method: str = "tools/call", name: str | None = None, server: str = "weather", **changes: Any) -> Call:
    """One decoded request, of the newest era that has its method."""
    row = METHODS.get(method)
    era = Era.LEGACY if row is not None and not row.modern else Era.MODERN
    values: dict[str, Any] = {
        "server": server,
        "era": era,
        "revision": MODERN if era is Era.MODERN else "2025-11-25",
        "shape": Shape.REQUEST,
        "method": method,
        "id": 1,
        "name": name,
    }
    return Call(**{**values, **changes})


def inbound(body: bytes = b"", *headers: tuple[bytes, bytes]) -> Inbound:
    return Inbound("POST", "weather", headers, body, "192.0.2.7")
