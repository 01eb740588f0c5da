"""The one credential of a request, or a key and the token of whom it calls for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from counterseal.core.call import Inbound
from counterseal.errors import BadCall, Unauthenticated

# RFC 6750 section 2.1: one scheme, one space, one token68. The scheme is compared without case (RFC 9110 section 11.1).
_BEARER: Final = re.compile(rb"bearer ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_KEY: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")

REFUSED: Final = "the credential was not accepted"
"""The one public text for every bad credential: which check failed is for the record alone (J-30)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request holds to prove who calls. proof: a bearer token or an API key. beside: the bearer token in `Authorization`
    where the key was sent in a header of its own, so that it is about whom the call is for. None: there is none."""

    proof: bytes | None = field(repr=False)
    beside: bytes | None = field(default=None, repr=False)


def credential(inbound: Inbound, key_header: bytes | None = None) -> Sent:
    """What the caller proves itself with. key_header: where a key may be beside a token, bare or after `Bearer`; None: nowhere.

    Only headers count, never the query or a cookie. Raises BadCall `ambiguous_credentials` for more than one
    (A-08, J-27) and Unauthenticated for one that is not of the form.
    """
    bearers = inbound.all(b"authorization")
    keys = inbound.all(b"x-api-key")
    entries = inbound.all(key_header) if key_header is not None else ()
    if len(bearers) + len(keys) > 1 or len(entries) > 1 or (entries and keys):
        raise BadCall("ambiguous_credentials", "send exactly one Authorization or X-API-Key header")
    bearer = _bearer(bearers[0]) if bearers else None
    if entries:
        match = _BEARER.fullmatch(entries[0])
        key = match[1] if match is not None else _key(entries[0])
        return Sent(key, None if bearer == key else bearer)
    if keys:
        return Sent(_key(keys[0]))
    return Sent(bearer)


def every(inbound: Inbound, key_header: bytes | None) -> Iterator[bytes]:
    """Each credential for this gateway. Raises as `credential`."""
    sent = credential(inbound, key_header)
    return (one for one in (sent.proof, sent.beside) if one is not None)


def _bearer(value: bytes) -> bytes:
    match = _BEARER.fullmatch(value)
    if match is None:
        raise Unauthenticated("credential_invalid", REFUSED, detail="Authorization is not `Bearer` and one token")
    return match[1]


def _key(value: bytes) -> bytes:
    if _KEY.fullmatch(value) is None:
        raise Unauthenticated("credential_invalid", REFUSED, detail="X-API-Key holds characters that no key has")
    return value
