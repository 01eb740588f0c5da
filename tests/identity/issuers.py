"""Identity providers as values: their rules, keys at hand, and tokens of theirs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.accept import Accept
from counterseal.identity.credentials import REFUSED
from counterseal.identity.idp_jwt import IdpTokens, TrustedIssuer
from counterseal.jose.jwk import Key, KeySet, read_jwks
from counterseal.jose.strict import Unverified
from tests.support.tokens import NOW, FixedClock, access_claims, jwks

OURS = "https://gateway.example.com"
CORP, PARTNER = "https://idp.example.com/corp", "https://idp.example.com/partner"
CALLED = f"{OURS}/mcp/weather"
INBOUND = Inbound("POST", "weather", (), b"", "192.0.2.7")


class HeldKeys:
    """One issuer's keys, at hand or not; counts how often it was asked. None: they cannot be had."""

    def __init__(self, document: dict[str, Any] | None) -> None:
        self.asked = 0
        self.generation = 0
        self.change(document)

    def change(self, document: dict[str, Any] | None) -> None:
        """From now on these are its keys."""
        self._keys: KeySet | None = read_jwks(document, LIMITS) if document is not None else None
        self.generation += 1

    async def find(self, unverified: Unverified) -> Key:
        self.asked += 1
        if self._keys is None:
            raise CannotTell("identity_unavailable", "the identity provider's keys cannot be had now")
        return self._keys.find(unverified)


ACCEPTS = {field.name for field in dataclasses.fields(Accept)}


def trusted(issuer: str = CORP, **changes: Any) -> TrustedIssuer:
    """An issuer with keys for three algorithms of which it may use two. changes: of it, and of what it accepts."""
    accepts = {"name": issuer.rpartition("/")[2], "issuers": (issuer,), "own": OURS}
    accepts |= {name: value for name, value in changes.items() if name in ACCEPTS}
    values: dict[str, Any] = {
        "algorithms": frozenset({"ES256", "RS256"}),
        "keys": HeldKeys(jwks("ES256", "RS256", "ES384")),
    }
    values |= {name: value for name, value in changes.items() if name not in ACCEPTS}
    return TrustedIssuer(accept=Accept(**accepts), **values)


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good token of CORP for the server `weather`."""
    return access_claims(**{"iss": CORP, "aud": CALLED, "client_id": "ide", **changes})


async def who(
    presented: str | bytes, *issuers: TrustedIssuer, inbound: Inbound = INBOUND, now: float = NOW
) -> Caller | None:
    """Whose token it is."""
    tokens = IdpTokens(issuers or (trusted(),), OURS, FixedClock(now), LIMITS)
    return await tokens.authenticate(presented if isinstance(presented, bytes) else presented.encode(), inbound)


async def refusal(presented: str | bytes, *issuers: TrustedIssuer, inbound: Inbound = INBOUND, now: float = NOW) -> str:
    """The detail of a refusal, once it looks to the caller like any other (J-30)."""
    with pytest.raises(Unauthenticated) as refused:
        await who(presented, *issuers, inbound=inbound, now=now)
    error = refused.value
    assert (error.reason.code, error.reason.status, error.message, error.data) == (
        "credential_invalid",
        401,
        REFUSED,
        {},
    )
    assert error.detail
    return error.detail
