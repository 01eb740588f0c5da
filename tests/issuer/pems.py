"""Private keys as text, right and wrong in every way that operators bring them."""

from __future__ import annotations

import base64
import functools
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, mldsa, rsa, x25519

from tests.support.tokens import private_key

PKCS8: Final = serialization.PrivateFormat.PKCS8
TRADITIONAL: Final = serialization.PrivateFormat.TraditionalOpenSSL
OPENSSH: Final = serialization.PrivateFormat.OpenSSH

EC_PARAMETERS: Final = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
"""What `openssl ecparam -genkey` writes before the key: P-256."""


def pem(algorithm: str, which: str = "", form: serialization.PrivateFormat = PKCS8, passphrase: bytes = b"") -> str:
    """The test key of an algorithm."""
    return of_key(private_key(algorithm, which), form, passphrase)


def of_key(key: object, form: serialization.PrivateFormat = PKCS8, passphrase: bytes = b"") -> str:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, form, hidden)  # type: ignore[attr-defined]
    return text.decode()


def public_pem(algorithm: str) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key(algorithm).public_key().public_bytes(encoding, form).decode()


def rsa_key(bits: int, exponent: int = 65537) -> str:
    return _rsa(bits, exponent)


@functools.cache
def _rsa(bits: int, exponent: int) -> str:
    return of_key(rsa.generate_private_key(public_exponent=exponent, key_size=bits))


def ec_key(curve: ec.EllipticCurve) -> str:
    return of_key(ec.generate_private_key(curve))


def other_kind(kind: str) -> str:
    """A private key that signs no JWT of ours."""
    if kind == "Ed448":
        return of_key(ed448.Ed448PrivateKey.generate())
    if kind == "X25519":
        return of_key(x25519.X25519PrivateKey.generate())
    if kind == "ML-DSA-65":
        return of_key(mldsa.MLDSA65PrivateKey.generate())
    return of_key(_dsa())


@functools.cache
def _dsa() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(1024)


# ---- ML-DSA-44, whose private key has three forms (RFC 9881 section 6) ----


def ml_dsa_pem(body: bytes) -> str:
    """PKCS#8 of one of the forms below."""
    algorithm = bytes.fromhex("300b0609608648016503040311")
    der = _der(0x30, b"\x02\x01\x00" + algorithm + _der(0x04, body))
    text = base64.encodebytes(der).decode().replace("\n", "")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])


def seed_alone(seed: bytes) -> bytes:
    return _der(0x80, seed)


def key_alone() -> bytes:
    return _der(0x04, bytes(2560))


def seed_and_key() -> bytes:
    """What OpenSSL writes unless it is told otherwise."""
    return _der(0x30, _der(0x04, bytes(32)) + key_alone())


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = b"" if length < 128 else length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size) if size else length]) + size + content
