"""The checks of a call token, in one order, written once for the synchronous and the asynchronous verifier.

Strict reading, key, signature, issuer, audience, kind, times, longest life, shape, scope, operation, arguments; and single
use last, so that only a token which was good for this call is used up by it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Collection, Generator, Mapping
from concurrent.futures import Future
from os import PathLike
from typing import Any, Final

from counterseal.clock import Clock, SystemClock
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.operation import Operation
from counterseal.core.profiles import COUNTERSEAL, PROFILES
from counterseal.core.receipt import Receipt
from counterseal.core.value import Value
from counterseal.jose import claims, jws, strict
from counterseal.jose.refusal import TokenRefused
from counterseal.verify import call
from counterseal.verify.errors import CannotVerify, VerificationError
from counterseal.verify.keys import keys_from
from counterseal.verify.receipts import Receipts
from counterseal.verify.required import Path, RequiredClaims
from counterseal.verify.single_use import MemorySingleUse, SingleUse

LONGEST_LIFE: Final = 900.0
"""Seconds: the longest `signer.ttl_seconds` that a gateway takes (docs/configuration.md)."""

Flow = Generator["Future[Any]", bool, "Verified"]
"""Yields what has to be waited for; is sent whether that ended in time."""


class Verified(Value, frozen=True, kw_only=True):
    """A call token that vouches for this call.

    subject: `sub`, the end user for whom the call is made. actors: who acts for the subject (RFC 8693), the immediate actor
    first; decide on that one, the others are history. client_id: the caller's API key or OAuth client. scope: the one that
    the token holds. jti: unique for the call. txn: the same over retries of one call. expires: `exp`, seconds since the
    epoch. claims: all of them, read-only, and not in the repr, because they are about people.
    """

    UNSHOWN = frozenset({"claims"})

    subject: str
    actors: tuple[str, ...]
    client_id: str
    scope: str
    jti: str
    txn: str
    expires: float
    claims: Mapping[str, Any]


class Verifier:
    """Checks the call tokens that one gateway signs for one server. Make one, at start; it holds the keys.

    issuer: the gateway's exact `issuer`. audience: this server's exact resource identifier, as the gateway has it.
    jwks: where the gateway's public keys are: None for the well-known address under the issuer, an https address, the path
    of a file, or a JWKS as a mapping. leeway: seconds by which clocks may differ, at most 60. single_use: True remembers
    used tokens in this process; a SingleUse of your own where several processes serve one audience; False takes a token as
    often as it comes while it lives. longest_life: seconds from `iat` to `exp`, at most 900. required_claims: what else a token
    must say, see `verify.required`. require_arguments: a token for a method with arguments must bind them; False takes
    tokens of a gateway with `bind_arguments: false`. profile: "litellm" for a server whose tokens the gateway gives LiteLLM's
    shape (`signer.profile`), and no others. allow_insecure: keys over http from other hosts than this machine.
    receipts: where each verdict about a token that this gateway signed is noted down before it is told, see `verify.receipts`.

    Raises ValueError for settings that cannot work. Nothing is fetched before the first token.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks: str | PathLike[str] | Mapping[str, Any] | None = None,
        leeway: float = 30.0,
        longest_life: float = LONGEST_LIFE,
        single_use: bool | SingleUse = True,
        required_claims: Collection[Path] | Mapping[Path, Any] = (),
        require_arguments: bool = True,
        profile: str = COUNTERSEAL.name,
        allow_insecure: bool = False,
        receipts: Receipts | None = None,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        if not isinstance(issuer, str) or not isinstance(audience, str):
            raise ValueError("issuer and audience are one text each: a call token has one audience")
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}")
        self.issuer = issuer
        self.audience = audience
        self.leeway = leeway
        self.profile = PROFILES[profile]
        self._rules = claims.ClaimRules(
            issuer=issuer,
            audiences=(audience,),
            single_audience=True,
            types=(self.profile.typ,),
            leeway=leeway,
            longest_life=longest_life,
        )
        if not 0 < longest_life <= LONGEST_LIFE:
            raise ValueError(f"longest_life is more than 0 and at most {LONGEST_LIFE:g} seconds")
        self._required_claims = RequiredClaims(required_claims)
        self._clock = clock or SystemClock()
        self._limits = limits
        self._require_arguments = require_arguments
        if not isinstance(single_use, bool) and not callable(getattr(single_use, "claim", None)):
            raise ValueError("single_use is True, False, or a SingleUse with its `claim`: None is not taken for False")
        self._single_use: SingleUse | None = None
        if single_use is not False:
            self._single_use = MemorySingleUse(self._clock) if single_use is True else single_use
        if receipts is not None and not callable(getattr(receipts, "write", None)):
            raise ValueError("receipts is a place with a `write`, such as FileReceipts(FOLDER), or None")
        self._receipts = receipts
        place = f"{issuer.rstrip('/')}/.well-known/jwks.json" if jwks is None else jwks
        self._keys = keys_from(place, allow_insecure=allow_insecure, clock=self._clock, limits=limits)
        self._patience = limits.fetch_connect_seconds + limits.fetch_seconds + 1.0

    def verify(
        self, token: str | bytes, *, method: str, name: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Verified:
        """Check a token against a call, and use it up.

        method: the JSON-RPC method. name: the tool, prompt or resource; None where the method names none. arguments:
        `params.arguments`; None is the same as {}. Raises VerificationError, or CannotVerify where nobody can tell.
        """
        return self._wait(self._flow(token, Operation(method, name, arguments)))

    async def averify(
        self, token: str | bytes, *, method: str, name: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Verified:
        """The same without blocking the event loop: what has to be waited for is waited for in a thread."""
        return await self._await(self._flow(token, Operation(method, name, arguments)))

    def verify_without_arguments(self, token: str | bytes, *, method: str, name: str | None = None) -> Verified:
        """Everything but the digest of the arguments, for a server that cannot know what they were. It accepts a token for
        one set of arguments with any other, once."""
        return self._wait(self._flow(token, Operation(method, name), bound=False))

    async def averify_without_arguments(self, token: str | bytes, *, method: str, name: str | None = None) -> Verified:
        """The same without blocking the event loop."""
        return await self._await(self._flow(token, Operation(method, name), bound=False))

    def verify_without_operation(self, token: str | bytes) -> Verified:
        """Everything but the operation and single use: for tools that look at a token on its own. A server that calls
        this accepts a token for one call with any other."""
        return self._wait(self._flow(token, None))

    async def averify_without_operation(self, token: str | bytes) -> Verified:
        """The same without blocking the event loop: for the first of two steps, of which the second checks the operation."""
        return await self._await(self._flow(token, None))

    def _flow(self, token: str | bytes, operation: Operation | None, *, bound: bool = True) -> Flow:
        """bound: the arguments are those of the operation."""
        if self._receipts is None:
            return self._checked(token, operation, bound)
        return self._received(self._receipts, token, operation, bound)

    def _received(self, receipts: Receipts, token: str | bytes, operation: Operation | None, bound: bool) -> Flow:
        """The same, with its verdict noted down. A token that is looked at without a call is not used up, so that it is taken is
        noted when the call comes; that it is refused is noted now, because then none comes."""
        signed: list[Mapping[str, Any]] = []
        try:
            verified = yield from self._checked(token, operation, bound, signed)
        except VerificationError as error:
            for held in signed:
                yield from self._note(receipts, held, operation, error.code)
            raise
        if operation is not None:
            yield from self._note(receipts, verified.claims, operation, None)
        return verified

    def _note(
        self, receipts: Receipts, held: Mapping[str, Any], operation: Operation | None, reason: str | None
    ) -> Generator[Future[Any], bool, None]:
        method, name = (None, None) if operation is None else (operation.method, operation.name)
        receipt = Receipt.of(
            held, time=self._clock.wall(), server=self.audience, reason=reason, method=method, name=name
        )
        try:
            answer: object = receipts.write(receipt)
            if isinstance(answer, Future):
                answer = _written(answer, in_time=(yield answer))
        except CannotVerify:
            raise
        except Exception as error:
            raise CannotVerify(f"the receipt cannot be written: {type(error).__name__}") from None
        if answer is not None:
            kind = type(answer).__name__
            raise CannotVerify(
                f"the receipts answered with {kind}: `write` is no coroutine and returns None or a Future"
            )

    def _checked(
        self,
        token: str | bytes,
        operation: Operation | None,
        bound: bool,
        signed: list[Mapping[str, Any]] | None = None,
    ) -> Flow:
        """signed: gets the claims as soon as the gateway's signature holds."""
        try:
            unverified = strict.read(token, self._limits)
            key = self._keys.at_hand(unverified) or (yield from self._keys.find(unverified))
            verified = jws.verify(unverified, key)
            if signed is not None:
                signed.append(verified.claims)
            claims.check(verified, self._rules, self._clock.wall())
        except TokenRefused as refused:
            raise VerificationError(refused.code, refused.detail) from None
        held = verified.claims
        call.check_shape(held)
        self._required_claims.check(held)
        if operation is not None:
            details = call.check_operation(held, operation, self.audience, scope_of=self.profile.scope_of)
            if bound:
                call.check_arguments(details, operation, required=self._require_arguments)
            answer = self._claim(held)
            if isinstance(answer, Future):
                answer = _answer(answer, in_time=(yield answer))
            _take(answer)
        return Verified(
            subject=held["sub"],
            actors=_actors(held["act"]),
            client_id=held["client_id"],
            scope=held["scope"],
            jti=held["jti"],
            txn=held["txn"],
            expires=held["exp"],
            claims=held,
        )

    def _claim(self, held: Mapping[str, Any]) -> bool | Future[bool]:
        if self._single_use is None:
            return True
        try:
            return self._single_use.claim(held["jti"], held["exp"] + self._rules.leeway)
        except Exception as error:
            raise _cannot_tell(error) from None

    def _wait(self, flow: Flow) -> Verified:
        try:
            flight = next(flow)
            while True:
                done, _ = concurrent.futures.wait([flight], timeout=self._patience)
                flight = flow.send(bool(done))
        except StopIteration as finished:
            return _result(finished)

    async def _await(self, flow: Flow) -> Verified:
        try:
            flight = next(flow)
            while True:
                await asyncio.wait([asyncio.wrap_future(flight)], timeout=self._patience)
                flight = flow.send(flight.done())
        except StopIteration as finished:
            return _result(finished)


def _written(receipt: Future[Any], *, in_time: bool) -> Any:
    if not in_time:
        raise CannotVerify("the receipt was not written in time")
    return receipt.result()


def _answer(claimed: Future[bool], *, in_time: bool) -> bool:
    if not in_time:
        raise CannotVerify("the memory for single use did not answer in time")
    try:
        return claimed.result()
    except Exception as error:
        raise _cannot_tell(error) from None


def _take(answer: object) -> None:
    """Only True is a yes: a coroutine that nobody awaited, or a row count of -1, is true as well."""
    if answer is True:
        return
    if answer:
        kind = type(answer).__name__
        raise CannotVerify(
            f"the memory for single use answered with {kind}: `claim` is no coroutine and returns a bool"
        )
    raise VerificationError("replayed", "the token was used before")


def _cannot_tell(error: Exception) -> CannotVerify:
    """Where a store fails, nobody knows whether the token was used, whatever it raised."""
    if isinstance(error, CannotVerify):
        return error
    return CannotVerify(f"the memory for single use cannot be reached: {type(error).__name__}")


def _result(finished: StopIteration) -> Verified:
    verified: Verified = finished.value
    return verified


def _actors(act: Mapping[str, Any]) -> tuple[str, ...]:
    names: list[str] = []
    node: Mapping[str, Any] | None = act
    while node is not None:
        names.append(node.get("sub", node.get("client_id")))
        node = node.get("act")
    return tuple(names)
