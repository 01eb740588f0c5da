"""Opaque tokens: whoever issued one is asked what it is (RFC 7662), and its answer becomes a Caller.

* An API key is not asked about, and nothing of a JWT's form is: one that failed never gets a second chance here
  (N-07). Which endpoint is asked, the token's prefix alone decides, and no other one ever sees the token.
* The token travels in the body of a POST and nowhere else (N-06).
* Only `active: true` is active (N-01). An answer that is not what the RFC says is the endpoint's fault: nobody can tell, 503,
  and nothing of it is kept (N-02).
* An answer is kept by the hash of the whole token and the endpoint, never past the token's `exp` and a minute at most; a Caller
  is made of it for each server, because each server is an audience of its own (N-03, N-04).
* However many calls wait for one token, one question is asked. However many tokens are made up, so many questions run at once
  and no more: the next one is 503 at once. Without that bound a flood would hold connections, memory and the identity provider
  itself; with it, it costs whoever has no kept answer, and nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from counterseal.clock import Clock
from counterseal.core import strict_json
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity import key_form
from counterseal.identity.client_auth import ClientAuth
from counterseal.identity.credentials import REFUSED
from counterseal.identity.fetch import Document, FetchFailed, why
from counterseal.jose.claims import LATEST, MOST_LEEWAY
from counterseal.jose.refusal import TokenRefused

_log = logging.getLogger("counterseal.identity")

_ACCESS: Final[Mapping[str, frozenset[str]]] = {
    "token_type": frozenset({"bearer"}),
    "typ": frozenset({"bearer", "at+jwt", "application/at+jwt"}),
    "token_use": frozenset({"access", "access_token"}),
}
"""What an access token that needs no proof may say of its kind, where it says anything. Refresh, ID and logout tokens are active
too, and providers tell them apart by these members: RFC 7662's own, Keycloak's, and that of Cognito and Hydra."""

_OF_OUR_CLIENT: Final = ("status is 401", "status is 403")
_OF_THE_CALLER: Final = "status is 400"
"""How the text of a FetchFailed ends for a status that says whose fault it is."""


class Post(Protocol):
    """Sends one form and gets one document. Raises FetchFailed, also for any status but 200."""

    async def __call__(
        self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]
    ) -> Document: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One provider's introspection endpoint.

    name: the issuer's, for messages. issuer: the one `iss` of its tokens; None where they may have several, or nobody knows it,
    and then `accept` decides about it. prefix: how its tokens begin; b"" for any. accept: all rules about claims (audience,
    scopes, types of members); of the request it may read the server alone, because a Caller is kept for it. Any member but `sub`
    may be missing, also `exp`. It raises TokenRefused or a CallError.
    require_audience: an answer without `aud` is refused. leeway: seconds by which clocks may differ.
    """

    name: str
    issuer: str | None
    url: str
    prefix: bytes = b""
    auth: ClientAuth = field(repr=False)
    post: Post = field(repr=False)
    accept: Callable[[Mapping[str, Any], Inbound], Caller] = field(repr=False)
    require_audience: bool
    leeway: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= MOST_LEEWAY:
            raise ValueError(f"the leeway must be 0 to {MOST_LEEWAY:g} seconds")


@dataclass(frozen=True, slots=True)
class _Active:
    """until: on the monotonic clock. exp: on the wall clock; None where the answer has none."""

    claims: Mapping[str, Any] = field(repr=False)
    until: float
    exp: float | None


@dataclass(frozen=True, slots=True)
class _Refused:
    until: float
    detail: str


@dataclass(frozen=True, slots=True)
class _Unknown:
    detail: str


