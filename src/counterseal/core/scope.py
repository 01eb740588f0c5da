"""One scope value for one operation, injective over every tool name.

RFC 6749 section 3.3 allows %x21 / %x23-5B / %x5D-7E in a scope token and separates tokens by a space, so a tool name is
percent-encoded as UTF-8: two names never share a scope, and no name can smuggle in a second one. LiteLLM replaces
instead, and its `a.b` and `a_b` share a scope.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

_PREFIX: Final = "mcp:"
_TOOL: Final = "mcp:tools/call:"


def scope_of(method: str, name: str | None) -> str:
    """The only scope that a call token for this operation holds: `mcp:{method}`, for a tool `mcp:tools/call:{tool}`."""
    if method == "tools/call":
        return _TOOL + encode_name(name or "")
    return _PREFIX + quote(method, safe="/-._~")


def encode_name(name: str) -> str:
    """Percent-encode everything but RFC 3986's unreserved characters. Raises ValueError for lone surrogates."""
    return quote(name, safe="")


def decode_name(encoded: str) -> str:
    """The inverse of `encode_name`. Raises ValueError for text that `encode_name` cannot have made."""
    name = unquote(encoded, errors="strict")
    if encode_name(name) != encoded:
        raise ValueError("not an encoded name")
    return name
