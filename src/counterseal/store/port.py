"""What the gateway asks of a store, as small protocols; the rows they speak in; the names of the stored secrets.

Rules that every store keeps (tests/contracts/store.py holds them):

* Every verb but `close` raises CannotTell("store_unavailable") while the store is out of reach.
* Whatever two processes may make at the same time (a signing key, a secret, the issuer) is made once: the loser reads
  what the winner wrote.
* Times are seconds since the Unix epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

API_KEY_PEPPER: Final = "api_key_pepper"
"""The HMAC key under which API keys are stored."""
SESSION_SEAL: Final = "session_seal"
"""The AEAD key of session ids."""
AUDIT_MAC: Final = "audit_mac"
"""The HMAC key under which arguments are recorded."""
PAIRWISE: Final = "pairwise_subjects"
"""The HMAC key of pairwise subjects. With another one, everybody is somebody else at every server."""
LITELLM_KEYS: Final = "litellm_keys"
"""The HMAC key that makes ids of LiteLLM's keys."""

FIRST_SIGHT: Final = "first sight"
BY_COMMAND: Final = "command"
"""Who approved a tool's definition."""

ACTIVE: Final = "active"
"""The state of the one key of an algorithm that signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRow:
    """One API key. mac: HMAC-SHA-256(pepper, the whole key). servers, tools: None restricts nothing, () allows nothing.

    expires, revoked, last_used: None for never. previous_mac: of the secret before this one, which is good until
    previous_ends; None where there was none.
    """

    id: str
    mac: bytes = field(repr=False)
    subject: str
    email: str | None = None
    team: str | None = None
    org: str | None = None
    agent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None
    previous_mac: bytes | None = field(default=None, repr=False)
    previous_ends: float | None = None

    def in_force(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def rotated(self, mac: bytes, previous_ends: float) -> ApiKeyRow:
        """The same key with a new secret. The one so far takes the place of the one before it, and ends no later than the
        key does."""
        ends = previous_ends if self.expires is None else min(previous_ends, self.expires)
        return dataclasses.replace(self, mac=mac, previous_mac=self.mac, previous_ends=ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRow:
    """One of our signing keys. pem: the private key, PKCS8 in PEM. state: `active` or a later state of the key ring."""

    kid: str
    algorithm: str
    pem: bytes = field(repr=False)
    created: float
    state: str = ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPin:
    """What is known of one tool of one server. Digests as core/definition.py makes them; definitions are JSON texts, None where
    one was too long to keep.

    approved: None where nobody approved any. approved_by: `first sight` or `command`. seen: what was shown since in its place
    and nobody approved yet; None where that is nothing else.
    """

    server: str
    tool: str
    approved: str | None = None
    approved_definition: str | None = None
    approved_at: float | None = None
    approved_by: str | None = None
    seen: str | None = None
    seen_definition: str | None = None
    seen_at: float | None = None


Kind = Literal["first", "later", "locked", "not_locked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A tool as a list showed it. kind: `first` approves it unless somebody was first; `later` is held against what is approved
    here, since its worker may know another; `locked` and `not_locked` are what a lock file says, whatever is approved here."""

    server: str
    tool: str
    kind: Kind
    digest: str
    definition: str | None
    when: float


class PinStore(Protocol):
    """The definitions of tools, with a counter that tells readers cheaply whether to read again."""

    async def pin_generation(self) -> int:
        """A number that grows with every change of what is approved, or seen in its place."""
        ...

    async def tool_pins(self) -> tuple[int, tuple[ToolPin, ...]]:
        """All tools without their definitions, by server and tool, and the generation that they are: one snapshot."""
        ...

    async def tool_definitions(self, server: str | None = None) -> tuple[ToolPin, ...]:
        """The tools of one server, or of all, with their definitions, by server and tool."""
        ...

    async def note_tools(self, sightings: Sequence[Sighting]) -> None:
        """Note what lists have shown, in this order. What was approved before stays approved."""
        ...

    async def approve_tools(self, server: str, seen: Mapping[str, str], when: float) -> frozenset[str]:
        """Approve what was seen of tools, by name and digest. Returns the names of those of which that is still what was seen
        last; the others stay as they are."""
        ...


