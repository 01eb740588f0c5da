"""Private keys as text, right and wrong in every way that operators bring them."""

from __future__ import annotations

import functools
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519

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
    return of_key(_dsa())


@functools.cache
def _dsa() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(1024)
