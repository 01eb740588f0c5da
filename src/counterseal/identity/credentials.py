"""The one credential of a request."""

from __future__ import annotations

import re
from typing import Final

from counterseal.core.call import Inbound
from counterseal.errors import BadCall, Unauthenticated

# RFC 6750 section 2.1: one scheme, one space, one token68. The scheme is compared without case (RFC 9110 section 11.1).
_BEARER: Final = re.compile(rb"bearer ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_KEY: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")

REFUSED: Final = "the credential was not accepted"
"""The one public text for every bad credential: which check failed is for the record alone (threats.md J-30)."""


def credential(inbound: Inbound) -> bytes | None:
    """What the caller proves itself with: a bearer token or an API key; None where the request holds neither.

    Only headers count, never the query or a cookie. Raises BadCall `ambiguous_credentials` for more than one (threats.md
    A-08, J-27) and Unauthenticated for one that is not of the form.
    """
    bearers = inbound.all(b"authorization")
    keys = inbound.all(b"x-api-key")
    if len(bearers) + len(keys) > 1:
        raise BadCall("ambiguous_credentials", "send exactly one Authorization or X-API-Key header")
    if bearers:
        match = _BEARER.fullmatch(bearers[0])
        if match is None:
            raise Unauthenticated("credential_invalid", REFUSED, detail="Authorization is not `Bearer` and one token")
        return match[1]
    if keys:
        if _KEY.fullmatch(keys[0]) is None:
            raise Unauthenticated("credential_invalid", REFUSED, detail="X-API-Key holds characters that no key has")
        return keys[0]
    return None