class ApiKeyStore(Protocol):
    """API keys, with a counter that tells readers cheaply whether to read again."""

    async def generation(self) -> int:
        """A number that grows with every change that decides whether or as whom a key is accepted."""
        ...

    async def api_keys(self) -> tuple[int, tuple[ApiKeyRow, ...]]:
        """All keys, oldest first, and the generation that they are: one snapshot."""
        ...

    async def add_api_key(self, row: ApiKeyRow) -> None:
        """Raises ValueError when there is a key of this id."""
        ...

    async def revoke_api_key(self, id: str, when: float) -> bool:
        """False when there is no such key. A key that was revoked before keeps its first time."""
        ...

    async def rotate_api_key(self, id: str, mac: bytes, now: float, previous_ends: float) -> ApiKeyRow | None:
        """Give a key that is in force at `now` a new secret (`ApiKeyRow.rotated`).

        Returns the row as it is afterwards: unchanged for a key that is not in force. None when there is no such key.
        """
        ...

    async def note_use(self, uses: Mapping[str, float]) -> None:
        """When keys, by id, were last used. Leaves the generation alone: nobody need read again for it."""
        ...


class SigningKeyStore(Protocol):
    """Our signing keys."""

    async def signing_keys(self) -> tuple[SigningKeyRow, ...]:
        """All keys in every state, oldest first."""
        ...

    async def add_signing_key_if_absent(self, algorithm: str, make: Callable[[], SigningKeyRow]) -> SigningKeyRow:
        """The active key of this algorithm, made by `make` (in a thread) only if there is none.

        Of any number of processes that call this at once, all get the same row (Y-01).
        """
        ...


class SecretStore(Protocol):
    """The deployment's own secrets."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes, drawn at the first use of the name and the same for everybody ever after."""
        ...


class IssuerStore(Protocol):
    """Whose store this is."""

    async def bind_issuer(self, issuer: str) -> None:
        """The first call stores the issuer. Raises ConfigError for a different one later: tokens of one key ring under
        two issuers would be two gateways that think they are one (Y-13)."""
        ...


class Store(ApiKeyStore, SigningKeyStore, SecretStore, IssuerStore, PinStore, Protocol):
    """The whole store, for the composition root and the command line; everybody else asks for a part of it."""

    async def close(self) -> None: ...


def other_issuer(stored: str, configured: str) -> str:
    """The sentence of the ConfigError that `bind_issuer` raises."""
    return (
        f"issuer: the store belongs to {stored!r} and the configuration says {configured!r}. "
        f"Set `issuer: {stored}` again, or name a new `store:` to start {configured!r} with keys of its own."
    )


def sighted(pin: ToolPin | None, sighting: Sighting) -> ToolPin:
    """What is known of a tool after a list showed it. pin: what was known before; None for nothing."""
    if pin is None:
        pin = ToolPin(server=sighting.server, tool=sighting.tool)
    kind = sighting.kind
    if kind == "first" and pin.approved is None:
        return dataclasses.replace(
            pin,
            approved=sighting.digest,
            approved_definition=sighting.definition,
            approved_at=sighting.when,
            approved_by=FIRST_SIGHT,
            seen=None,
            seen_definition=None,
            seen_at=None,
        )
    if kind == "locked" or (kind != "not_locked" and pin.approved == sighting.digest):
        return dataclasses.replace(pin, seen=None, seen_definition=None, seen_at=None)
    if pin.seen == sighting.digest:
        return pin
    return dataclasses.replace(pin, seen=sighting.digest, seen_definition=sighting.definition, seen_at=sighting.when)


def approved(pin: ToolPin, when: float) -> ToolPin:
    """The same tool with what was seen approved."""
    return dataclasses.replace(
        pin,
        approved=pin.seen,
        approved_definition=pin.seen_definition,
        approved_at=when,
        approved_by=BY_COMMAND,
        seen=None,
        seen_definition=None,
        seen_at=None,
    )
