"""Access tokens of identity providers: a JWT becomes a Caller once everything about it was checked.

A token is read strictly, its issuer chosen by exact `iss` among those configured, its key by (issuer, kid), and its claims come
out of the one verify function. Which of the checks failed is in the record alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from counterseal.clock import Clock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.errors import Unauthenticated
from counterseal.identity.accept import Accept, check_says_access
from counterseal.identity.credentials import REFUSED
from counterseal.identity.remembered import Found, Generation, Remembered
from counterseal.jose import claims as claim_rules
from counterseal.jose import jws, strict
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

TYPES: Final = ("at+jwt", "JWT")
"""What `typ` may be unless configured: RFC 9068's, and what providers send that predate it."""


class Keys(Generation, Protocol):
    """One issuer's keys."""

    async def find(self, unverified: Unverified) -> Key:
        """The key for a token. Raises TokenRefused where no key fits, CannotTell where none can be had."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """One configured issuer of JWTs. accept: its rules for claims.

    algorithms: those it may use. types: what `typ` may be; untyped: a token without one passes too. bare: so does one that
    nothing tells from an ID token. leeway, longest_life: seconds; None sets no limit.
    """

    accept: Accept
    keys: Keys = field(repr=False)
    algorithms: frozenset[str]
    types: tuple[str, ...] = TYPES
    untyped: bool = True
    bare: bool = False
    leeway: float = 30.0
    longest_life: float | None = None

    def rules(self, issuer: str, server: str) -> claim_rules.ClaimRules:
        """What is asked of a token's claims. issuer: which of its own the token names. server: the one that was called."""
        return claim_rules.ClaimRules(
            issuer=issuer,
            audiences=self.accept.audiences_at(server),
            types=self.types,
            untyped=self.untyped,
            leeway=self.leeway,
            longest_life=self.longest_life,
            subject=self.accept.paths.subject == ("sub",),
        )


class IdpTokens:
    """The authenticator for JWTs. issuer: our own, whose tokens never come back in."""

    def __init__(self, trusted: Sequence[TrustedIssuer], issuer: str, clock: Clock, limits: Limits) -> None:
        self._trusted = {exact: one for one in trusted for exact in one.accept.issuers}
        self._issuer = issuer
        self._clock = clock
        self._limits = limits
        self._remembered: Remembered[Caller] = Remembered(clock, limits)

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """None for what is not a JWT by its form. Raises Unauthenticated, with one text for all, InsufficientScope, or
        CannotTell."""
        if presented.count(b".") < 2:
            return None
        found = self._remembered.found(presented, inbound.server)
        caller = self._remembered.get(found)
        if caller is not None:
            return caller
        try:
            return await self._verified(presented, inbound, found)
        except TokenRefused as refused:
            detail = f"{refused.code}: {refused.detail}"
            raise Unauthenticated("credential_invalid", REFUSED, detail=detail) from None

    async def _verified(self, presented: bytes, inbound: Inbound, found: Found) -> Caller:
        unverified = strict.read(presented, self._limits)
        issuer = unverified.issuer or ""
        if issuer == self._issuer:
            raise TokenRefused("issuer", "a call token of this gateway: they are for servers")
        trusted = self._trusted.get(issuer)
        if trusted is None:
            raise TokenRefused("issuer", "no configured issuer has this `iss`")
        if unverified.alg not in trusted.algorithms:
            raise TokenRefused("algorithm", f"not an algorithm of issuer {trusted.accept.name}")
        generation = trusted.keys.generation
        verified = jws.verify(unverified, await trusted.keys.find(unverified))
        claim_rules.check(verified, trusted.rules(issuer, inbound.server), self._clock.wall())
        if not trusted.bare:
            check_says_access(verified)
        caller = trusted.accept.caller(verified.claims)
        assert caller.expires is not None  # the rules ask for `exp`
        self._remembered.keep(found, caller, trusted.keys, generation, caller.expires)
        return caller
