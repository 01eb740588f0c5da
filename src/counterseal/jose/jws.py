"""Signatures over compact JWS: checking others', assembling ours.

`verify` is the only place where token bytes become claims (threats.md invariant 1). joserfc does the cryptography, with a
key that was parsed once and an algorithm that the key, not the token, has the last word about. It does not know ML-DSA
(RFC 9964); that signature is checked with `cryptography` alone, behind the same function and with the same refusals.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from counterseal.jose.algorithms import ALGORITHMS
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified, decode_base64url

_REGISTRIES: Final[Mapping[str, jws.JWSRegistry]] = {
    row.computes: jws.JWSRegistry(algorithms=[row.computes]) for row in ALGORITHMS.values() if row.kty != "AKP"
}


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token whose signature was checked; `claims.check` says whether they are good for anything.

    claims: read-only, and not in the repr, because they are about people.
    """

    claims: Mapping[str, Any] = field(repr=False)
    alg: str
    kid: str | None
    typ: str | None


def verify(unverified: Unverified, key: Key) -> Verified:
    """Check the signature with a key that `KeySet.find` chose. Raises TokenRefused `algorithm` or `signature`."""
    signed = unverified._header + b"." + unverified._payload
    check_signature(unverified.alg, key, signed, unverified._signature)
    return Verified(MappingProxyType(dict(unverified._claims)), unverified.alg, unverified.kid, unverified.typ)


def check_signature(alg: str, key: Key, signed: bytes, signature: bytes) -> None:
    """Check one signature. signed: header and payload segments as sent, with the dot. signature: its segment, base64url.

    Raises TokenRefused `algorithm` where alg is not one of the key's, `signature` where it does not verify.
    """
    row = ALGORITHMS.get(alg)
    if row is None or alg not in key.algorithms:
        raise TokenRefused("algorithm", "the key is not for the token's algorithm")
    if isinstance(key.material, MLDSA44PublicKey):
        good = row.kty == "AKP" and _holds_ml_dsa(key.material, signed, signature)
    else:
        good = row.kty != "AKP" and _holds(row.computes, key.material, signed, signature)
    if not good:
        raise TokenRefused("signature", "the signature does not verify")


def _holds(computes: str, material: RSAKey | ECKey | OKPKey, signed: bytes, signature: bytes) -> bool:
    header, _, payload = signed.partition(b".")
    token = jws.CompactSignature({"alg": computes}, b"")
    token.segments.update({"header": header, "payload": payload, "signature": signature})
    try:
        return jws.validate_compact(token, material, registry=_REGISTRIES[computes])
    except (JoseError, ValueError):
        return False


def _holds_ml_dsa(public_key: MLDSA44PublicKey, signed: bytes, signature: bytes) -> bool:
    """RFC 9964 section 5: FIPS 204 algorithm 3 over the signing input, with an empty context."""
    try:
        public_key.verify(decode_base64url(signature, "signature"), signed)
    except (InvalidSignature, ValueError, TokenRefused):
        return False
    return True


def header_segment(alg: str, kid: str, typ: str) -> bytes:
    """The first segment of our own tokens (RFC 7515 section 4.1): the same for every token of a key, so made once."""
    return _encode(json.dumps({"alg": alg, "typ": typ, "kid": kid}, separators=(",", ":")).encode("ascii"))


async def compact(header: bytes, payload: bytes, sign: Callable[[bytes], Awaitable[bytes]]) -> str:
    """The compact JWS of a prepared header segment and the JSON of a claims set (RFC 7515 section 3.1).

    sign: gets the signing input and answers with the raw JWS signature (RFC 7518 section 3).
    """
    signed = header + b"." + _encode(payload)
    return (signed + b"." + _encode(await sign(signed))).decode("ascii")


def _encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
