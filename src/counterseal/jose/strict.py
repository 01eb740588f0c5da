"""The strict reader in front of every signature check.

Everything that two readers could understand differently is refused here, before any cryptography: what is over the
ceiling, not three segments, not canonical base64url, not strict JSON, not two objects, or carries a header parameter that
would choose a key or change the meaning. Other header parameters than `alg`, `kid` and `typ` are ignored: some identity
providers send `x5t`, and no key is ever looked up by it.

What comes out shows what is needed to choose a key and nothing else; the claims come out of `jws.verify`.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from counterseal.core import strict_json
from counterseal.core.limits import Limits
from counterseal.core.value import Value
from counterseal.jose.refusal import TokenRefused

FORBIDDEN: Final = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u"})
"""Header parameters whose presence alone refuses a token (J-04, J-08, J-11)."""

KID_LENGTH: Final = 512
"""The longest `kid`, in characters, of a token or a JWK."""

_TO_PLAIN: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
"""base64url as plain base64, and what only plain base64 has as what none has."""
_PADDING: Final = (b"", b"===", b"==", b"=")
_LAST: Final = (None, None, frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
"""By the length of a segment modulo 4: what makes it whole, and how it may end without stray bits (RFC 4648 section 3.5)."""


class Unverified(Value, frozen=True):
    """A well-formed token that nobody has checked. alg, kid, typ: of the header. issuer: `iss` where it is a string.

    All of it is what the sender wants us to believe: good for choosing a key, and for nothing else. The rest belongs to
    `jws.verify`: what was signed, as it came, the signature's bytes, and the claims.
    """

    UNSHOWN = frozenset({"_signed", "_signature", "_claims"})

    alg: str
    kid: str | None
    typ: str | None
    issuer: str | None
    _signed: bytes
    _signature: bytes
    _claims: Mapping[str, Any]


def read(token: bytes | str, limits: Limits) -> Unverified:
    """The parts of one compact JWS (RFC 7515 section 7.1) whose payload is a claims set. Raises TokenRefused `malformed`."""
    signed, (header, payload, signature) = _split(token, limits)
    alg, kid, typ = _header(header, limits.token_json_depth, limits.token_json_members, limits.token_string_bytes)
    claims = _object(payload, "payload", limits.token_json_depth, limits.token_json_members, limits.token_string_bytes)
    raw = decode_base64url(signature, "signature")
    if not raw:
        raise TokenRefused("malformed", "the signature is empty")
    issuer = claims.get("iss")
    return Unverified(alg, kid, typ, issuer if isinstance(issuer, str) else None, signed, raw, claims)


@lru_cache(maxsize=64)  # all tokens of one key have the same one; what is refused is not kept
def _header(segment: bytes, depth: int, members: int, string_bytes: int) -> tuple[str, str | None, str | None]:
    """alg, kid and typ. The other arguments: ceilings, as `Limits` has them."""
    header = _object(segment, "header", depth, members, string_bytes)
    forbidden = FORBIDDEN & header.keys()
    if forbidden:
        raise TokenRefused("malformed", f"the header has {', '.join(sorted(forbidden))}, which no call needs")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str):
        raise TokenRefused("malformed", "the header has no `alg` that is a string")
    if ("kid" in header and not isinstance(kid, str)) or (isinstance(kid, str) and len(kid) > KID_LENGTH):
        raise TokenRefused("malformed", f"the header's `kid` is not a string of at most {KID_LENGTH} characters")
    if "typ" in header and not isinstance(typ, str):
        raise TokenRefused("malformed", "the header's `typ` is not a string")
    return alg, kid, typ


def for_display_only(token: bytes | str, limits: Limits) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a token that nobody has checked, to be shown to a person and never to be acted on.

    As strict about the form as `read`, but shows headers that `read` refuses. Raises TokenRefused `malformed`. Only the
    command line and the demo may use it; a test holds that.
    """
    _, (header, payload, signature) = _split(token, limits)
    decode_base64url(signature, "signature")
    ceilings = (limits.token_json_depth, limits.token_json_members, limits.token_string_bytes)
    return _object(header, "header", *ceilings), _object(payload, "payload", *ceilings)


def decode_base64url(segment: bytes, what: str) -> bytes:
    """The bytes of a segment in its one canonical spelling: no padding, no white space, no stray bits (RFC 7515 section 2).

    what: how the message names the segment. Raises TokenRefused `malformed`.
    """
    over = len(segment) % 4
    last = _LAST[over]
    try:
        if last is None or segment[-1] in last:
            return binascii.a2b_base64(segment.translate(_TO_PLAIN) + _PADDING[over], strict_mode=True)
    except binascii.Error:
        pass
    raise TokenRefused("malformed", f"the {what} is not canonical base64url")


def _split(token: bytes | str, limits: Limits) -> tuple[bytes, tuple[bytes, bytes, bytes]]:
    """What was signed (RFC 7515 section 5.2), and the three segments."""
    if len(token) > limits.token_bytes:
        raise TokenRefused("malformed", f"longer than {limits.token_bytes} bytes")
    if isinstance(token, str):
        if not token.isascii():
            raise TokenRefused("malformed", "characters that are not ASCII")
        token = token.encode("ascii")
    if token.count(b".") != 2:
        raise TokenRefused("malformed", "not three segments")
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    return signed, (header, payload, signature)


def _object(segment: bytes, what: str, depth: int, members: int, string_bytes: int) -> dict[str, Any]:
    text = decode_base64url(segment, what)
    try:
        value = strict_json.read(text, depth=depth, members=members)
    except (strict_json.NotStrict, strict_json.TooBig) as error:
        raise TokenRefused("malformed", f"the {what} is not strict JSON: {error}") from None
    if not isinstance(value, dict):
        raise TokenRefused("malformed", f"the {what} is not a JSON object")
    # A text that is shorter than the longest string holds no longer one, which spares nearly every token the walk.
    if len(text) > string_bytes and _has_long_string(value, string_bytes):
        raise TokenRefused("malformed", f"the {what} has a string of more than {string_bytes} bytes")
    return value


def _has_long_string(value: Any, longest: int) -> bool:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.keys())
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, str) and len(node.encode()) > longest:
            return True
    return False
