"""Who is calling: the configured authenticators, asked in order.

Anonymous is a kind of caller of its own that only an explicit line of configuration makes, and only where no credential was
sent at all: a bad one never falls back to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from counterseal.core.actors import ActorRefused, check_actor
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.errors import BadCall, CallError, Unauthenticated
from counterseal.identity.accept import InsufficientScope
from counterseal.identity.challenge import challenge, insufficient_scope, scope_value
from counterseal.identity.channel import Channels
from counterseal.identity.credentials import REFUSED, credential
from counterseal.identity.headers import IdentityHeaders

ANONYMOUS = Caller(kind="anonymous", client_id="anonymous")


class Authenticator(Protocol):
    """One way to prove who calls."""

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """None: not a credential of this kind. Raises Unauthenticated where it is of this kind and bad, CannotTell where
        that cannot be told."""
        ...


class Identify:
    """takes_tokens: whether some authenticator is for access tokens. key_header, tokens_need_key: those of `callers`.

    issuer: our own, the base of every resource's address. scopes: those that a token needs, for the challenge; ValueError
    for what is none. channels, headers: None where nobody but the caller speaks for a call."""

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        *,
        anonymous: bool,
        issuer: str,
        takes_tokens: bool = True,
        key_header: bytes | None = None,
        tokens_need_key: bool = False,
        scopes: Sequence[str] = (),
        channels: Channels | None = None,
        headers: IdentityHeaders | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._channels = channels
        self._headers = headers
        self._anonymous = anonymous
        self._takes_tokens = takes_tokens
        self._credential = partial(credential, key_header=key_header)
        self._tokens_need_key = tokens_need_key
        self._issuer = issuer
        scope_value(scopes)
        self._scopes = tuple(scopes)

    async def __call__(self, inbound: Inbound) -> Caller:
        """The caller. Raises Unauthenticated with the challenge of RFC 9728 section 5.1, InsufficientScope with that of RFC 6750
        section 3.1, BadCall, or CannotTell; from where the caller is known, it is in the error."""
        try:
            caller = await self._proven(inbound)
        except Unauthenticated as error:
            raise self.challenged(error, inbound.server) from None
        except InsufficientScope as error:
            error.headers = (insufficient_scope(self._issuer, inbound.server, error.scopes),)
            raise
        if not inbound.server:
            return caller  # of all servers: who else speaks for a call is asked for the one that it is for (`at`)
        try:
            return await self.spoken_for(caller, inbound)
        except CallError as error:
            error.caller = caller
            raise

    async def _proven(self, inbound: Inbound) -> Caller:
        """Who proves to be calling, or nobody."""
        sent = inbound.once(self._credential)
        if sent.proof is None:
            if self._anonymous:
                return ANONYMOUS
            raise Unauthenticated("credential_missing", "no credential was sent: send an API key or an access token")
        caller = await self._holder(sent.proof, inbound)
        if caller.kind == "token" and self._tokens_need_key:
            raise Unauthenticated("credential_invalid", REFUSED, detail="a token without an API key beside it")
        return caller if sent.beside is None else await self._for_whom(caller, sent.beside, inbound)

    async def _for_whom(self, holder: Caller, token: bytes, inbound: Inbound) -> Caller:
        """Whose token is beside a key: he is the caller, and where the key may not go he may not either."""
        if holder.kind != "api_key":
            raise BadCall("ambiguous_credentials", "send one access token, and an API key beside it at most")
        if not self._takes_tokens:
            return holder  # nobody here knows what it is: it is not read, and goes nowhere
        caller = await self._holder(token, inbound)
        if caller.kind != "token":
            raise BadCall("ambiguous_credentials", "send one API key, and an access token beside it at most")
        ends = [end for end in (caller.expires, holder.expires) if end is not None]
        return replace(caller, servers=holder.servers, tools=holder.tools, expires=min(ends, default=None))

    async def _holder(self, presented: bytes, inbound: Inbound) -> Caller:
        for authenticator in self._authenticators:
            caller = await authenticator.authenticate(presented, inbound)
            if caller is not None:
                return caller
        raise Unauthenticated("credential_invalid", REFUSED, detail="no authenticator knows this kind of credential")

    async def at(self, caller: Caller, inbound: Inbound, server: str) -> tuple[Caller, Inbound]:
        """Of a request to all servers, what one of them gets: the caller as he is there, and the request without headers that
        its peer must not send there. What is asked of callers of that server is asked here, too. Raises as `spoken_for`."""
        there = inbound.at(server)
        if self._headers is not None:
            there = self._headers.admitted(there)
        return await self.spoken_for(caller, there, called=inbound.server), there

    async def spoken_for(self, caller: Caller, inbound: Inbound, called: str | None = None) -> Caller:
        """A caller who was found already, with what others say of this call, as far as they may. called: at which server's
        address the request came, where that is another one than the server that it is for. Raises BadCall, CannotTell."""
        if self._channels is not None:
            caller = await self._channels.through(caller, inbound, called)
        if self._headers is not None:
            caller = self._headers.named(caller, inbound)
        if caller.channel is not None or caller.may_act is not None:
            try:
                check_actor(caller, self._issuer)
            except ActorRefused as refused:
                raise BadCall("actor_refused", str(refused)) from None
        return caller

    def challenged(self, error: Unauthenticated, server: str) -> Unauthenticated:
        """The same error with what tells a client of this server how to do better."""
        sent = error.reason.code != "credential_missing"
        error.headers = (challenge(self._issuer, server, sent=sent, scopes=self._scopes),)
        return error
