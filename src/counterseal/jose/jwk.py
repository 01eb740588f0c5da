"""Public keys: other people's, read from a JWKS with care, and our own, written with nothing too much.

One bad entry never costs the good ones (K-11): it is dropped with a note that says why, and with an alarm where
somebody made a mistake that matters. Keys are parsed here, once; a call only looks one up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from counterseal.core import base64url, strict_json
from counterseal.core.limits import Limits
from counterseal.jose.algorithms import ALGORITHMS, PublicKey, UnfitKey, fitting, key_type
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.signature import Check, checking
from counterseal.jose.strict import KID_LENGTH, Unverified, decode_base64url

_CURVES: Final[Mapping[str, tuple[type[EllipticCurve], int]]] = {
    "P-256": (SECP256R1, 32),
    "P-384": (SECP384R1, 48),
    "P-521": (SECP521R1, 66),
}
"""Curve and length of a coordinate in bytes (RFC 7518 section 6.2.1)."""

_ML_DSA_44: Final = "ML-DSA-44"
_ML_DSA_44_LENGTH: Final = 1312
"""Of a public key, in bytes (FIPS 204 table 2, RFC 9964 section 5)."""

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_DOCUMENT_DEPTH: Final = 16
_DOCUMENT_MEMBERS: Final = 10_000


SYMMETRIC: Final = "a symmetric key is published"
PRIVATE: Final = "private parts are published"
"""Why an entry is dropped that somebody should never have published."""


class NotAKeySet(ValueError):
    """The document as a whole is not a JWKS (RFC 7517 section 5). The text says why."""


@dataclass(frozen=True, slots=True)
class Note:
    """Why an entry of a JWKS was dropped. index: its place. alarm: somebody should hear of it; else it is as expected,
    like the encryption key that some identity providers publish beside their signing keys."""

    index: int
    kid: str | None
    reason: str
    alarm: bool = True


@dataclass(frozen=True, slots=True)
class Key:
    """One public key, parsed. algorithms: the names it may verify (its `alg` if it has one, bound to `kty` and `crv`).

    thumbprint: RFC 7638. checks: how a signature of each of these algorithms is checked with this key.
    """

    kid: str | None
    algorithms: frozenset[str]
    thumbprint: str
    public_key: PublicKey = field(repr=False, compare=False)
    checks: Mapping[str, Check] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks = {name: checking(ALGORITHMS[name], self.public_key) for name in self.algorithms}
        object.__setattr__(self, "checks", MappingProxyType(checks))


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer, and what was dropped."""

    keys: tuple[Key, ...]
    notes: tuple[Note, ...] = ()
    _by_kid: Mapping[str, Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_kid", {key.kid: key for key in self.keys if key.kid is not None})

    def by_kid(self, unverified: Unverified) -> Key | None:
        """The key that the token's `kid` names, if it is for the token's algorithm."""
        key = self._by_kid.get(unverified.kid) if unverified.kid is not None else None
        return key if key is not None and unverified.alg in key.algorithms else None

    def find(self, unverified: Unverified) -> Key:
        """The one key for a token: by exact `kid`; without one only if exactly one key fits the algorithm (J-05).

        Raises TokenRefused `key_unknown`, or `algorithm` where the key or the table does not have the token's (J-03).
        """
        if unverified.alg not in ALGORITHMS:
            raise TokenRefused("algorithm", "not an algorithm that is taken here")
        if unverified.kid is not None:
            key = self._by_kid.get(unverified.kid)
            if key is None:
                raise TokenRefused("key_unknown", "no key has the token's kid")
            if unverified.alg not in key.algorithms:
                raise TokenRefused("algorithm", "the key of that kid is not for the token's algorithm")
            return key
        fit = [key for key in self.keys if unverified.alg in key.algorithms]
        if len(fit) != 1:
            raise TokenRefused("key_unknown", f"the token has no kid, and {len(fit)} keys fit its algorithm")
        return fit[0]


def read_jwks(document: bytes | Mapping[str, Any], limits: Limits) -> KeySet:
    """The keys of a JWKS, as bytes or parsed. Raises NotAKeySet; a set whose entries are all bad is a set without keys."""
    if isinstance(document, bytes):
        if len(document) > limits.jwks_bytes:
            raise NotAKeySet(f"longer than {limits.jwks_bytes} bytes")
        try:
            document = strict_json.read(document, depth=_DOCUMENT_DEPTH, members=_DOCUMENT_MEMBERS)
        except (strict_json.NotStrict, strict_json.TooBig) as error:
            raise NotAKeySet(f"not strict JSON: {error}") from None
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise NotAKeySet("not an object with an array `keys`")
    if len(entries) > limits.jwks_keys:
        raise NotAKeySet(f"more than {limits.jwks_keys} keys")
    found: list[tuple[int, Key]] = []
    notes: list[Note] = []
    for index, entry in enumerate(entries):
        try:
            found.append((index, _read_key(entry)))
        except _Dropped as dropped:
            notes.append(Note(index, _kid_of(entry), dropped.reason, dropped.alarm))
    keys = tuple(_without_conflicts(found, notes))
    return KeySet(keys, tuple(notes))


def public_jwk(public_key: PublicKey, algorithm: str) -> dict[str, str]:
    """Our own key as the JWKS shows it: kty and the public members, kid, use, alg, and nothing else (K-18).

    algorithm: as it stands in our headers. Raises UnfitKey for a key that is too weak or not one for the algorithm.
    """
    if algorithm not in {row.name for row in fitting(public_key)}:
        raise UnfitKey(f"the key is not one for {algorithm}")
    members = _members(public_key)
    return {**members, "kid": _thumbprint(members), "use": "sig", "alg": algorithm}


def public_key_of(jwk: Mapping[str, Any]) -> PublicKey:
    """The key of one of our own public JWKs, as `public_jwk` made it."""
    return _public_key(jwk)


def thumbprint(public_key: PublicKey) -> str:
    """RFC 7638 with SHA-256, base64url: the `kid` of our own keys."""
    return _thumbprint(_members(public_key))


def _members(public_key: PublicKey) -> dict[str, str]:
    """The members of RFC 7638 section 3.2, RFC 8037 section 2 and RFC 9964 section 6."""
    kty, crv = key_type(public_key)
    if isinstance(public_key, RSAPublicKey):
        rsa = public_key.public_numbers()
        return {"kty": kty, "n": _encode_int(rsa.n), "e": _encode_int(rsa.e)}
    if isinstance(public_key, MLDSA44PublicKey):
        return {"kty": kty, "alg": _ML_DSA_44, "pub": _encode(public_key.public_bytes_raw())}
    assert crv is not None
    if isinstance(public_key, EllipticCurvePublicKey):
        point = public_key.public_numbers()
        length = (public_key.key_size + 7) // 8
        return {"kty": kty, "crv": crv, "x": _encode_int(point.x, length), "y": _encode_int(point.y, length)}
    raw = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": kty, "crv": crv, "x": _encode(raw)}


def _thumbprint(members: Mapping[str, str]) -> str:
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return _encode(hashlib.sha256(text).digest())


def _encode_int(number: int, length: int | None = None) -> str:
    return _encode(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))


