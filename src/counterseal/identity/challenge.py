"""What a 401 tells a client that it needs to know, and nothing about what was wrong (RFC 6750 section 3, RFC 9728)."""

from __future__ import annotations


def resource(issuer: str, server: str) -> str:
    """The address of a server at this gateway, as a client calls it: the audience of tokens for it (RFC 8707)."""
    return f"{issuer}/mcp/{server}" if server else f"{issuer}/mcp"


def metadata_url(issuer: str, server: str) -> str:
    """Where the protected resource's metadata lies: the well-known part goes before the path (RFC 9728 section 3.1)."""
    return f"{issuer}/.well-known/oauth-protected-resource/mcp" + (f"/{server}" if server else "")


def challenge(issuer: str, server: str, *, sent: bool) -> tuple[bytes, bytes]:
    """The `WWW-Authenticate` header. sent: a credential was sent, so `error` may say that it was not accepted."""
    # The name comes from the request line: only what the router let through, letters, digits, `-` and `_`.
    value = f'Bearer resource_metadata="{metadata_url(issuer, server)}"'
    if sent:
        value += ', error="invalid_token"'
    return b"www-authenticate", value.encode()
