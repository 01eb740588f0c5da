"""Private keys in this process's memory, behind a signer that has no way to show them.

What is to be signed in one turn of the event loop is signed in a row: OpenSSL's tables and the rest of a call push each other out
of the processor's caches, which costs as much again as the signature itself.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from counterseal.errors import ConfigError
from counterseal.jose.algorithms import UnfitKey, fitting
from counterseal.jose.jwk import public_jwk

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey

_PROBE: Final = b"counterseal self-test"
_REMEDY: Final = "make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"
_NO_ML_DSA: Final = (
    "this machine's `cryptography` cannot compute ML-DSA-44; install it as a wheel, or build it with OpenSSL 3.5 or newer, "
    "or take ML-DSA-44 out of keys.algorithms"
)
_ML_DSA_44: Final = bytes.fromhex("0609608648016503040311")
"""The DER of its object identifier (RFC 9881 section 2)."""


def generate(algorithm: str) -> PrivateKey:
    """A new key: RSA of 2048 bits, P-256, Ed25519, or ML-DSA-44.

    Raises ConfigError where this machine cannot compute the algorithm.
    """
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "ML-DSA-44":
        try:
            return mldsa.MLDSA44PrivateKey.generate()
        except UnsupportedAlgorithm:
            raise ConfigError(f"keys.algorithms: {_NO_ML_DSA}") from None
    return ed25519.Ed25519PrivateKey.generate()


def to_pem(key: PrivateKey) -> bytes:
    """PKCS#8 without a passphrase: for the store, whose file only its owner may read. Of ML-DSA the seed alone (RFC 9881)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_pem(pem: bytes, where: str) -> PrivateKey:
    """The private key in a PEM text. where: how messages name its place. Raises ConfigError that says how to mend it."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ConfigError(
            f"{where}: the key has a passphrase; remove it: openssl pkey -in KEY -out PLAIN_KEY"
        ) from None
    except Exception as error:  # the library raises several types for unsupported keys
        if _is_ml_dsa_44(pem):
            raise ConfigError(f"{where}: {_why_no_ml_dsa(error)}") from None
        kind = "a public key" if b"PUBLIC KEY" in pem or b"CERTIFICATE" in pem else "not a private key in PEM"
        raise ConfigError(f"{where}: {kind} ({type(error).__name__}); {_REMEDY}") from None
    if isinstance(key, rsa.RSAPrivateKey):
        try:
            fitting(key.public_key())
        except UnfitKey as error:
            raise ConfigError(f"{where}: {error}; {_REMEDY}") from None
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise ConfigError(f"{where}: an EC key on {key.curve.name}; ES256 needs P-256 (prime256v1)")
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey):
        return key
    raise ConfigError(f"{where}: a key of type {type(key).__name__}; use RSA, EC on P-256, or Ed25519")


def _is_ml_dsa_44(pem: bytes) -> bool:
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
    try:
        return b"PRIVATE KEY" in pem and _ML_DSA_44 in base64.b64decode(body)
    except ValueError:
        return False


def _why_no_ml_dsa(error: Exception) -> str:
    if isinstance(error, UnsupportedAlgorithm):
        return _NO_ML_DSA
    return (
        "an ML-DSA-44 key that is not its seed alone, which is the one form that is read; "
        "write it so: openssl pkey -provparam ml-dsa.output_formats=seed-only -in KEY -out SEED_KEY"
    )


def algorithms_of(key: PrivateKey) -> tuple[str, ...]:
    """The algorithms that a key can sign for; the first is the usual one."""
    if isinstance(key, rsa.RSAPrivateKey):
        return ("RS256",)
    if isinstance(key, mldsa.MLDSA44PrivateKey):
        return ("ML-DSA-44",)
    return ("ES256",) if isinstance(key, ec.EllipticCurvePrivateKey) else ("Ed25519", "EdDSA")


_IN_A_ROW_SECONDS: Final = 0.001
"""How long the loop signs before it looks after everything else."""


class LocalSigner:
    """Signs on the event loop: a trip through a thread pool costs more than ES256 or Ed25519 do."""

    __slots__ = ("__sign", "_waiting", "algorithm", "kid", "public_jwk")

    def __init__(self, key: PrivateKey, algorithm: str) -> None:
        """Raises ConfigError where a self-test shows that the key does not verify what it signs."""
        self.algorithm: Final = algorithm
        self.public_jwk: Final[Mapping[str, Any]] = public_jwk(key.public_key(), algorithm)
        self.kid: Final[str] = self.public_jwk["kid"]
        self.__sign: Callable[[bytes], bytes] = _signing(key)
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        try:
            _verify(key, self.__sign(_PROBE))
        except InvalidSignature:
            raise ConfigError(f"keys: the {algorithm} key {self.kid} does not verify what it signs") from None

    def sign(self, data: bytes) -> Awaitable[bytes]:
        loop = asyncio.get_running_loop()
        signed: asyncio.Future[bytes] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._sign_in_a_row, loop)
        self._waiting.append((data, signed))
        return signed

    def _sign_in_a_row(self, loop: asyncio.AbstractEventLoop) -> None:
        until = loop.time() + _IN_A_ROW_SECONDS
        while self._waiting:
            data, signed = self._waiting.popleft()
            if not signed.done():  # else its caller has left
                try:
                    signed.set_result(self.__sign(data))
                except Exception as error:
                    signed.set_exception(error)
            if self._waiting and loop.time() >= until:
                loop.call_soon(self._sign_in_a_row, loop)
                return

    def __repr__(self) -> str:
        return f"<LocalSigner {self.algorithm} {self.kid}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer cannot be copied or pickled")


def _signing(key: PrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, rsa.RSAPrivateKey):
        pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()
        return lambda data: key.sign(data, pkcs1, sha256)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        ecdsa = ec.ECDSA(hashes.SHA256())

        def sign(data: bytes) -> bytes:
            return raw_p256(key.sign(data, ecdsa))

        return sign
    return key.sign


def raw_p256(der: bytes) -> bytes:
    """r and s of a signature on P-256, each at its full length (RFC 7518 section 3.4). der: the same two as the library writes
    them (RFC 3279 section 2.2.3), at most 72 bytes, so that every length in it is of one byte."""
    end = 4 + der[3]
    r, s = der[4:end], der[end + 2 :]
    return r[-32:].rjust(32, b"\0") + s[-32:].rjust(32, b"\0")


def _verify(key: PrivateKey, signature: bytes) -> None:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, _PROBE, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
        public.verify(encode_dss_signature(r, s), _PROBE, ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, _PROBE)
