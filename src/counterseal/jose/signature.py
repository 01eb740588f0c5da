"""What a signature is, for each kind of key: raw bytes in, yes or no out. `cryptography` computes, nothing here does.

A check is prepared once, when a key is read. All that could be chosen is chosen then, by key and table: no token has a word
in it. What a signature may look like is as strict as the RFCs: for ECDSA r and s at their full length and nothing else
(RFC 7518 section 3.4), for RSA as many bytes as the modulus (RFC 8017 section 8), for RSASSA-PSS a salt as long as the hash
(RFC 7518 section 3.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from counterseal.jose.algorithms import Algorithm, PublicKey, key_type

Check = Callable[[bytes, bytes], bool]
"""signed, signature: whether it holds. Never raises for anything that a signature may be."""

_HASHES: Final[dict[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def checking(row: Algorithm, public_key: PublicKey) -> Check:
    """The check of one algorithm with one key. A key of another kind than the algorithm's passes nothing (J-03)."""
    if key_type(public_key) != (row.kty, row.crv):
        return lambda signed, signature: False
    if isinstance(public_key, EllipticCurvePublicKey):
        return _ecdsa(public_key, _HASHES[row.computes[2:]])
    if isinstance(public_key, RSAPublicKey):
        return _rsa(public_key, row.computes[:2], _HASHES[row.computes[2:]])
    verify = public_key.verify  # Ed25519 (RFC 8032), and ML-DSA-44 with an empty context (RFC 9964 section 5)

    def holds(signed: bytes, signature: bytes) -> bool:
        try:
            verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True

    return holds


def _ecdsa(public_key: EllipticCurvePublicKey, algorithm: HashAlgorithm) -> Check:
    verify, scheme, length = public_key.verify, ECDSA(algorithm), (public_key.key_size + 7) // 8

    def holds(signed: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * length:
            return False
        try:
            verify(_der(signature[:length], signature[length:]), signed, scheme)
        except (InvalidSignature, ValueError):
            return False
        return True

    return holds


def _der(r: bytes, s: bytes) -> bytes:
    """The two halves as OpenSSL wants them: a DER sequence of two integers (RFC 3279 section 2.2.3)."""
    r, s = r.lstrip(b"\x00"), s.lstrip(b"\x00")
    if not r or r[0] > 0x7F:
        r = b"\x00" + r
    if not s or s[0] > 0x7F:
        s = b"\x00" + s
    body = b"\x02%c%b\x02%c%b" % (len(r), r, len(s), s)
    return b"0%c%b" % (len(body), body) if len(body) < 0x80 else b"0\x81%c%b" % (len(body), body)


def _rsa(public_key: RSAPublicKey, scheme: str, algorithm: HashAlgorithm) -> Check:
    verify, length = public_key.verify, (public_key.key_size + 7) // 8
    pss = scheme == "PS"
    padding: AsymmetricPadding = PSS(MGF1(algorithm), algorithm.digest_size) if pss else PKCS1v15()

    def holds(signed: bytes, signature: bytes) -> bool:
        if len(signature) != length:  # OpenSSL takes a PSS signature without its leading zeros
            return False
        try:
            verify(signature, signed, padding, algorithm)
        except (InvalidSignature, ValueError):
            return False
        return True

    return holds
