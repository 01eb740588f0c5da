"""The signature algorithms, one row each: what discovery offers, what a key may do and what is checked come from here.

There is no HMAC and no `none`: a key that verifies cannot sign, and what is not in this table does not exist
(J-01, J-02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | MLDSA44PublicKey

CURVES: Final[Mapping[str, str]] = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""The curves of RFC 7518 section 6.2.1.1 by the names that `cryptography` gives them."""

RSA_LEAST_BITS: Final = 2048
RSA_MOST_BITS: Final = 8192
RSA_LEAST_EXPONENT: Final = 65537
RSA_MOST_EXPONENT_BITS: Final = 64


class UnfitKey(ValueError):
    """The key is too weak, or not one for this algorithm. The text says why."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row. name: as it stands in a header. kty, crv: the JWK that fits (RFC 7518 section 6, RFC 8037 section 2, RFC 9964).

    computes: what is computed; two rows that compute the same are two names of one thing.
    signs: Counterseal can sign its own tokens with it; the others are only verified. experimental: almost no verifier knows
    it yet; for our own tokens alone, and only where it was asked for by name.
    """

    name: str
    kty: str
    crv: str | None
    computes: str
    signs: bool = False
    experimental: bool = False


_ROWS: Final = (
    Algorithm("RS256", "RSA", None, "RS256", signs=True),
    Algorithm("RS384", "RSA", None, "RS384"),
    Algorithm("RS512", "RSA", None, "RS512"),
    Algorithm("PS256", "RSA", None, "PS256"),
    Algorithm("PS384", "RSA", None, "PS384"),
    Algorithm("PS512", "RSA", None, "PS512"),
    Algorithm("ES256", "EC", "P-256", "ES256", signs=True),
    Algorithm("ES384", "EC", "P-384", "ES384"),
    Algorithm("ES512", "EC", "P-521", "ES512"),
    # RFC 9864 names the curve; RFC 8037's name for the same thing is the only one that some libraries know.
    Algorithm("Ed25519", "OKP", "Ed25519", "Ed25519", signs=True),
    Algorithm("EdDSA", "OKP", "Ed25519", "Ed25519", signs=True),
    Algorithm("ML-DSA-44", "AKP", None, "ML-DSA-44", signs=True, experimental=True),
)

ALGORITHMS: Final[Mapping[str, Algorithm]] = {row.name: row for row in _ROWS}
SIGNING: Final = tuple(row.name for row in _ROWS if row.signs)
EXPERIMENTAL: Final = frozenset(row.name for row in _ROWS if row.experimental)
ESTABLISHED: Final = tuple(row.name for row in _ROWS if not row.experimental)
"""What the tokens of others may be signed with."""


def fitting(public_key: PublicKey) -> tuple[Algorithm, ...]:
    """The rows that a public key can verify. Raises UnfitKey for a key that is too weak for all of them (J-22)."""
    kty, crv = key_type(public_key)
    if isinstance(public_key, RSAPublicKey):
        _check_rsa(public_key)
    rows = tuple(row for row in _ROWS if row.kty == kty and row.crv == crv)
    if not rows:
        raise UnfitKey("no algorithm here uses such a key")
    return rows


def key_type(public_key: PublicKey) -> tuple[str, str | None]:
    """The JWK `kty` and `crv` of a key; crv is None for RSA and AKP. A curve that is not in CURVES keeps its own name."""
    if isinstance(public_key, RSAPublicKey):
        return "RSA", None
    if isinstance(public_key, MLDSA44PublicKey):
        return "AKP", None
    if isinstance(public_key, EllipticCurvePublicKey):
        return "EC", CURVES.get(public_key.curve.name, public_key.curve.name)
    return "OKP", "Ed25519"


def _check_rsa(public_key: RSAPublicKey) -> None:
    numbers = public_key.public_numbers()
    if public_key.key_size < RSA_LEAST_BITS:
        raise UnfitKey(f"an RSA key of less than {RSA_LEAST_BITS} bits")
    if public_key.key_size > RSA_MOST_BITS:
        raise UnfitKey(f"an RSA key of more than {RSA_MOST_BITS} bits")
    if numbers.n % 2 == 0:
        raise UnfitKey("an RSA modulus that is even")
    if numbers.e % 2 == 0 or numbers.e < RSA_LEAST_EXPONENT or numbers.e.bit_length() > RSA_MOST_EXPONENT_BITS:
        raise UnfitKey(f"an RSA exponent that is even, below {RSA_LEAST_EXPONENT} or over 64 bits")
    if _has_roca_fingerprint(numbers.n):
        raise UnfitKey("an RSA modulus with the ROCA fingerprint (CVE-2017-15361): its factors can be found")


def _powers(prime: int) -> frozenset[int]:
    powers, power = set(), 1
    while power not in powers:
        powers.add(power)
        power = power * 65537 % prime
    return frozenset(powers)


# The faulty generator made primes that are powers of 65537 modulo each of these, so their products are as well.
_ROCA_PRIMES: Final = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97),
    *(101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)
_ROCA: Final = tuple((prime, _powers(prime)) for prime in _ROCA_PRIMES)


def _has_roca_fingerprint(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _ROCA)
