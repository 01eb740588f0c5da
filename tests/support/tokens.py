"""Keys and tokens for tests, good and bad, made with `cryptography` alone: nothing here goes through what is tested."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import rfc8785
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey

ISSUER: Final = "https://gateway.example.com"
AUDIENCE: Final = "https://weather.example.com/mcp"
NOW: Final = 1_800_000_000
LIVES: Final = (2, 8, 32)
"""Seconds, of what another program lets end by its own clock. The first that is long enough here for what comes before the end
counts: what was over too soon says nothing."""
ABSENT: Final = object()
"""As the value of a changed member: leave it out."""

_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, str, int]]] = {
    "ES256": (ec.SECP256R1(), "P-256", 32),
    "ES384": (ec.SECP384R1(), "P-384", 48),
    "ES512": (ec.SECP521R1(), "P-521", 66),
}
_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)


def _has_ml_dsa() -> bool:
    try:
        mldsa.MLDSA44PrivateKey.generate()
    except UnsupportedAlgorithm:
        return False
    return True


needs_ml_dsa = pytest.mark.skipif(not _has_ml_dsa(), reason="this `cryptography` has no ML-DSA-44: OpenSSL 3.5 has")
ML_DSA: Final = pytest.param("ML-DSA-44", marks=needs_ml_dsa)
"""The experimental algorithm, as one of the parameters of a test."""

VECTORS: Final = Path(__file__).parents[3] / "shared" / "vectors"


def vectors(name: str) -> Path:
    """A folder of third-party test data; skips the test or module where it is missing."""
    folder = VECTORS / name
    if not folder.is_dir():
        pytest.skip(f"the test data {name} is not in {VECTORS.name}/ beside the project", allow_module_level=True)
    return folder


class FixedClock:
    """Time that stands still until a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self._wall = float(now)
        self._monotonic = 1000.0

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP would; no time passes."""
        self._wall += seconds


def private_key(algorithm: str, which: str = "") -> PrivateKey:
    """A key for an algorithm, made once a run. which: names another key of the same kind."""
    return _made(algorithm, which)


@functools.cache
def _made(algorithm: str, which: str) -> PrivateKey:
    del which
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm][0])
    if algorithm in ("Ed25519", "EdDSA"):
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ML-DSA-44":
        return mldsa.MLDSA44PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, length: int | None = None) -> str:
    """A number as a JWK has it."""
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """The public JWK of a key with more members; ABSENT leaves one out."""
    public = key.public_key()
    made: dict[str, Any]
    if isinstance(public, rsa.RSAPublicKey):
        rsa_numbers = public.public_numbers()
        made = {"kty": "RSA", "n": number(rsa_numbers.n), "e": number(rsa_numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        crv, length = next((crv, length) for curve, crv, length in _CURVES.values() if curve.name == public.curve.name)
        made = {"kty": "EC", "crv": crv, "x": number(point.x, length), "y": number(point.y, length)}
    elif isinstance(public, mldsa.MLDSA44PublicKey):
        made = {"kty": "AKP", "alg": "ML-DSA-44", "pub": encode(public.public_bytes_raw())}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        made = {"kty": "OKP", "crv": "Ed25519", "x": encode(raw)}
    return _changed(made, members)


def jwks(*algorithms: str) -> dict[str, Any]:
    """A JWKS with the test key of each algorithm; `kid` is the algorithm's name."""
    return {"keys": [jwk(private_key(name), kid=name, alg=name, use="sig") for name in algorithms]}


def sign(algorithm: str, data: bytes, key: PrivateKey | None = None) -> bytes:
    """The raw JWS signature."""
    key = key or private_key(algorithm)
    if isinstance(key, ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey):
        return key.sign(data)
    digest = _HASHES[algorithm[2:]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        length = (key.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    if algorithm.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(data, padding.PKCS1v15(), digest)


def token(
    claims: Mapping[str, Any] | bytes,
    algorithm: str = "ES256",
    *,
    header: Mapping[str, Any] | bytes | None = None,
    key: PrivateKey | None = None,
) -> str:
    """A signed token. claims, header: as bytes they are taken as they are; else `header` changes members of the usual one."""
    usual = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
    head = header if isinstance(header, bytes) else json.dumps(_changed(usual, header or {})).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{encode(head)}.{encode(body)}"
    return f"{signed}.{encode(sign(algorithm, signed.encode(), key))}"


def access_claims(**changes: Any) -> dict[str, Any]:
    """The claims of a plain access token that is good at NOW."""
    return _changed(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW, "nbf": NOW, "exp": NOW + 60, "jti": "j1"}, changes
    )


def digest(arguments: Mapping[str, Any]) -> str:
    """What `arguments_digest` is for these arguments."""
    return "sha-256:" + encode(hashlib.sha256(rfc8785.dumps(dict(arguments))).digest())


def call_claims(
    method: str = "tools/call",
    name: str | None = "get_weather",
    arguments: Mapping[str, Any] | None = None,
    *,
    details: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The claims of a call token (docs/call-token.md) that is good at NOW. details: changes in authorization_details."""
    bound: dict[str, Any] = {"type": "mcp_call", "locations": [AUDIENCE], "actions": [method]}
    if name is not None:
        bound["identifier"] = name
    if method in ("tools/call", "prompts/get"):
        bound["arguments_digest"] = digest(arguments or {})
    claims = {
        **access_claims(),
        "client_id": "k1",
        "act": {"sub": "agent-7"},
        "scope": f"mcp:tools/call:{name}" if method == "tools/call" else f"mcp:{method}",
        "txn": "t1",
        "authorization_details": [_changed(bound, details or {})],
    }
    return _changed(claims, changes)


def _changed(made: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**made, **changes}.items() if value is not ABSENT}
