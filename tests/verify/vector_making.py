"""How a test vector is made: a good one, and what is changed in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.tokens import ABSENT, AUDIENCE, ISSUER, NOW, PrivateKey, call_claims, encode
from tests.verify import vector_keys as keys

CITY: Final = {"city": "Oslo"}
FORECAST: Final[dict[str, Any]] = {"method": "tools/call", "name": "get_forecast", "arguments": CITY}
JTI: Final = "G-WeGCOiW_Y4XsHVApvbQg"


def claims(
    call: Mapping[str, Any] = FORECAST, *, details: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """The claims of a good call token for a call, and what is changed in them. details: in `authorization_details`."""
    usual = {"client_id": "k3m9x0a7q2fz", "act": {"sub": "planner"}, "jti": JTI, "txn": "7lsAtFzyz-hDSfiAzBUMHw"}
    return call_claims(call["method"], call.get("name"), call.get("arguments"), details=details, **{**usual, **changes})


def text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def header(algorithm: str = "ES256", **changes: Any) -> dict[str, Any]:
    usual = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm, **changes}
    return {name: value for name, value in usual.items() if value is not ABSENT}


def signed(
    payload: Mapping[str, Any] | bytes | None = None,
    head: Mapping[str, Any] | bytes | None = None,
    *,
    algorithm: str = "ES256",
    key: PrivateKey | None = None,
) -> str:
    """A token with a sound signature over whatever it says. algorithm: what it is signed with."""
    first = head if isinstance(head, bytes) else text(header(algorithm) if head is None else head)
    second = payload if isinstance(payload, bytes) else text(claims() if payload is None else payload)
    data = f"{encode(first)}.{encode(second)}"
    return f"{data}.{encode(keys.sign(algorithm, data.encode(), key or keys.key(algorithm)))}"


def jwks(*entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"keys": list(entries or [keys.public("ES256")])}


@dataclass(frozen=True, slots=True)
class Vector:
    """One. reason: None where the call is to be accepted. keys: None where the gateway's keys cannot be had.

    after: what was presented to the same verifier before, oldest first. options: what this verifier asks for that is not usual.
    """

    id: str
    about: str
    token: str
    reason: str | None = None
    call: Mapping[str, Any] = field(default_factory=lambda: FORECAST)
    now: float = NOW
    keys: Mapping[str, Any] | None = field(default_factory=jwks)
    after: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        outcome = "accept" if self.reason is None else "cannot_tell" if self.reason == "unavailable" else "refuse"
        return {
            "id": self.id,
            "about": self.about,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": self.now,
            "jwks": self.keys,
            **({"options": dict(self.options)} if self.options else {}),
            **({"after": [dict(one) for one in self.after]} if self.after else {}),
            "call": dict(self.call),
            "token": self.token,
            "expected": {"outcome": outcome, **({"reason": self.reason} if self.reason else {})},
        }


def refused(reason: str, rows: Mapping[str, tuple[str, Any]]) -> Iterator[Vector]:
    """rows: what is wrong, in a few words -> in a sentence, and the token, or the changes that make a Vector of it."""
    for name, (about, made) in rows.items():
        changes = made if isinstance(made, dict) else {"token": made}
        yield Vector(id=f"{reason.replace('_', '-')}-{name}", about=about, reason=reason, **changes)
