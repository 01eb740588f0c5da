"""Keys, JWKs and tokens as other people make them, with `cryptography` alone: nothing here goes through what is measured."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}
_CRV: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class Held:
    """A private key, and the algorithm and id under which its owner publishes it."""

    algorithm: str
    kid: str
    key: PrivateKey

    def header(self) -> dict[str, Any]:
        """The usual header of a token that it signs (RFC 9068 section 2.1)."""
        return {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid}

    def jwk(self) -> dict[str, Any]:
        """As a JWKS has it."""
        return {**public_jwk(self.key), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def sign(self, data: bytes) -> bytes:
        """The raw JWS signature."""
        return sign(self.algorithm, self.key, data)


def new_key(algorithm: str) -> PrivateKey:
    """A key for an algorithm."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm in ("Ed25519", "EdDSA"):
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def public_jwk(key: PrivateKey) -> dict[str, Any]:
    """The members that make up the public key (RFC 7518 section 6, RFC 8037 section 2)."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n, 256), "e": number(numbers.e, 3)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point, length = public.public_numbers(), (public.key_size + 7) // 8
        return {"kty": "EC", "crv": _CRV[public.curve.name], "x": number(point.x, length), "y": number(point.y, length)}
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": segment(raw).decode()}


def sign(algorithm: str, key: PrivateKey, data: bytes) -> bytes:
    """The raw JWS signature of an algorithm that such a key can compute."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = _HASHES[algorithm[2:]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        length = (key.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    if algorithm.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(data, padding.PKCS1v15(), digest)


def segment(data: bytes) -> bytes:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def number(value: int, length: int) -> str:
    """A number as a JWK has it. length: in bytes."""
    return segment(value.to_bytes(length, "big")).decode()


def text(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def signing_input(header: object, payload: object) -> bytes:
    """The first two segments. As bytes they are taken as they are."""
    parts = (part if isinstance(part, bytes) else text(part) for part in (header, payload))
    return b".".join(map(segment, parts))


def token(held: Held, payload: object, header: object = None) -> bytes:
    """A signed token. header: None for the usual one."""
    signed = signing_input(held.header() if header is None else header, payload)
    return signed + b"." + segment(held.sign(signed))
