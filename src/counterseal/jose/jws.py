"""Signatures over compact JWS: checking others', assembling ours.

`verify` is the only place where token bytes become claims (threats.md invariant 1). joserfc does the cryptography, with a
key that was parsed once and an algorithm that the key, not the token, has the last word about.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from counterseal.jose.algorithms import ALGORITHMS
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified

_REGISTRIES: Final[Mapping[str, jws.JWSRegistry]] = {
    row.computes: jws.JWSRegistry(algorithms=[row.computes]) for row in ALGORITHMS.values()
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
    header, _, payload = signed.partition(b".")
    token = jws.CompactSignature({"alg": row.computes}, b"")
    token.segments.update({"header": header, "payload": payload, "signature": signature})
    try:
        good = jws.validate_compact(token, key.material, registry=_REGISTRIES[row.computes])
    except (JoseError, ValueError):
        good = False
    if not good:
        raise TokenRefused("signature", "the signature does not verify")


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
