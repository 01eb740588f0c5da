"""The scope of one operation, injective over every tool name.

RFC 6749 section 3.3 allows %x21 / %x23-5B / %x5D-7E in a scope token and separates tokens by a space, so a tool name is
percent-encoded as UTF-8: two names never share a scope, and no name can smuggle in a second one. LiteLLM replaces
instead, and its `a.b` and `a_b` share a scope.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from counterseal.core.patterns import Patterns

_PREFIX: Final = "mcp:"
_TOOL: Final = "mcp:tools/call:"
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]*")

ScopeOf = Callable[[str, str | None], str]
"""The scope of a method and the name of what it is for. Raises ValueError for lone surrogates."""


def scope_of(method: str, name: str | None) -> str:
    """The only scope that a call token for this operation holds: `mcp:{method}`, for a tool `mcp:tools/call:{tool}`."""
    if method == "tools/call":
        return _TOOL + encode_name(name or "")
    return _PREFIX + quote(method, safe="/-._~")


def scope_as_litellm_says(method: str, name: str | None) -> str:
    """The same with LiteLLM's two values for a tool: `mcp:tools/call mcp:tools/{tool}:call`. For other methods it is ours."""
    if method == "tools/call":
        return f"mcp:tools/call mcp:tools/{encode_name(name or '')}:call"
    return scope_of(method, name)


@dataclass(frozen=True, slots=True)
class AllowedScopes:
    """Which scopes the call tokens for one server may hold. scope_of: how its tokens name them."""

    patterns: Patterns
    scope_of: ScopeOf

    def refused(self, method: str, name: str | None) -> str | None:
        """The first scope of an operation that no token may hold; None where all are allowed."""
        for scope in self.scope_of(method, name).split(" "):
            if not self.patterns.match(scope):
                return scope
        return None


def encode_name(name: str) -> str:
    """Percent-encode everything but RFC 3986's unreserved characters. Raises ValueError for lone surrogates."""
    return name if _UNRESERVED.fullmatch(name) else quote(name, safe="")


def decode_name(encoded: str) -> str:
    """The inverse of `encode_name`. Raises ValueError for text that `encode_name` cannot have made."""
    name = unquote(encoded, errors="strict")
    if encode_name(name) != encoded:
        raise ValueError("not an encoded name")
    return name
