"""Access tokens of identity providers: a JWT becomes a Caller once everything about it was checked.

A token is read strictly, its issuer chosen by exact `iss` among those configured, its key by (issuer, kid), and its claims come
out of the one verify function (threats.md invariants 1, 2, 11). Which of the checks failed is in the record alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from counterseal.clock import Clock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.claims import chain_depth
from counterseal.core.limits import Limits
from counterseal.errors import Unauthenticated
from counterseal.identity.challenge import resource
from counterseal.identity.credentials import REFUSED
from counterseal.jose import claims as claim_rules
from counterseal.jose import jws, strict
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

TYPES: Final = ("at+jwt", "JWT")
"""What `typ` may be: RFC 9068's, and what providers send that predate it. A token without `typ` passes too."""

_ID_TOKEN_ONLY: Final = frozenset({"at_hash", "c_hash"})
"""Claims that only ID tokens have (OpenID Connect Core 1.0 section 3.3.2.11): those say who logged in, not what may be
called. `nonce` is not among them, because some providers put it into access tokens too."""


class Keys(Protocol):
    """One issuer's keys. Raises TokenRefused where no key fits, CannotTell where none can be had."""

    async def find(self, unverified: Unverified) -> Key: ...


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One configured issuer. audiences: None for the address that was called. algorithms: those it may use."""

    name: str
    issuer: str
    audiences: tuple[str, ...] | None
    algorithms: frozenset[str]
    keys: Keys = field(repr=False)


class IdpTokens:
    """The authenticator for JWTs. issuer: our own, whose tokens never come back in."""

    def __init__(self, trusted: Sequence[TrustedIssuer], issuer: str, clock: Clock, limits: Limits) -> None:
        self._trusted = {one.issuer: one for one in trusted}
        self._issuer = issuer
        self._clock = clock
        self._limits = limits

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """None for what is not a JWT by its form. Raises Unauthenticated, with one text for all, or CannotTell."""
        if presented.count(b".") < 2:
            return None
        try:
            unverified = strict.read(presented, self._limits)
            if unverified.issuer == self._issuer:
                raise TokenRefused("issuer", "a call token of this gateway: they are for servers")
            trusted = self._trusted.get(unverified.issuer or "")
            if trusted is None:
                raise TokenRefused("issuer", "no configured issuer has this `iss`")
            if unverified.alg not in trusted.algorithms:
                raise TokenRefused("algorithm", f"not an algorithm of issuer {trusted.name}")
            verified = jws.verify(unverified, await trusted.keys.find(unverified))
            rules = claim_rules.ClaimRules(
                issuer=trusted.issuer,
                audiences=trusted.audiences or (resource(self._issuer, inbound.server),),
                types=TYPES,
                untyped=True,
            )
            claim_rules.check(verified, rules, self._clock.wall())
            return _caller(trusted, verified.claims)
        except TokenRefused as refused:
            detail = f"{refused.code}: {refused.detail}"
            raise Unauthenticated("credential_invalid", REFUSED, detail=detail) from None


def _caller(trusted: TrustedIssuer, claims: Mapping[str, Any]) -> Caller:
    if claims["sub"] == "anonymous" or claims["sub"].startswith("apikey:"):
        # So the gateway itself names callers without a person; a provider's subject must not pass for one (J-19).
        raise TokenRefused("subject", "`sub` has a form that the gateway keeps for itself")
    act = claims.get("act")
    if act is not None:
        try:
            chain_depth(act)
        except ValueError as error:
            raise TokenRefused("malformed", f"`act`: {error}") from None
    client = claims.get("client_id", claims.get("azp"))
    if client is not None and not isinstance(client, str):
        raise TokenRefused("malformed", "`client_id` is not a string")
    if not _ID_TOKEN_ONLY.isdisjoint(claims) or claims.get("typ") == "ID" or claims.get("token_use") == "id":
        raise TokenRefused("typ", "an ID token, not an access token")
    return Caller(
        kind="token",
        client_id=client or claims["sub"],
        issuer=trusted.issuer,
        subject=claims["sub"],
        claims=MappingProxyType(dict(claims)),
        act=act,
        expires=float(claims["exp"]),
    )
