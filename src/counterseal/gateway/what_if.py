"""What would change the outcome of a call: for its operator, who may know what no caller is told.

Each line says one thing that could be otherwise. What comes of it is decided by the policy itself, asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.near_miss import Miss, NearMiss, near_denials, nearest_permit
from counterseal.core.permit import Allowed, Denial
from counterseal.core.policy import Policy
from counterseal.errors import REASONS

_SHOWN: Final = 5
"""Rules that are told of one by one."""


def what_would_permit(policy: Policy, caller: Caller, call: Call, denial: Denial) -> tuple[str, ...]:
    """What stands between a denied call and its permit."""
    if denial.reason == "policy_denied":
        return tuple(_by_the_policy(policy, caller, call, denial))
    if denial.rule.startswith("key "):
        kind, allowed = ("servers", caller.servers) if denial.reason == "server_unknown" else ("tools", caller.tools)
        texts = () if allowed is None else allowed.texts
        return (f"the API key is for the {kind} {_any(texts)}: make another with `counterseal apikey create --{kind}`",)
    if denial.reason in ("tool_not_allowed", "scope_not_allowed"):
        patterns = policy.allowed_tools.get(call.server)
        if denial.reason == "scope_not_allowed":
            patterns = policy.allowed_scopes[call.server].patterns
        return (f"{denial.rule} has {_any(() if patterns is None else patterns.texts)}: add to it, or leave it out",)
    return (REASONS[denial.reason].remedy, *([denial.rule] if denial.rule else []))


def what_would_deny(policy: Policy, caller: Caller, call: Call, allowed: Allowed) -> tuple[str, ...]:
    """What a permitted call hangs on."""
    found = [f"without {allowed.rule}: {_then(_without(policy, allowed.rule), caller, call)}"]
    denials = near_denials(policy, caller, call)
    found += [f"{near.rule.label} denies it {_asks(near)}" for near in denials[:_SHOWN]]
    if len(denials) > _SHOWN:
        found.append(f"{len(denials) - _SHOWN} more rules deny it to others")
    for kind, patterns in (("servers", caller.servers), ("tools", caller.tools)):
        if patterns is not None:
            found.append(f"the API key is for the {kind} {_any(patterns.texts)}, and for no others")
    return tuple(found)


def _by_the_policy(policy: Policy, caller: Caller, call: Call, denial: Denial) -> Iterator[str]:
    if denial.rule != "default":
        yield f"without {denial.rule}: {_then(_without(policy, denial.rule), caller, call)}"
        return
    near = nearest_permit(policy, caller, call)
    if near is None:
        yield "no rule of `policy` permits anything: write a `permit` rule (docs/policy.md)"
    else:
        yield f"the nearest rule is {near.rule.label}: it permits {_asks(near)}"


def _without(policy: Policy, label: str) -> Policy:
    return replace(policy, rules=tuple(rule for rule in policy.rules if rule.label != label))


def _then(policy: Policy, caller: Caller, call: Call) -> str:
    decided = policy.decide(caller, call)
    if isinstance(decided, Allowed):
        return f"permitted by {decided.rule}"
    if decided.rule == "default":
        return "denied, as no other rule permits it"
    return f"denied by {decided.rule}"


def _asks(near: NearMiss) -> str:
    return " and ".join(map(_miss, near.misses)) or "this call"


def _miss(miss: Miss) -> str:
    has = f"this one has {_any(miss.has)}" if miss.has else "this one has none"
    if miss.key.startswith("callers."):
        return f"callers with {miss.key.removeprefix('callers.')} {_any(miss.wanted)} ({has})"
    return f"{miss.key} {_any(miss.wanted)} (this is {_any(miss.has)})"


def _any(texts: tuple[str, ...]) -> str:
    return " or ".join(map(repr, texts)) or "nothing"
