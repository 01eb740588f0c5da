"""What the issuer publishes, as bytes that are made once. PURE.

`issuer` is configuration and never taken from a request (K-19). Nothing is advertised that does not exist: this
issuer has no authorization endpoint, which RFC 8414 section 2 allows where no grant uses one. OpenID discovery insists on the
member, and a signer of service tokens that names a URN there (as Kubernetes' does) is what verifiers expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from counterseal.issuer.ring import KeyRing

MAX_AGE_SECONDS = 300
"""How long verifiers may keep the documents; a new key is published at least this long before it signs."""


def places(issuer: str, name: str) -> Sequence[str]:
    """Where readers look for a well-known document of an issuer. One whose address has a path has three: before the path
    (RFC 8414 section 3), behind it (OpenID Connect Discovery 1.0 section 4), and for a reverse proxy that takes it off."""
    path = urlsplit(issuer).path
    return tuple(dict.fromkeys((f"/.well-known/{name}", f"/.well-known/{name}{path}", f"{path}/.well-known/{name}")))


def jwks(ring: KeyRing) -> bytes:
    """`/.well-known/jwks.json`."""
    return _write(ring.jwks())


def authorization_server(issuer: str) -> bytes:
    """`/.well-known/oauth-authorization-server` (RFC 8414)."""
    return _write(_metadata(issuer))


def openid_configuration(issuer: str, ring: KeyRing) -> bytes:
    """`/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 section 3)."""
    return _write(
        {
            **_metadata(issuer),
            "authorization_endpoint": "urn:counterseal:no-interactive-authorization",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [signer.algorithm for signer in ring.signers],
        }
    )


def protected_resource(resource: str, name: str, authorization_servers: Sequence[str], scopes: Sequence[str]) -> bytes:
    """`/.well-known/oauth-protected-resource/mcp/{server}` (RFC 9728 section 2).

    resource: the exact address called. name: for people. authorization_servers: whose tokens are accepted. scopes: those that
    a token needs; `offline_access` is left out, because that is between a client and its identity provider. A member that
    would be an empty list is left out.
    """
    document: dict[str, Any] = {"resource": resource, "resource_name": name, "bearer_methods_supported": ["header"]}
    if authorization_servers:
        document["authorization_servers"] = list(authorization_servers)
    needed = [scope for scope in dict.fromkeys(scopes) if scope != "offline_access"]
    if needed:
        document["scopes_supported"] = needed
    return _write(document)


def _metadata(issuer: str) -> dict[str, Any]:
    return {"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks.json", "response_types_supported": []}


def _write(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document)