def _encode(data: bytes) -> str:
    return base64url.encode(data).decode("ascii")


# ---- one entry of somebody else's set ---------------------------------------------------------------------------------


class _Dropped(Exception):
    def __init__(self, reason: str, alarm: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.alarm = alarm


def _read_key(entry: Any) -> Key:
    if not isinstance(entry, dict):
        raise _Dropped("not an object")
    if entry.get("kty") == "oct":
        raise _Dropped(SYMMETRIC)
    if _PRIVATE & entry.keys():
        raise _Dropped(PRIVATE)
    _check_purpose(entry)
    kid = entry.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= KID_LENGTH):
        raise _Dropped(f"`kid` is not a string of 1 to {KID_LENGTH} characters")
    try:
        public_key = _public_key(entry)
        rows = fitting(public_key)
    except UnfitKey as error:
        raise _Dropped(str(error)) from None
    except ValueError:  # `cryptography`, for a point that is not on its curve and the like
        raise _Dropped("the numbers are not a public key") from None
    except UnsupportedAlgorithm:
        raise _Dropped("`cryptography` cannot compute its algorithm on this machine") from None
    if "alg" in entry:
        named = {row.computes for row in rows if row.name == entry["alg"]}
        rows = tuple(row for row in rows if row.computes in named)
        if not rows:
            raise _Dropped("`alg` is none that such a key can verify")
    return Key(kid, frozenset(row.name for row in rows), thumbprint(public_key), public_key)


