"""Which calls a hook is for. What its entry leaves out, it does not ask about."""

from __future__ import annotations

from dataclasses import dataclass

from counterseal.core.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Scope:
    """As a rule of the policy reads `servers`, `tools` and `methods` (docs/policy.md). None: it does not ask."""

    servers: Patterns | None = None
    tools: Patterns | None = None
    methods: Patterns | None = None

    def covers(self, server: str, method: str, name: str | None, *also: str | None) -> bool:
        """Whether this call is one of them. also: the method that it is decided as, where that is another one, and others whose
        denials would hold for it: a hook for the front door stands at the side door too (M-23)."""
        if self.servers is not None and not self.servers.match(server):
            return False
        by_method = self.methods is not None and (self.methods.match(method) or any(map(self.methods.match, also)))
        if self.tools is None:
            return self.methods is None or by_method
        if method == "tools/call":
            return self.tools.match(name) and (self.methods is None or by_method)
        return by_method
