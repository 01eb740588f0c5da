"""The keys of the test vectors, made from their names: whoever runs the script gets the same ones. They are no secrets."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.tokens import PrivateKey, jwk

CURVES: Final[dict[str, ec.EllipticCurve]] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256."""
ML_DSA: Final = "ML-DSA-44"
RANDOM: Final = ("PS256", "PS384", "PS512", ML_DSA)
"""Whose signatures differ each time."""


@functools.cache
def key(algorithm: str, which: str = "usual", bits: int = 2048) -> PrivateKey:
    """The private key for an algorithm. which: names another one. RS and PS of one hash share a key, as EdDSA and Ed25519 do."""
    if algorithm in CURVES:
        curve = CURVES[algorithm]
        return ec.derive_private_key(1 + _number(f"{algorithm} {which}", curve.key_size - 8), curve)
    if algorithm in ("Ed25519", "EdDSA"):
        return ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(f"Ed25519 {which}", 32))
    if algorithm == ML_DSA:
        return mldsa.MLDSA44PrivateKey.from_seed_bytes(_bytes(f"{algorithm} {which}", 32))
    return _rsa(f"RSA {which}", bits)


def sign(algorithm: str, data: bytes, private: PrivateKey) -> bytes:
    """The raw JWS signature; the same each time, but for RANDOM (RFC 6979 for ECDSA)."""
    if isinstance(private, ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey):
        return private.sign(data)
    digest = HASHES[algorithm[2:]]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(data, ec.ECDSA(digest, deterministic_signing=True)))
        length = (private.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    if algorithm.startswith("PS"):
        return private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return private.sign(data, padding.PKCS1v15(), digest)


def public(algorithm: str, which: str = "usual", **members: Any) -> dict[str, Any]:
    """One entry of a JWKS; its `kid` is the algorithm's name."""
    return jwk(key(algorithm, which), **{"kid": algorithm, "use": "sig", "alg": algorithm, **members})


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _bytes(name: str, count: int) -> bytes:
    return hashlib.shake_256(f"counterseal test vectors: {name}".encode()).digest(count)


def _number(name: str, bits: int) -> int:
    return int.from_bytes(_bytes(name, bits // 8), "big")


def _rsa(name: str, bits: int) -> rsa.RSAPrivateKey:
    exponent = 65537
    p, q = (_prime(f"{name} {part}", bits // 2, exponent) for part in "pq")
    d = pow(exponent, -1, (p - 1) * (q - 1))
    public_numbers = rsa.RSAPublicNumbers(exponent, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public_numbers).private_key()


def _prime(name: str, bits: int, exponent: int) -> int:
    """The first prime from a number on that the name gives, with its two highest bits set."""
    candidate = _number(name, bits) | 3 << (bits - 2) | 1
    while candidate % exponent == 1 or not _is_prime(candidate):
        candidate += 2
    return candidate


def _is_prime(candidate: int) -> bool:
    """Miller and Rabin, with twenty fixed bases: for numbers that nobody chose against them."""
    if any(candidate % small == 0 for small in range(3, 2000, 2)):
        return False
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 22):
        power = pow(base, odd, candidate)
        if power in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True
