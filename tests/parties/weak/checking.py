"""A checker of call tokens as somebody might write it with PyJWT, with a switch for each flaw that there is to find.

It shares no code with Counterseal.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.request
from typing import Any, Final

import jwt
import rfc8785
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FLAWS: Final = {
    "sound": None,
    "open": "none",
    "identity_header": "identity_header",
    "present_only": "no_token",
    "case_of_scheme": "scheme",
    "unverified": "tampered",
    "alg_none": "alg_none",
    "alg_confusion": "hs256",
    "kid_fallback": "unknown_kid",
    "embedded_jwk": "embedded_jwk",
    "jku": "key_address",
    "no_exp": "expired",
    "no_nbf": "not_yet_valid",
    "any_issuer": "issuer",
    "any_audience": "other_server",
    "audience_prefix": "audience",
    "no_scope": "other_operation",
    "no_arguments": "other_arguments",
    "no_replay": "replayed",
    "first_header": "two_headers",
    "no_ceiling": "oversize",
    "open_lists": "open_methods",
}
"""Each flaw, with the attack that has to find it; `sound` has none."""
ALGORITHMS: Final = ["RS256", "ES256"]
_LEEWAY: Final = 30


class Refused(Exception):
    """With the HTTP status."""

    def __init__(self, status: int = 401) -> None:
        super().__init__(status)
        self.status = status


class Checker:
    def __init__(self, flaw: str, issuer: str, audience: str, jwks: str) -> None:
        self.flaw = flaw
        self.issuer = issuer
        self.audience = audience
        self.keys = jwt.PyJWKClient(jwks)
        self.used: set[str] = set()

    def check(self, headers: list[tuple[bytes, bytes]], verb: str, message: Any) -> None:
        """Raises Refused. message: the JSON of a POST."""
        method = message.get("method") if isinstance(message, dict) else None
        if self.flaw == "open" or (self.flaw == "open_lists" and method != "tools/call"):
            return
        if self.flaw == "identity_header" and any(name == b"x-forwarded-user" for name, _ in headers):
            return
        values = [value for name, value in headers if name == b"authorization"]
        if len(values) > 1 and self.flaw != "first_header":
            raise Refused(400)
        if self.flaw == "case_of_scheme" and values and not values[0].startswith(b"Bearer "):
            return
        if not values or values[0][:7].lower() != b"bearer ":
            raise Refused
        token = values[0][7:].decode()
        if self.flaw == "present_only":
            return
        if len(token) > 8192 and self.flaw != "no_ceiling":
            raise Refused
        try:
            claims = self.claims(token)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError):
            raise Refused from None
        self.check_times(claims)
        self.check_place(claims)
        self.check_call(claims, verb, message)
        if claims["jti"] in self.used and self.flaw != "no_replay":
            raise Refused
        self.used.add(claims["jti"])

    def claims(self, token: str) -> dict[str, Any]:
        options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        header = jwt.get_unverified_header(token)
        if self.flaw == "unverified":
            return jwt.decode(token, options={"verify_signature": False})
        if self.flaw == "alg_none" and header["alg"].lower() == "none":
            return jwt.decode(token, options={"verify_signature": False})
        if self.flaw == "embedded_jwk" and "jwk" in header:
            return jwt.decode(token, jwt.PyJWK(header["jwk"]).key, ALGORITHMS, options=options)
        if self.flaw == "jku" and "jku" in header:
            with urllib.request.urlopen(header["jku"], timeout=5) as answer:
                (fetched,) = json.load(answer)["keys"]
            return jwt.decode(token, jwt.PyJWK(fetched).key, ALGORITHMS, options=options)
        try:
            key = self.keys.get_signing_key(header["kid"]).key
        except jwt.PyJWKClientError:
            if self.flaw != "kid_fallback":
                raise
            return jwt.decode(token, options={"verify_signature": False})
        if self.flaw == "alg_confusion" and header["alg"] == "HS256":
            signed, _, signature = token.rpartition(".")
            secret = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            if not hmac.compare_digest(hmac.digest(secret, signed.encode(), "sha256"), decoded(signature)):
                raise Refused
            claims: dict[str, Any] = json.loads(decoded(signed.partition(".")[2]))
            return claims
        return jwt.decode(token, key, ALGORITHMS, options=options)

    def check_times(self, claims: dict[str, Any]) -> None:
        now = time.time()
        if claims["exp"] < now - _LEEWAY and self.flaw != "no_exp":
            raise Refused
        if max(claims["nbf"], claims["iat"]) > now + _LEEWAY and self.flaw != "no_nbf":
            raise Refused

    def check_place(self, claims: dict[str, Any]) -> None:
        if claims["iss"] != self.issuer and self.flaw != "any_issuer":
            raise Refused
        audience = claims["aud"]
        if self.flaw == "any_audience" or audience == self.audience:
            return
        if not (self.flaw == "audience_prefix" and audience.startswith(self.audience)):
            raise Refused

    def check_call(self, claims: dict[str, Any], verb: str, message: Any) -> None:
        """Method and name, and the digest of the arguments."""
        (bound,) = claims["authorization_details"]
        params = message.get("params", {}) if isinstance(message, dict) else {}
        if verb == "POST":
            method, name = message["method"], params.get("name")
        else:
            method = {"GET": "io.counterseal/stream", "DELETE": "io.counterseal/end-session"}[verb]
            name = None
        if self.flaw == "no_scope":
            return
        if bound["actions"] != [method] or bound.get("identifier") != name:
            raise Refused(403)
        if method != "tools/call" or self.flaw == "no_arguments":
            return
        digest = base64.urlsafe_b64encode(hashlib.sha256(rfc8785.dumps(params.get("arguments", {}))).digest())
        if bound["arguments_digest"] != f"sha-256:{digest.rstrip(b'=').decode()}":
            raise Refused(403)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
