"""What libraries do when they are told too little: each as its first page has it, with what comes of that."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import joserfc.errors
import jwt
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from joserfc.jwk import KeySet
from joserfc.jwt import decode

from tests.parties.weak.checking import Refused

_TOKEN_ALONE: Final = {"other_operation", "replayed", "two_headers", "oversize"}
"""Who looks at a token and not at the call misses these."""
_CLAIMS: Final = {"expired", "not_yet_valid", "issuer", "other_server"}

STOCK: Final = {
    "fastmcp_without_audience": {"not_yet_valid", "other_server", *_TOKEN_ALONE},
    "pyjwt_unverified": {"tampered", *_CLAIMS, *_TOKEN_ALONE},
    "joserfc_signature_alone": {*_CLAIMS, *_TOKEN_ALONE},
}
"""Each with the attacks that need a cause of their own."""


def fastmcp_without_audience(issuer: str, jwks: str) -> Any:
    """FastMCP with its own verifier."""
    auth = JWTVerifier(jwks_uri=jwks, issuer=issuer)
    server: FastMCP[Any] = FastMCP("weak", auth=auth)

    @server.tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return city

    return server.http_app(path="/mcp")


def pyjwt_unverified(headers: list[tuple[bytes, bytes]]) -> None:
    token = _bearer(headers)
    try:
        jwt.decode(token, options={"verify_signature": False})["sub"]
    except (jwt.PyJWTError, KeyError):
        raise Refused from None


def joserfc_signature_alone(jwks: str) -> Callable[[list[tuple[bytes, bytes]]], None]:
    """`decode` verifies the signature; the claims are another step, which is not taken."""
    keys: list[KeySet] = []

    def check(headers: list[tuple[bytes, bytes]]) -> None:
        if not keys:
            with urllib.request.urlopen(jwks, timeout=5) as answer:
                keys.append(KeySet.import_key_set(json.load(answer)))
        try:
            decode(_bearer(headers), keys[0], algorithms=["RS256", "ES256"])
        except (joserfc.errors.JoseError, ValueError):
            raise Refused from None

    return check


def _bearer(headers: list[tuple[bytes, bytes]]) -> str:
    value = dict(reversed(headers)).get(b"authorization", b"")
    if value[:7].lower() != b"bearer ":
        raise Refused
    return value[7:].decode()
