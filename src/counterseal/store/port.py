"""What the gateway asks of a store, as small protocols; the rows they speak in; the names of the stored secrets.

Rules that every store keeps (tests/contracts/store.py holds them):

* Every verb but `close` raises CannotTell("store_unavailable") while the store is out of reach.
* Whatever two processes may make at the same time (a signing key, a secret, the issuer) is made once: the loser reads
  what the winner wrote.
* Times are seconds since the Unix epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

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

        Of any number of processes that call this at once, all get the same row (threats.md Y-01).
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
        two issuers would be two gateways that think they are one (threats.md Y-13)."""
        ...


class Store(ApiKeyStore, SigningKeyStore, SecretStore, IssuerStore, Protocol):
    """The whole store, for the composition root and the command line; everybody else asks for a part of it."""

    async def close(self) -> None: ...


def other_issuer(stored: str, configured: str) -> str:
    """The sentence of the ConfigError that `bind_issuer` raises."""
    return (
        f"issuer: the store belongs to {stored!r} and the configuration says {configured!r}. "
        f"Set `issuer: {stored}` again, or name a new `store:` to start {configured!r} with keys of its own."
    )