_Answer = _Active | _Refused | _Unknown
_Token = tuple[bytes, str]
"""The SHA-256 of a whole token and the name of its endpoint."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Introspection:
    """The authenticator for opaque tokens. Raises ValueError where two endpoints would be asked about the same tokens."""

    def __init__(self, endpoints: Sequence[Endpoint], clock: Clock, limits: Limits) -> None:
        for distinct in ({one.prefix for one in endpoints}, {one.name for one in endpoints}):
            if len(distinct) < len(endpoints):
                raise ValueError("two introspection endpoints have one prefix or one name: give each its own")
        longest_first = sorted(endpoints, key=lambda one: len(one.prefix), reverse=True)
        self._questions = [_Questions(one, clock, limits, self._note) for one in longest_first]
        self._clock = clock
        self._limits = limits
        # Refusals have a place of their own: made-up tokens must not push out what is known of good ones.
        self._active: OrderedDict[_Token, _Active] = OrderedDict()
        self._refused: OrderedDict[_Token, _Refused] = OrderedDict()
        self._callers: OrderedDict[tuple[_Token, str], tuple[_Active, Caller]] = OrderedDict()

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """None for what no endpoint is asked about. Raises Unauthenticated, with one text for all, or CannotTell, or what
        `accept` raises."""
        questions = self._questions_for(presented)
        if questions is None:
            return None
        token = hashlib.sha256(presented).digest(), questions.endpoint.name
        answer: _Answer | None = self._kept(token)
        made = self._callers.get((token, inbound.server))
        if made is not None and made[0] is answer:
            return made[1]
        if answer is None:
            answer = await questions.ask(token, presented)
        if isinstance(answer, _Unknown):
            raise CannotTell(
                "identity_unavailable", "the identity provider cannot say now whose token this is", detail=answer.detail
            )
        if isinstance(answer, _Refused):
            raise Unauthenticated("credential_invalid", REFUSED, detail=answer.detail)
        try:
            caller = questions.endpoint.accept(answer.claims, inbound)
        except TokenRefused as refused:
            raise Unauthenticated("credential_invalid", REFUSED, detail=f"{refused.code}: {refused.detail}") from None
        if answer is self._active.get(token):
            self._keep(self._callers, (token, inbound.server), (answer, caller))
        return caller

    def healthy(self) -> Mapping[str, str | None]:
        """For each endpoint by its issuer's name: None while nothing speaks against it, else what was wrong the last time that
        it was asked. That is said for a cool-down, because a worker that gets no more calls could never find it mended."""
        return {one.endpoint.name: one.healthy() for one in self._questions}

    def _questions_for(self, presented: bytes) -> _Questions | None:
        if (
            presented.startswith(key_form.PREFIX)
            or presented.count(b".") >= 2
            or len(presented) > self._limits.token_bytes
        ):
            return None
        return next((one for one in self._questions if presented.startswith(one.endpoint.prefix)), None)

    def _kept(self, token: _Token) -> _Active | _Refused | None:
        active = self._active.get(token)
        if active is not None and self._lives(active):
            return active
        refused = self._refused.get(token)
        return refused if refused is not None and self._clock.monotonic() < refused.until else None

    def _lives(self, active: _Active) -> bool:
        # Both clocks: a wall clock that is set back makes nothing live longer, one that is set forward ends it (J-16).
        return self._clock.monotonic() < active.until and (active.exp is None or self._clock.wall() < active.exp)

    def _note(self, token: _Token, answer: _Answer) -> None:
        if isinstance(answer, _Active) and self._lives(answer):
            self._refused.pop(token, None)
            self._keep(self._active, token, answer)
        elif isinstance(answer, _Refused):
            self._active.pop(token, None)
            self._keep(self._refused, token, answer)

    def _keep(self, kept: OrderedDict[_K, _V], key: _K, value: _V) -> None:
        kept[key] = value
        kept.move_to_end(key)
        if len(kept) > self._limits.introspection_kept_count:
            kept.popitem(last=False)


class _Questions:
    """What one endpoint is being asked now: one question a token, and a limited number of them."""

    def __init__(
        self, endpoint: Endpoint, clock: Clock, limits: Limits, note: Callable[[_Token, _Answer], None]
    ) -> None:
        self.endpoint: Final = endpoint
        self._clock = clock
        self._limits = limits
        self._note = note
        self._flights: dict[_Token, asyncio.Task[_Answer]] = {}
        self._problem: str | None = None
        self._failed = 0.0

    def healthy(self) -> str | None:
        recent = self._clock.monotonic() - self._failed < self._limits.refetch_cooldown_seconds
        return self._problem if recent else None

    async def ask(self, token: _Token, presented: bytes) -> _Answer:
        flight = self._flights.get(token)
        if flight is None:
            if len(self._flights) >= self._limits.introspection_count:
                return self._unknown(f"{len(self._flights)} other tokens are being asked about, and no more at once")
            flight = asyncio.ensure_future(self._fly(token, presented))
            self._flights[token] = flight
        # Shielded: a caller who leaves must not end the question that others wait for.
        return await asyncio.shield(flight)

    async def _fly(self, token: _Token, presented: bytes) -> _Answer:
        try:
            answer = await self._answer(presented)
            self._note(token, answer)
            return answer
        finally:
            del self._flights[token]

    async def _answer(self, presented: bytes) -> _Answer:
        """An answer is as old as its question. It is a value, never an exception: each of those who wait raises its own."""
        asked, now = self._clock.monotonic(), self._clock.wall()
        try:
            async with asyncio.timeout(self._limits.fetch_seconds):
                body = (await question(self.endpoint, presented)).body
            answer = read_answer(body, self._limits)
        except Exception as error:  # whatever it was, nobody can tell
            return self._failing(error)
        self._problem = None
        try:
            claims = _claims(self.endpoint, answer, now)
        except TokenRefused as refused:
            return _Refused(asked + self._limits.introspection_refused_seconds, f"{refused.code}: {refused.detail}")
        exp = claims.get("exp")
        life = self._limits.introspection_kept_seconds
        return _Active(claims, asked + (life if exp is None else min(life, exp - now)), exp)

    def _failing(self, error: Exception) -> _Unknown:
        problem = say(error)
        if problem.endswith(_OF_THE_CALLER):
            return self._unknown(problem)  # by what it sends, nobody makes the gateway look unwell or fills its log
        if problem != self._problem:  # once, however many calls meet it
            _log.warning("issuer %s: its introspection endpoint does not answer: %s", self.endpoint.name, problem)
        self._problem, self._failed = problem, self._clock.monotonic()
        return self._unknown(problem)

    def _unknown(self, problem: str) -> _Unknown:
        return _Unknown(f"issuer {self.endpoint.name}: {problem}")


async def question(endpoint: Endpoint, presented: bytes) -> Document:
    """Ask about one token. Raises FetchFailed, and whatever proving who asks raises."""
    proof = await endpoint.auth.prove(endpoint.url)
    form = (("token", presented.decode("ascii")), ("token_type_hint", "access_token"), *proof.form)
    return await endpoint.post(endpoint.url, form, proof.headers)


def read_answer(body: bytes, limits: Limits) -> dict[str, Any]:
    """The object that an answer is. Raises FetchFailed where it is none that RFC 7662 section 2.2 knows."""
    if len(body) > limits.introspection_bytes:
        raise FetchFailed(f"the answer has more than {limits.introspection_bytes} bytes")
    try:
        answer = strict_json.read(body, depth=limits.token_json_depth, members=limits.token_json_members)
    except (strict_json.NotStrict, strict_json.TooBig) as error:
        raise FetchFailed(f"the answer is not strict JSON: {error}") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
        raise FetchFailed("the answer is not an object with `active` that is true or false")
    return answer


def say(error: Exception) -> str:
    """What failed, in words that hold nothing of the request."""
    text = why(error)
    if text.endswith(_OF_OUR_CLIENT):
        return f"{text}: it does not accept the gateway's own client credentials, so check them"
    return text


def _claims(endpoint: Endpoint, answer: Mapping[str, Any], now: float) -> Mapping[str, Any]:
    """What the endpoint vouches for, with `iss` and `sub`. Raises TokenRefused."""
    if answer["active"] is not True:
        raise TokenRefused(
            "expired", "the token is not active: over, revoked, unknown, or not for the gateway to ask about"
        )
    claims = {name: value for name, value in answer.items() if name != "active"}
    _check_kind(claims)
    if endpoint.issuer is not None and claims.setdefault("iss", endpoint.issuer) != endpoint.issuer:
        raise TokenRefused("issuer", f"`iss` of the answer is not {endpoint.issuer!r}, for which this endpoint answers")
    if "aud" not in claims:
        if endpoint.require_audience:
            raise TokenRefused("audience", "the answer has no `aud`, so the token may be for anybody")
        if "token_type" not in claims:
            # RFC 7662 has no other member by which an access token differs from a refresh token.
            raise TokenRefused("typ", "the answer has neither `aud` nor `token_type`: it may be about a refresh token")
    # A token that a client got for itself has no person, and some providers send no `sub` for it (RFC 9068 section 2.2).
    subject = claims.setdefault("sub", claims.get("client_id"))
    if not isinstance(subject, str) or not subject:
        raise TokenRefused("subject", "the answer has no `sub` and no `client_id` that is a text")
    _check_times(claims, endpoint.leeway, now)
    return MappingProxyType(claims)


def _check_kind(claims: Mapping[str, Any]) -> None:
    if "cnf" in claims:
        raise TokenRefused("confirmation", "the token is bound to a key (RFC 7800) and came without the proof")
    for member, allowed in _ACCESS.items():
        value = claims.get(member)
        if member in claims and not (isinstance(value, str) and value.lower() in allowed):
            raise TokenRefused("typ", f"`{member}` of the answer is not that of an access token without proof")
    if not claims.keys().isdisjoint({"at_hash", "c_hash", "events"}):
        raise TokenRefused("typ", "an ID token or a security event, not an access token")


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= LATEST:
            raise TokenRefused("time", f"`{name}` is not a number of seconds within the years 1970 to 9999")
        if name != "exp" and value > now + leeway:
            raise TokenRefused("not_yet_valid", f"`{name}` is in the future")
    if "exp" in claims and now >= claims["exp"] + leeway:
        raise TokenRefused("expired", "the token is over")
