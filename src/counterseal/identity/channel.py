"""Channel tokens: a second JWT that says through which channel a caller came.

* Only where somebody is configured to verify it does it count, and then it is held to all that an access token is held to. With
  nobody configured it is ignored and never decoded.
* A bad one is refused, whatever was wrong, with one text; so is a missing one where the server asks for it. No call goes on
  without it as if none had been asked for (I-11).
* What its `sub` and `client_id` say becomes the outermost actor of the call token. Nothing else of it is used, and it goes
  nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from counterseal.clock import Clock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller, Channel
from counterseal.core.limits import Limits
from counterseal.core.names import is_reserved
from counterseal.errors import BadCall
from counterseal.identity.accept import check_kind, client_of
from counterseal.identity.challenge import resource
from counterseal.identity.idp_jwt import TYPES, Keys
from counterseal.identity.remembered import Remembered
from counterseal.jose import claims as claim_rules
from counterseal.jose import jws, strict
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

_TOKEN: Final = re.compile(rb"(?:bearer )?([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelIssuer:
    """Who vouches for a server's channel tokens. issuer: the exact `iss`. audience: None for the address that was called."""

    issuer: str
    keys: Keys = field(repr=False)
    algorithms: frozenset[str]
    audience: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRules:
    """How one server takes channel tokens. header: its name in lower case. trusted: None where nobody verifies them."""

    header: bytes
    required: bool
    trusted: ChannelIssuer | None


class Channels:
    """rules: of each server, by its name. issuer: our own, whose tokens never come back in."""

    def __init__(self, rules: Mapping[str, ChannelRules], issuer: str, clock: Clock, limits: Limits) -> None:
        self._rules = dict(rules)
        self._issuer = issuer
        self._clock = clock
        self._limits = limits
        self._remembered: Remembered[tuple[Channel, float]] = Remembered(clock, limits)

    async def through(self, caller: Caller, inbound: Inbound, called: str | None = None) -> Caller:
        """The caller with the channel that it came through. called: at which server's address the request came; None for that
        of the server that it is for, whose rules count.

        Raises BadCall `channel_token_missing`, `channel_token_invalid` with one text for all, `bad_header` for more than one
        token, and CannotTell where the issuer's keys cannot be had.
        """
        rules = self._rules.get(inbound.server)
        if rules is None:
            return caller
        sent = inbound.all(rules.header)
        if rules.trusted is None:
            return replace(caller, channel_ignored=True) if sent else caller
        if not sent:
            if rules.required:
                raise BadCall("channel_token_missing", f"send a channel token in {rules.header.decode()}")
            return caller
        if len(sent) > 1:
            raise BadCall("bad_header", f"the header {rules.header.decode()} was sent more than once")
        try:
            address = inbound.server if called is None else called
            channel, exp = await self._channel(rules.trusted, sent[0], inbound.server, address)
        except TokenRefused as refused:
            detail = f"channel token: {refused.code}: {refused.detail}"
            raise BadCall("channel_token_invalid", "the channel token was not accepted", detail=detail) from None
        # A stream that both opened ends with the first of them.
        return replace(caller, channel=channel, expires=exp if caller.expires is None else min(caller.expires, exp))

    async def _channel(self, trusted: ChannelIssuer, sent: bytes, server: str, address: str) -> tuple[Channel, float]:
        """Who it is, and when its token ends. address: the server at whose address it came."""
        match = _TOKEN.fullmatch(sent)
        if match is None:
            raise TokenRefused("malformed", "not one token")
        found = self._remembered.found(match[1], f"{server} at {address}")
        kept = self._remembered.get(found)
        if kept is None:
            generation = trusted.keys.generation
            kept = await self._verified(trusted, strict.read(match[1], self._limits), address)
            self._remembered.keep(found, kept, trusted.keys, generation, kept[1])
        return kept

    async def _verified(self, trusted: ChannelIssuer, unverified: Unverified, server: str) -> tuple[Channel, float]:
        if unverified.issuer == self._issuer:
            raise TokenRefused("issuer", "a call token of this gateway: they are for servers")
        if unverified.issuer != trusted.issuer:
            raise TokenRefused("issuer", f"`iss` is not {trusted.issuer!r}")
        if unverified.alg not in trusted.algorithms:
            raise TokenRefused("algorithm", "not an algorithm of the channel's issuer")
        verified = jws.verify(unverified, await trusted.keys.find(unverified))
        rules = claim_rules.ClaimRules(
            issuer=trusted.issuer,
            audiences=(trusted.audience or resource(self._issuer, server),),
            types=TYPES,
            untyped=True,
            subject=False,
        )
        claim_rules.check(verified, rules, self._clock.wall())
        claims = verified.claims
        check_kind(claims)
        channel = Channel(issuer=trusted.issuer, subject=claims.get("sub"), client_id=client_of(claims))
        named = list(channel.actor.values())
        if not named:
            raise TokenRefused("subject", "there is neither `sub` nor `client_id`")
        if any(is_reserved(name) or name == self._issuer for name in named):
            raise TokenRefused("subject", "`sub` or `client_id` has a form that the gateway keeps for itself")
        return channel, float(claims["exp"])
