"""Who calls: the one value that identity makes and everything after it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from counterseal.core.patterns import Patterns

CallerKind = Literal["api_key", "token", "anonymous"]


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified caller. There is no default for `kind`: nobody becomes anonymous by accident (threats.md invariant 3).

    issuer: the IdP that vouches for `claims`; None for an API key or an anonymous caller.
    client_id: the API key's id, or the token's `client_id`/`azp`. claims: the verified claims of the IdP token, else empty.
    fields: what an API key's record says of its holder, by the names that `end_user_claim_sources` uses (user_id, email,
    team_id, org_id, agent_id). metadata: the API key's own. act: the verified inbound actor chain (RFC 8693 section 4.1).
    servers, tools: the API key's own restriction ; None restricts nothing.
    expires: when the credential ends, in seconds since the epoch; None if it doesn't. Streams end with it.
    """

    kind: CallerKind
    client_id: str
    issuer: str | None = None
    subject: str | None = None
    claims: Mapping[str, Any] = field(default_factory=_nothing)
    fields: Mapping[str, str] = field(default_factory=_nothing)
    metadata: Mapping[str, str] = field(default_factory=_nothing)
    act: Mapping[str, Any] | None = None
    servers: Patterns | None = None
    tools: Patterns | None = None
    expires: float | None = None

    @property
    def email(self) -> str | None:
        """The API key's address, or the token's once its issuer says that it is verified (threats.md I-13)."""
        if self.kind == "token":
            email = self.claims.get("email")
            return email if isinstance(email, str) and self.claims.get("email_verified") is True else None
        return self.fields.get("email")

    @property
    def team(self) -> str | None:
        return self.fields.get("team_id")

    @property
    def organisation(self) -> str | None:
        return self.fields.get("org_id")

    @property
    def agent(self) -> str | None:
        return self.fields.get("agent_id")

    def fingerprint(self) -> bytes:
        """16 bytes that are equal for the same caller only: (kind, issuer, client, subject). Sessions are bound to it."""
        parts = (self.kind, self.issuer or "", self.client_id, self.subject or "")
        text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hashlib.sha256(text).digest()[:16]
