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
class Channel:
    """Through which channel a caller came, as a verified channel token says it: at least one of subject and client_id."""

    issuer: str
    subject: str | None = None
    client_id: str | None = None

    @property
    def actor(self) -> dict[str, Any]:
        """The actor that it is in a call token (RFC 8693 section 4.1)."""
        named = {"sub": self.subject, "client_id": self.client_id}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified caller. There is no default for `kind`: nobody becomes anonymous by accident.

    issuer: the IdP that vouches for `claims`; None for an API key or an anonymous caller.
    client_id: the API key's id, or the token's `client_id`/`azp`. claims: the verified claims of the IdP token, else empty.
    fields: what an API key's record, or the token by the claim paths of its issuer, says of its holder, by the names that
    `end_user_claim_sources` uses (user_id, email, team_id, org_id, agent_id). roles, groups, scopes: of the token.
    metadata: the API key's own. act: the verified inbound actor chain (RFC 8693 section 4.1). may_act: who alone may act
    for the subject (section 4.4); None leaves it open. channel: of a verified channel token. channel_ignored: one was sent
    and nobody is configured to verify it. headers: identity headers of a trusted peer, by the source they are for.
    servers, tools: the API key's own restriction ; None restricts nothing.
    expires: when the credential ends, or the channel token before it, in seconds since the epoch; None if neither does.
    Streams end with it.

    Mappings are read-only all the way down: one caller serves many calls (I-08, I-09).
    """

    kind: CallerKind
    client_id: str
    issuer: str | None = None
    subject: str | None = None
    claims: Mapping[str, Any] = field(default_factory=_nothing)
    fields: Mapping[str, str] = field(default_factory=_nothing)
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=_nothing)
    act: Mapping[str, Any] | None = None
    may_act: Mapping[str, Any] | None = None
    channel: Channel | None = None
    channel_ignored: bool = False
    headers: Mapping[str, str] = field(default_factory=_nothing)
    servers: Patterns | None = None
    tools: Patterns | None = None
    expires: float | None = None

    @property
    def email(self) -> str | None:
        """The API key's address, or the token's as far as its issuer vouches for it (I-13)."""
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
        """16 bytes that are equal for the same caller only. Sessions are bound to it.

        That is: kind, issuer, client and subject, and who else said something about this call: the channel, and the
        identity headers.
        """
        parts = [self.kind, self.issuer or "", self.client_id, self.subject or ""]
        if self.channel is not None:
            parts += ["channel", self.channel.issuer, self.channel.subject or "", self.channel.client_id or ""]
        for name, value in sorted(self.headers.items()):
            parts += ["header", name, value]
        text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hashlib.sha256(text).digest()[:16]
