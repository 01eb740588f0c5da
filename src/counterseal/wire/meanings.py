"""Headers that mean something to whoever carries or reads a request: that make another request of it, or say who sends it.

Nothing that comes from a caller gets into one, neither from an argument (OpenAPI) nor from a header of his (`forward_headers`).
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = frozenset(
    [
        "accept-charset",
        "accept-encoding",
        "connection",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "last-event-id",
        "origin",
        "referer",
        "remote-user",
        "te",
        "trailer",
        "transfer-encoding",
        "txn-token",
        "upgrade",
        "user-agent",
        "via",
        "x-api-key",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-original-url",
        "x-real-ip",
        "x-remote-user",
        "x-rewrite-url",
    ]
)
_FAMILIES: Final = ("x-auth-request-", "content-", "mcp-", "proxy-", "sec-", "x-counterseal-", "x-forwarded-")


def has_meaning(name: str) -> bool:
    """Whether this is one of them. name: in lower case."""
    return name in _NAMES or name.startswith(_FAMILIES)
