"""Signatures over compact JWS: checking others', assembling ours.

`verify` is the only place where token bytes become claims. The key, not the token, has the last word
about the algorithm: it was read with a check for each one that it may verify, and there is no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from counterseal.core import base64url
from counterseal.core.value import Value
from counterseal.jose.jwk import Key
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import Unverified, decode_base64url


class Verified(Value, frozen=True):
    """The claims of a token whose signature was checked; `claims.check` says whether they are good for anything.

    claims: read-only, and not in the repr, because they are about people.
    """

    UNSHOWN = frozenset({"claims"})

    claims: Mapping[str, Any]
    alg: str
    kid: str | None
    typ: str | None


def verify(unverified: Unverified, key: Key) -> Verified:
    """Check the signature with a key that `KeySet.find` chose. Raises TokenRefused `algorithm` or `signature`."""
    _check(unverified.alg, key, unverified._signed, unverified._signature)
    return Verified(MappingProxyType(unverified._claims), unverified.alg, unverified.kid, unverified.typ)


def check_signature(alg: str, key: Key, signed: bytes, signature: bytes) -> None:
    """Check one signature. signed: header and payload segments as sent, with the dot. signature: its segment, base64url.

    Raises TokenRefused `algorithm` where alg is not one of the key's, `signature` where it does not verify.
    """
    try:
        raw = decode_base64url(signature, "signature")
    except TokenRefused:
        raw = b""
    _check(alg, key, signed, raw)


def _check(alg: str, key: Key, signed: bytes, signature: bytes) -> None:
    holds = key.checks.get(alg)
    if holds is None:
        raise TokenRefused("algorithm", "the key is not for the token's algorithm")
    if not holds(signed, signature):
        raise TokenRefused("signature", "the signature does not verify")


def header_segment(alg: str, kid: str, typ: str) -> bytes:
    """The first segment of our own tokens (RFC 7515 section 4.1): the same for every token of a key, so made once."""
    return base64url.encode(json.dumps({"alg": alg, "typ": typ, "kid": kid}, separators=(",", ":")).encode("ascii"))


def signing_input(header: bytes, payload: bytes) -> bytes:
    """What is signed (RFC 7515 section 5.1): a prepared header segment and the JSON of a claims set."""
    return b"%b.%b" % (header, base64url.encode(payload))


def compact(signed: bytes, signature: bytes) -> str:
    """The compact JWS (RFC 7515 section 3.1). signed: the signing input. signature: raw (RFC 7518 section 3)."""
    return (b"%b.%b" % (signed, base64url.encode(signature))).decode("ascii")
