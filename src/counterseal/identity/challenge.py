"""What a 401 or 403 tells a client that it needs to know, and nothing about what was wrong (RFC 6750 section 3, RFC 9728).

Every value is configuration, or the server's name as the router let it through: letters, digits, `-` and `_`. A scope that
could end its quotes is refused (RFC 6749 section 3.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def resource(issuer: str, server: str) -> str:
    """The address of a server at this gateway, as a client calls it: the audience of tokens for it (RFC 8707)."""
    return f"{issuer}/mcp/{server}" if server else f"{issuer}/mcp"


def metadata_url(issuer: str, server: str) -> str:
    """Where the protected resource's metadata lies: the well-known part goes before the path (RFC 9728 section 3.1)."""
    parts = urlsplit(resource(issuer, server))
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def scope_value(scopes: Iterable[str]) -> str:
    """Scopes as one header value has them, each once. Raises ValueError for what is no scope-token."""
    distinct = tuple(dict.fromkeys(scopes))
    for scope in distinct:
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise ValueError('a scope holds a character that none has: use printable ASCII without space, `"` and `\\`')
    return " ".join(distinct)


def challenge(issuer: str, server: str, *, sent: bool, scopes: Iterable[str] = ()) -> tuple[bytes, bytes]:
    """The `WWW-Authenticate` header of a 401.

    sent: a credential was sent, so `error` may say that it was not accepted. scopes: all that a token for this server needs,
    so that the client asks for them once. Raises ValueError for what is no scope.
    """
    value = f'Bearer resource_metadata="{metadata_url(issuer, server)}"'
    needed = scope_value(scopes)
    if needed:
        value += f', scope="{needed}"'
    if sent:
        value += ', error="invalid_token"'
    return b"www-authenticate", value.encode()


def insufficient_scope(issuer: str, server: str, scopes: Iterable[str]) -> tuple[bytes, bytes]:
    """The `WWW-Authenticate` header of a 403 that more scope would mend (RFC 6750 section 3.1), and of no other.

    scopes: all that the token needs, also those that it has: a client asks for exactly these. Raises ValueError for what is no
    scope.
    """
    value = (
        f'Bearer error="insufficient_scope", scope="{scope_value(scopes)}", '
        f'resource_metadata="{metadata_url(issuer, server)}", error_description="the token needs all of these scopes"'
    )
    return b"www-authenticate", value.encode()
