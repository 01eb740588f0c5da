"""May this caller make this call? The first denial wins, then the first permit; where nothing permits, it is denied.

A rule selects by callers, servers, tools and methods; what it leaves out, it does not ask about.

* A rule with `tools` is about those tools: calling them, and seeing them in `tools/list`.
* A rule with `methods` is about those methods. With both, it is about those tools when the method is `tools/call`, and
  about the other methods as named.
* A rule with neither is about everything on the server.
* Methods without an effect of their own (the handshake, `server/discover`, lists, streams) are for whoever may use
  anything at all on the server: lists are filtered by the same decision, so they show what may be used and no more.
  Only a `deny` rule that names them in `methods`, or names neither tools nor methods, closes them.

Names are compared as they are, case-sensitive, byte for byte; `*` stands for any run of
characters and there is no other wildcard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.methods import METHODS, Kind
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Allowed, Denial
from counterseal.core.scope import AllowedScopes

_OPEN: Final = Kind.OPEN

CALLER_FIELDS: Final[Mapping[str, Callable[[Caller], str | tuple[str, ...] | None]]] = {
    "kind": lambda caller: caller.kind,
    "key": lambda caller: caller.client_id if caller.kind == "api_key" else None,
    "client_id": lambda caller: caller.client_id,
    "issuer": lambda caller: caller.issuer,
    "subject": lambda caller: caller.subject,
    "email": lambda caller: caller.email,
    "team": lambda caller: caller.team,
    "org": lambda caller: caller.organisation,
    "agent": lambda caller: caller.agent,
    "roles": lambda caller: caller.roles,
    "groups": lambda caller: caller.groups,
    "scopes": lambda caller: caller.scopes,
}
"""What a rule's `callers` may ask about. Of several values, one that matches is enough."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled line of `policy:`. label: how messages and records name it. None: the rule does not ask."""

    label: str
    permits: bool
    callers: tuple[tuple[str, Patterns], ...] = ()
    servers: Patterns | None = None
    tools: Patterns | None = None
    methods: Patterns | None = None

    def _selects(self, caller: Caller, server: str) -> bool:
        if self.servers is not None and not self.servers.match(server):
            return False
        return not self.callers or all(
            matches(patterns, CALLER_FIELDS[field](caller)) for field, patterns in self.callers
        )

    def _covers(self, method: str, tool: str | None) -> bool:
        if self.tools is None:
            return self.methods is None or self.methods.match(method)
        if method == "tools/call":
            return self.tools.match(tool) and (self.methods is None or self.methods.match(method))
        return self.methods is not None and self.methods.match(method)


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, compiled once. allowed_tools, allowed_scopes: per server, those of its `signer` where they are given."""

    rules: tuple[Rule, ...]
    allowed_tools: Mapping[str, Patterns]
    allowed_scopes: Mapping[str, AllowedScopes] = field(default_factory=dict)

    def decide(self, caller: Caller, call: Call) -> Allowed | Denial:
        """The decision about one call. What is about tasks is decided as calls of the tools that made them."""
        for tool in call.tools:
            verdict = self.decide_operation(caller, call.server, "tools/call", tool, asked=call.method)
            if isinstance(verdict, Denial) or call.method != "subscriptions/listen":
                return verdict
        method, name = decided_as(call)
        return self.decide_operation(caller, call.server, method, name, asked=call.method, also=denied_with(call))

    def decide_operation(
        self,
        caller: Caller,
        server: str,
        method: str,
        name: str | None,
        *,
        asked: str | None = None,
        also: Sequence[str] = (),
    ) -> Allowed | Denial:
        """The same decision for an operation that nobody has made yet; lists are filtered by it.

        asked: the method as it was sent, where `method` is what it is decided as: denials of either hold, and those of `also`.
        """
        if caller.servers is not None and not caller.servers.match(server):
            return Denial("server_unknown", f"there is no server {server!r} for this caller", f"key {caller.client_id}")
        tool = name if method == "tools/call" else None
        if tool is not None:
            if caller.tools is not None and not caller.tools.match(tool):
                return Denial(
                    "tool_not_allowed", f"the API key does not allow the tool {tool!r}", f"key {caller.client_id}"
                )
            allowed = self.allowed_tools.get(server)
            if allowed is not None and not allowed.match(tool):
                return Denial(
                    "tool_not_allowed",
                    f"the server {server!r} does not allow the tool {tool!r}",
                    f"servers.{server}.signer.allowed_tools",
                )
        scopes = self.allowed_scopes.get(server)
        if scopes is not None and (scope := scopes.refused(asked or method, name)) is not None:
            return Denial(
                "scope_not_allowed",
                f"no call token for the server {server!r} may hold the scope {scope!r}",
                f"servers.{server}.signer.allowed_scopes",
            )
        selected = [rule for rule in self.rules if rule._selects(caller, server)]
        for rule in selected:
            if not rule.permits and (
                rule._covers(method, tool)
                or rule._covers(asked or method, tool)
                or (also and any(rule._covers(one, tool) for one in also))
            ):
                return Denial(
                    "policy_denied", f"{_say(method, name)} on {server!r} is denied by the policy", rule.label
                )
        for rule in selected:
            if rule.permits and (is_open(method) or rule._covers(method, tool)):
                return Allowed(rule.label)
        return Denial("policy_denied", f"no policy rule permits {_say(method, name)} on {server!r}", "default")


def decided_as(call: Call) -> tuple[str, str | None]:
    """The method and name that a call is decided as.

    A completion reveals what the prompt or resource it is for would, and listening for changes of resources is following them:
    side doors are decided like the front door (M-23).
    """
    params = (call.message or {}).get("params") or {}
    if call.method == "subscriptions/listen":
        wanted = params.get("notifications")
        follows = isinstance(wanted, Mapping) and wanted.get("resourceSubscriptions")
        return ("resources/read" if follows else call.method), None
    if call.method == "completion/complete":
        kind = (params.get("ref") or {}).get("type")
        return ("prompts/get" if kind == "ref/prompt" else "resources/read"), call.name
    return call.method, call.name


def denied_with(call: Call) -> Sequence[str]:
    """Other methods than its own, and than what it is decided as, whose denials hold for a call.

    Each era has a way of its own to follow a resource, and neither leads round a denial of the other, or of reading (M-23).
    """
    if call.method == "resources/subscribe":
        return ("resources/read",)
    if call.method == "subscriptions/listen" and decided_as(call)[0] != call.method:
        return ("resources/subscribe",)
    return ()


def is_open(method: str) -> bool:
    """Whether it has no effect of its own: then it is for whoever may use anything on the server."""
    row = METHODS.get(method)
    return row.kind is _OPEN if row is not None else method.startswith("notifications/")


def matches(patterns: Patterns, value: str | tuple[str, ...] | None) -> bool:
    """Whether what is known of a caller is what a rule asks for. What is not known matches nothing."""
    if isinstance(value, tuple):
        return any(patterns.match(one) for one in value)
    return patterns.match(value)


def _say(method: str, name: str | None) -> str:
    return f"{method} {name!r}" if name is not None else method
