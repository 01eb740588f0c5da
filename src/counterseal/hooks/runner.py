"""The hooks of a gateway around one call: gates in their order, and then claim sources in theirs.

* Every call meets every gate and source whose scope covers it, whatever its method, era or size (P-02).
* Each is asked once. A gate that stands after a replacement sees the new call; those before it are not asked again (P-03).
* A hook that fails refuses the call: 503 `hook_failed`. Nothing switches that off.
* What one of them adds, no other one has added, and nothing else either: no header and no claim is replaced (P-04, P-09).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import METHODS
from counterseal.core.permit import Denial
from counterseal.core.policy import decided_as, denied_with
from counterseal.errors import CannotTell
from counterseal.hooks.contained import Contained, HookFailed
from counterseal.hooks.protocols import Additions, Answer, Deny, Headers, Replace
from counterseal.hooks.scope import Scope
from counterseal.hooks.view import CallerView, View, call_view, caller_view, header_view
from counterseal.wire.envelope import with_arguments
from counterseal.wire.headers import Path

Given = TypeVar("Given")

Mirrors = Callable[[str, str], Mapping[Path, str] | None]
"""(server, tool) to what the tool mirrors into headers; None where no list has named the tool."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One gate or claim source as it is configured. name: in the intent of a call that it changed. label: with its place, for
    refusals. headers: those that it sees, in lower case. ask: raises HookFailed."""

    name: str
    label: str
    scope: Scope
    headers: tuple[bytes, ...]
    ask: Contained[View, Any]


@dataclass(frozen=True, slots=True)
class Passed:
    """All gates let a call pass. call: the call to make, the same one where no gate replaced its arguments. names: of the gates
    that did."""

    call: Call
    headers: Headers = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """What the call token and the request get on top. by: the label of the hook that adds a claim. names: of those that do."""

    claims: Mapping[str, Any]
    headers: Headers
    names: tuple[str, ...]
    by: Mapping[str, str]


NOTHING: Final = Added({}, (), (), {})
"""What is added where there is no hook."""


class Hooks:
    """gates, sources: in their order. mirrors: of the servers' lists. taken: for each server the headers, in lower case, that it
    gets anyway. asked: is told the label of each hook that is asked; None where nobody wants to know."""

    def __init__(
        self,
        gates: Sequence[Hook],
        sources: Sequence[Hook],
        *,
        mirrors: Mirrors,
        taken: Mapping[str, Set[str]],
        limits: Limits,
        asked: Callable[[str], None] | None = None,
    ) -> None:
        self._gates: Final = tuple(gates)
        self._sources: Final = tuple(sources)
        self._mirrors = mirrors
        self._taken = taken
        self._limits = limits
        self._asked = asked

    async def pass_gates(self, caller: Caller, call: Call, inbound: Inbound | None) -> Passed | Denial:
        """Ask every gate. inbound: where headers are read from; None for a call that nobody sent.

        Raises CannotTell `hook_failed`, BadCall where a header that a hook sees was sent twice.
        """
        passed = Passed(call)
        seen = _Seen(caller, inbound)
        for hook in self._gates:
            if not _covers(hook, passed.call):
                continue
            answer: Answer = await self._ask(hook, seen.view(hook, passed.call))
            if isinstance(answer, Deny):
                return Denial("hook_denied", answer.message, hook.label)
            self._check_headers(hook, call.server, answer.headers, passed.headers)
            headers = (*passed.headers, *answer.headers)
            if isinstance(answer, Replace):
                passed = Passed(self._replaced(hook, passed.call, answer), headers, (*passed.names, hook.name))
            else:
                passed = Passed(passed.call, headers, passed.names)
        return passed

    async def add(self, caller: Caller, passed: Passed, inbound: Inbound | None) -> Added:
        """Ask every claim source. Raises as `pass_gates` does."""
        call = passed.call
        claims: dict[str, Any] = {}
        by: dict[str, str] = {}
        headers, names = passed.headers, passed.names
        seen = _Seen(caller, inbound)
        for hook in self._sources:
            if not _covers(hook, call):
                continue
            additions: Additions = await self._ask(hook, seen.view(hook, call))
            self._check_headers(hook, call.server, additions.headers, headers)
            if not claims.keys().isdisjoint(additions.claims):
                raise failure(hook.label, "it adds a claim that another hook has added")
            claims |= additions.claims
            if len(claims) > self._limits.hook_claim_members:
                raise failure(hook.label, "with its claims there are too many")
            by |= dict.fromkeys(additions.claims, hook.label)
            headers = (*headers, *additions.headers)
            if additions.claims:
                names = (*names, hook.name)
        return Added(claims, headers, names, by)

    async def _ask(self, hook: Hook, view: View) -> Any:
        if self._asked is not None:
            self._asked(hook.label)
        try:
            return await hook.ask(view)
        except HookFailed as error:
            raise failure(hook.label, str(error)) from None

    def _check_headers(self, hook: Hook, server: str, added: Headers, before: Headers) -> None:
        if not added:
            return
        if len(before) + len(added) > self._limits.hook_header_count:
            raise failure(hook.label, "with its headers there are too many")
        taken = {*self._taken.get(server, ()), *(name.lower() for name, _ in before)}
        for name, _ in added:
            if name.lower() in taken:
                raise failure(hook.label, f"it adds the header {name}, which the request has already")

    def _replaced(self, hook: Hook, call: Call, answer: Replace) -> Call:
        row = METHODS.get(call.method)
        if row is None or not row.arguments:
            raise failure(hook.label, "it replaces the arguments of a method that has none")
        mirrors = None if call.name is None else self._mirrors(call.server, call.name)
        return with_arguments(call, answer.arguments, mirrors)


class _Seen:
    """What the hooks of one call see; made for the first of them that is asked."""

    __slots__ = ("_call", "_caller", "_inbound", "_of", "_who")

    def __init__(self, caller: Caller, inbound: Inbound | None) -> None:
        self._caller = caller
        self._inbound = inbound
        self._who: CallerView | None = None
        self._of: Call | None = None

    def view(self, hook: Hook, call: Call) -> View:
        if self._who is None:
            self._who = caller_view(self._caller)
        if self._of is not call:
            self._of, self._call = call, call_view(call)
        return View(caller=self._who, call=self._call, headers=header_view(self._inbound, hook.headers))


def _covers(hook: Hook, call: Call) -> bool:
    return hook.scope.covers(call.server, call.method, call.name, decided_as(call)[0], *denied_with(call))


def failure(label: str, why: str) -> CannotTell:
    """The refusal of a call whose hook failed. The caller learns that one did; which and why is in the record."""
    failed = CannotTell("hook_failed", "a hook of the gateway failed, so the call is not made", detail=why)
    failed.rule = label
    return failed