def _check_purpose(entry: Mapping[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3: only keys for verifying."""
    if entry.get("use", "sig") != "sig":
        raise _Dropped("`use` is not `sig`", alarm=entry["use"] != "enc")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Dropped("`key_ops` does not have `verify`")


def _public_key(entry: Mapping[str, Any]) -> PublicKey:
    """Raises UnfitKey, or ValueError where the numbers are not a key."""
    kty, crv = entry.get("kty"), entry.get("crv")
    if kty == "RSA":
        return RSAPublicNumbers(_number(entry, "e"), _number(entry, "n")).public_key()
    if kty == "EC" and isinstance(crv, str) and crv in _CURVES:
        curve, length = _CURVES[crv]
        x, y = (int.from_bytes(_bytes(entry, name, length), "big") for name in ("x", "y"))
        return EllipticCurvePublicNumbers(x, y, curve()).public_key()
    if kty == "OKP" and crv == "Ed25519":
        return Ed25519PublicKey.from_public_bytes(_bytes(entry, "x", 32))
    if kty == "AKP":
        return _ml_dsa_key(entry)
    raise UnfitKey("`kty` and `crv` are of no algorithm here")


def _ml_dsa_key(entry: Mapping[str, Any]) -> PublicKey:
    """RFC 9964 section 3: what the bytes of an AKP key are, only its `alg` says, so it has to be there."""
    if "alg" not in entry:
        raise UnfitKey("an AKP key without `alg`, which alone says what it is for")
    if entry["alg"] != _ML_DSA_44:
        raise UnfitKey(f"an AKP key for another `alg` than {_ML_DSA_44}")
    return MLDSA44PublicKey.from_public_bytes(_bytes(entry, "pub", _ML_DSA_44_LENGTH))


def _number(entry: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(entry, name), "big")


def _bytes(entry: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    value = entry.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise UnfitKey(f"`{name}` is missing or not base64url")
    try:
        data = decode_base64url(value.encode("ascii"), name)
    except TokenRefused:
        raise UnfitKey(f"`{name}` is missing or not base64url") from None
    if length is not None and len(data) != length:
        raise UnfitKey(f"`{name}` is not {length} bytes long")
    return data


def _without_conflicts(found: Iterable[tuple[int, Key]], notes: list[Note]) -> Iterable[Key]:
    """J-07: one kid for two keys names neither. The same key listed twice is one key."""
    groups: dict[str | tuple[int], list[tuple[int, Key]]] = {}
    for index, key in found:
        groups.setdefault(key.kid if key.kid is not None else (index,), []).append((index, key))
    for group in groups.values():
        first = group[0][1]
        if all(key == first for _, key in group):
            yield first
        else:
            notes.extend(Note(index, key.kid, "another key has the same `kid`") for index, key in group)


def _kid_of(entry: Any) -> str | None:
    kid = entry.get("kid") if isinstance(entry, dict) else None
    return kid if isinstance(kid, str) and len(kid) <= KID_LENGTH else None
