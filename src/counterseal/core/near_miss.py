"""What a rule of the policy asks that is not so: for people who want to know what would change a decision.

Nothing is decided here. Nothing is missed exactly where `core.policy` has the rule select and cover the operation; tests hold
the two together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.policy import CALLER_FIELDS, Policy, Rule, decided_as, denied_with, is_open, matches


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that a rule asks. key: `callers.team`, `servers`, `tools` or `methods`. wanted: any of these patterns. has: what
    is there instead; empty where nothing is known."""

    key: str
    wanted: tuple[str, ...]
    has: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rule that is not about a call, and why not."""

    rule: Rule
    misses: tuple[Miss, ...]


def nearest_permit(policy: Policy, caller: Caller, call: Call) -> NearMiss | None:
    """The permit rule of which the least is missed, the first of several; None where no rule permits anything."""
    near = [NearMiss(rule, misses(rule, caller, call)) for rule in policy.rules if rule.permits]
    return min(near, key=lambda one: len(one.misses), default=None)


def near_denials(policy: Policy, caller: Caller, call: Call) -> tuple[NearMiss, ...]:
    """The deny rules that are about this very operation on this server, and not about this caller."""
    near = [NearMiss(rule, misses(rule, caller, call)) for rule in policy.rules if not rule.permits]
    return tuple(one for one in near if one.misses and all(miss.key.startswith("callers.") for miss in one.misses))


def misses(rule: Rule, caller: Caller, call: Call) -> tuple[Miss, ...]:
    """All that a rule asks and this call is not."""
    method, name = decided_as(call)
    found = list(_of_the_caller(rule, caller, call.server))
    if rule.permits and is_open(method):
        return tuple(found)
    of_the_operation = tuple(_of_the_operation(rule, method, name))
    if not rule.permits:  # denials of each of them hold
        for other in (call.method, *denied_with(call)):
            if of_the_operation and other != method:
                of_the_operation = tuple(_of_the_operation(rule, other, name))
    return (*found, *of_the_operation)


def _of_the_caller(rule: Rule, caller: Caller, server: str) -> Iterator[Miss]:
    if rule.servers is not None and not rule.servers.match(server):
        yield Miss("servers", rule.servers.texts, (server,))
    for field, patterns in rule.callers:
        value = CALLER_FIELDS[field](caller)
        if not matches(patterns, value):
            has = value if isinstance(value, tuple) else () if value is None else (value,)
            yield Miss(f"callers.{field}", patterns.texts, has)


def _of_the_operation(rule: Rule, method: str, name: str | None) -> Iterator[Miss]:
    methods = rule.methods
    if rule.tools is not None and method != "tools/call" and methods is None:
        yield Miss("methods", ("tools/call",), (method,))  # a rule that names tools alone is about calling them
        return
    if methods is not None and not methods.match(method):
        yield Miss("methods", methods.texts, (method,))
    if rule.tools is not None and method == "tools/call" and not rule.tools.match(name):
        yield Miss("tools", rule.tools.texts, () if name is None else (name,))
