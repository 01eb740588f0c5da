"""What a gateway makes of a call, and why: the view of `counterseal explain`.

* It decides nothing and makes no claim: it asks the pipeline's own `permit`, opened dry, and writes down what came out.
* Nothing is sent to a server: a dry pipeline has none. Hooks are called as for every call, unless they were left out.
* Who reads it owns the gateway, so it tells what callers are never told. Credentials are told to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.clock import Clock
from counterseal.config.schema import Configuration
from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.origins import Origins
from counterseal.core.permit import Denial, Permit
from counterseal.errors import REASONS, CallError
from counterseal.gateway.asked import Asked, caller_asked, in_session, request
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.what_if import what_would_deny, what_would_permit
from counterseal.gateway.wiring import Parts, open_parts

TOKEN: Final = "<call token>"  # noqa: S105
"""What stands where the call token would."""

_SHOWN: Final = frozenset(["accept", "accept-encoding", "content-type", "user-agent", "mcp-method", "mcp-name"])
_SHOWN_PREFIXES: Final = ("mcp-protocol-", "mcp-param-", "x-counterseal-")
"""Headers whose values are the gateway's own words about the call."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call is not made. detail: what the record says beyond the message. rule: what said no; None for no rule's doing."""

    reason: str
    message: str
    detail: str | None = None
    rule: str | None = None

    @property
    def status(self) -> int:
        """HTTP."""
        return REASONS[self.reason].status


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What was found. caller, call: None where it was over before they were known.

    invalid: why the credential is refused although the rest is told as if it were good. refused: None where nothing else refuses
    the call. rule: what permits it. claims: of the token; empty where there would be none. headers: to the server, in order; a
    value of None is not shown. asked: hooks that were called, changed: those that changed something. left_out: identity headers
    that this peer may not send. changes: what would change the outcome.
    """

    caller: Caller | None = None
    call: Call | None = None
    invalid: str | None = None
    refused: Refused | None = None
    rule: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    kid: str | None = None
    algorithm: str | None = None
    headers: Sequence[tuple[str, str | None]] = ()
    asked: Sequence[str] = ()
    changed: Sequence[str] = ()
    left_out: Sequence[str] = ()
    changes: Sequence[str] = ()

    @property
    def permitted(self) -> bool:
        """Whether such a call would be made."""
        return self.refused is None and self.invalid is None


@dataclass(frozen=True, slots=True)
class Decided:
    """What the pipeline made of a call, and where the claims of the permit came from."""

    verdict: Permit | Denial | CallError
    origins: Origins


async def decided(pipeline: Pipeline, caller: Caller, call: Call, inbound: Inbound | None) -> Decided:
    """The pipeline's own verdict. What it raises is a verdict as well."""
    origins = Origins()
    try:
        verdict: Permit | Denial | CallError = await pipeline.permit(caller, call, inbound, origins)
    except CallError as error:
        verdict = error
    return Decided(verdict, origins if isinstance(verdict, Permit) else Origins())


async def explain(configuration: Configuration, asked: Asked, clock: Clock, *, with_hooks: bool = True) -> Explained:
    """All that can be told of a call. Raises ConfigError; KeyError for a server or a method that there is not."""
    called: list[str] = []
    async with AsyncExitStack() as stack:
        parts = await open_parts(
            configuration, clock, stack, background=False, dry=True, with_hooks=with_hooks, asked=called.append
        )
        return await _explain(parts, asked, clock, called)


async def _explain(parts: Parts, asked: Asked, clock: Clock, called: Sequence[str]) -> Explained:
    inbound = request(asked, parts)
    left_out = tuple(name for name, _ in asked.headers if name.lower().encode() not in inbound.names)
    try:
        caller, invalid = await caller_asked(asked, inbound, parts, clock.wall())
    except CallError as error:
        return Explained(caller=error.caller, refused=_of(error), left_out=left_out, changes=(_mend(error),))
    inbound = in_session(inbound, caller, parts)
    try:
        call = parts.pipeline.decode(inbound, caller)
    except CallError as error:
        return Explained(
            caller=caller, invalid=invalid, refused=_of(error), left_out=left_out, changes=(error.reason.remedy,)
        )
    found = await decided(parts.pipeline, caller, call, inbound)
    policy, verdict = parts.pipeline.policy, found.verdict
    told: dict[str, Any] = {"caller": caller, "invalid": invalid, "asked": tuple(called), "left_out": left_out}
    match verdict:
        case Denial():
            refused = Refused(verdict.reason, verdict.message, rule=verdict.rule or None)
            changes = what_would_permit(policy, caller, call, verdict)
            return Explained(call=call, refused=refused, changes=changes, **told)
        case CallError():
            return Explained(call=call, refused=_of(verdict), changes=(verdict.reason.remedy,), **told)
    return Explained(
        call=verdict.call,
        rule=verdict.allowed.rule,
        claims=verdict.claims,
        origins=found.origins,
        kid=verdict.kid,
        algorithm=verdict.algorithm,
        headers=_headers(parts, verdict),
        changed=verdict.hooks,
        changes=what_would_deny(policy, caller, verdict.call, verdict.allowed),
        **told,
    )


def _mend(error: CallError) -> str:
    """What would make a caller of a credential: the table of reasons says it to callers, this to whoever owns the gateway."""
    if error.reason.code == "credential_missing":
        return "`callers.anonymous` is false: set it to true, or ask about a key or a token"
    if error.reason.code == "credential_invalid":
        return "a key of `counterseal apikey list`, or a token that is good: what is wrong with this one stands above"
    return error.reason.remedy


def _of(error: CallError) -> Refused:
    return Refused(error.reason.code, error.message, error.detail, error.rule)


def _headers(parts: Parts, permit: Permit) -> tuple[tuple[str, str | None], ...]:
    """What the server would get. Values of the server's own credentials, of hooks, and of sessions are not shown; those of the
    caller's headers are what was asked about."""
    hidden = {
        name.lower() for name in (*parts.configuration.servers[permit.call.server].headers, *dict(permit.headers))
    }
    forwarded = dict(permit.forwarded)
    return tuple(
        (name, forwarded[name] if name in forwarded else _value(name.lower(), value, permit.token, hidden))
        for name, value in parts.servers[permit.call.server].request_headers(permit)
    )


def _value(name: str, value: str, token: str, hidden: set[str]) -> str | None:
    if token in value:
        return value.replace(token, TOKEN)
    if name in hidden or not (name in _SHOWN or name.startswith(_SHOWN_PREFIXES)):
        return None
    return value
