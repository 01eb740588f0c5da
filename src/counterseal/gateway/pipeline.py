"""The order in which a call is handled, written once.

    bytes and headers ─► Caller ─► Call ─► decide ─► hooks ─► call token ─► intent ─► server ─► reply stream ─► outcome

Each value is made by one stage and only read by later ones. What can go wrong in a stage is an exception that carries its
answer (`errors`); a denial is a value. Nothing else belongs here: a change of this file is a design decision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from counterseal.clock import Clock
from counterseal.core import debug_header
from counterseal.core.beside import tokens_beside
from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.canonical import NotCanonical
from counterseal.core.claims import ClaimTaken, SignerSettings, build_claims
from counterseal.core.origins import Origins
from counterseal.core.permit import Allowed, ClaimsRefused, Denial, Permit
from counterseal.core.policy import Policy
from counterseal.core.reply import Reply
from counterseal.core.sources import UnfitSubject
from counterseal.errors import BadCall, CallError, Unauthenticated
from counterseal.gateway.admission import Admission
from counterseal.gateway.forwarded import Forwarded
from counterseal.gateway.passthrough import Passthrough
from counterseal.gateway.recorder import Denied, OpenRecord, Recorder
from counterseal.hooks.runner import NOTHING, Added, Hooks, Passed, failure
from counterseal.identity.credentials import REFUSED
from counterseal.identity.identify import Identify
from counterseal.issuer.mint import Mint


class Server(Protocol):
    """Where a permit goes."""

    async def send(self, permit: Permit) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One gateway. decode: the wire room, given what opens sessions. new_id: 128 random bits as text, new at each call. resume:
    a call that goes on with an earlier one, as its server knows it. hooks: gates and claim sources; None where there are none.
    passthrough: of the servers that get a credential of the caller's. forwarded: of those that get headers of his by name. pins:
    why a call that policy permits is refused, because a tool is not as it was approved; None where nothing is pinned."""

    identify: Identify
    admission: Admission
    decode: Callable[[Inbound, Caller], Call]
    policy: Policy
    signers: Mapping[str, SignerSettings]
    mint: Mint
    servers: Mapping[str, Server]
    recorder: Recorder
    clock: Clock
    new_id: Callable[[], str]
    resume: Callable[[Caller, Call], Call]
    hooks: Hooks | None = None
    passthrough: Mapping[str, Passthrough] = field(default_factory=dict)
    forwarded: Mapping[str, Forwarded] = field(default_factory=dict)
    pins: Callable[[Caller, Call], Awaitable[Denial | None]] | None = None

    async def handle(self, inbound: Inbound) -> Reply:
        """The reply to one request. Raises errors.CallError, recorded, for the web room to write down."""
        async with self.recorder.open(inbound) as record:
            caller = record.caller = await self.identify(inbound)
            record.until_end(self.admission.enter(caller, len(inbound.body)))
            call = record.call = self.decode(inbound, caller)
            return await self.carry(record, caller, call, inbound)

    async def carry(
        self,
        record: OpenRecord,
        caller: Caller,
        call: Call,
        inbound: Inbound,
        shown: Callable[[Reply], Reply] | None = None,
    ) -> Reply:
        """A decoded call from its decision to its reply. shown: what the reply becomes for the caller, where that differs."""
        verdict = await self.permit(caller, call, inbound)
        if isinstance(verdict, Denial):
            raise Denied(verdict)
        await record.intent(verdict)
        reply = await self.servers[call.server].send(verdict)
        return record.watch(reply if shown is None else shown(reply))

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn:
        """For what is refused before it gets here: it leaves a record like everything else. Raises error, recorded."""
        async with self.recorder.open(inbound):
            raise error

    async def permit(
        self,
        caller: Caller,
        call: Call,
        inbound: Inbound | None = None,
        origins: Origins | None = None,
        again: Permit | None = None,
    ) -> Permit | Denial:
        """Decide about one call and countersign it. The only place where a Permit is made.

        inbound: where hooks see headers of, None for a call that nobody sent. origins: is filled with where each claim came from,
        for whoever explains a call. again: the permit that this call had before, where it is tried once more: it stays one
        transaction, with the same credential and headers of the caller's for the server. Raises BadCall for arguments that have
        no one meaning and for what a call goes on with and is not its caller's, CallError where the token would be too large,
        CannotTell where nothing can be signed or a hook failed.
        """
        signer = self.signers.get(call.server)
        if signer is None:
            return _no_server(call)
        if again is None:
            call = self.resume(caller, call)
        decided = await self.decide(caller, call, inbound)
        if isinstance(decided, Denial):
            return decided
        allowed, passed = decided
        passthrough = self.passthrough.get(call.server)
        own = passthrough.headers(inbound) if passthrough is not None and inbound is not None else ()
        if again is not None and again.passes_on:
            own = again.more[:1]
        names = self.forwarded.get(call.server)
        said = names.headers(inbound) if names is not None and inbound is not None else ()
        if again is not None:
            said = again.forwarded
        added = NOTHING if self.hooks is None else await self.hooks.add(caller, passed, inbound)
        return await self._countersign(caller, passed.call, allowed, signer, added, tuple(own), said, origins, again)

    async def decide(self, caller: Caller, call: Call, inbound: Inbound | None) -> tuple[Allowed, Passed] | Denial:
        """Policy, pins, then the gates; and policy again about other arguments, which are another call (P-03)."""
        allowed = self.policy.decide(caller, call)
        if isinstance(allowed, Denial):
            return allowed
        if self.pins is not None and (changed := await self.pins(caller, call)) is not None:
            return changed
        if self.hooks is None:
            return allowed, Passed(call)
        passed = await self.hooks.pass_gates(caller, call, inbound)
        if isinstance(passed, Denial):
            return passed
        if passed.call is not call:
            allowed = self.policy.decide(caller, passed.call)
            if isinstance(allowed, Denial):
                return allowed
        return allowed, passed

    async def _countersign(
        self,
        caller: Caller,
        call: Call,
        allowed: Allowed,
        signer: SignerSettings,
        added: Added,
        own: tuple[tuple[str, str], ...],
        said: tuple[tuple[str, str], ...],
        origins: Origins | None,
        again: Permit | None,
    ) -> Permit | Denial:
        """Claims, the token over them, and what goes beside it. own: a credential of the server's that the caller brought.
        said: headers of his that the server gets by name."""
        if signer.debug and origins is None:
            origins = Origins()
        now, jti = int(self.clock.wall()), self.new_id()
        txn = (call.txn or self.new_id()) if again is None else again.claims["txn"]
        try:
            claims = build_claims(caller, call, signer, now=now, jti=jti, txn=txn, added=added.claims, origins=origins)
            others = tuple(tokens_beside(caller, call, signer, claims, new_id=self.new_id, added=added.claims))
            subject = None if signer.pairwise is None else signer.subject(caller)[0]
        except ClaimsRefused as refused:
            return refused.denial
        except UnfitSubject as error:
            unfit = Unauthenticated("credential_invalid", REFUSED, detail=str(error))
            raise self.identify.challenged(unfit, call.server) from None
        except NotCanonical as error:
            raise BadCall("invalid_params", f"the arguments cannot be bound into a token: {error}") from None
        except ClaimTaken as error:
            raise failure(added.by[error.name], str(error)) from None
        minted = await self.mint.mint(claims, signer.algorithm, signer.profile.typ)
        more = list(own)
        for other in others:
            signed = await self.mint.mint(other.claims, signer.algorithm, other.typ)
            more.append((other.header, other.scheme + signed.token))
        if signer.debug and origins is not None:
            line = debug_header.debug_line(signer, minted.kid, claims, caller, origins)
            more.append((debug_header.HEADER, line))
        return Permit(
            caller=caller,
            call=call,
            allowed=allowed,
            claims=claims,
            subject=subject,
            kid=minted.kid,
            algorithm=minted.algorithm,
            token=minted.token,
            more=tuple(more),
            others=tuple(other.claims for other in others),
            passes_on=own != (),
            forwarded=said,
            headers=added.headers,
            hooks=added.names,
        )


def _no_server(call: Call) -> Denial:
    # The words of core/policy.py for a server that this caller may not use: nobody can tell the two apart.
    return Denial("server_unknown", f"there is no server {call.server!r} for this caller", "servers")
