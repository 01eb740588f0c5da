"""The digest that binds a call token to one set of arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import rfc8785

from counterseal.core import base64url


class NotCanonical(ValueError):
    """The arguments have no canonical form, so two parties could read them differently."""


def arguments_digest(arguments: Mapping[str, Any]) -> str:
    """`sha-256:` and the base64url of the SHA-256 of the JCS form (RFC 8785) of the arguments.

    Absent arguments are `{}`; values are of the types that a JSON reader makes. Raises NotCanonical for integers beyond
    2^53 (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2): readers that hold numbers as doubles would act on another number
    than the one that was decided on.
    """
    try:
        canonical = jcs(arguments)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from None
    return digest_of(canonical)


def jcs(value: Mapping[str, Any]) -> bytes:
    """The JCS form (RFC 8785). Raises CanonicalizationError, UnicodeEncodeError or RecursionError where there is none."""
    return _plain(value) or rfc8785.dumps(value)


def digest_of(canonical: bytes) -> str:
    """`sha-256:` and the base64url of the SHA-256 of a canonical form."""
    return "sha-256:" + base64url.encode(hashlib.sha256(canonical).digest()).decode()


_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def _class(byte: int) -> int:
    """Digits, exponents and what is beyond the Basic Multilingual Plane, each as one character."""
    if 0x30 <= byte <= 0x39:
        return ord("0")
    if byte in b"eE":
        return ord("e")
    return ord(".") if byte == ord(".") else 0xFF if byte >= 0xF0 else ord(" ")


_CLASSES: Final = bytes(map(_class, range(256)))
_LONG: Final = b"0" * 16


def _plain(value: Mapping[str, Any]) -> bytes | None:
    """The JCS form of an object that is plain, at a tenth of the cost; None where they may not be.

    Within the Basic Multilingual Plane, sorting by code point is sorting by UTF-16; text, booleans and integers below 2^53 have
    one form in both. Whatever could be a fraction, a long integer, a character beyond that plane, or is not a number at all
    (which would be written `null`) takes the long way. A property test holds the two equal.
    """
    try:
        text = _sorted(value)
    except (TypeError, ValueError, RecursionError):
        return None
    classes = text.translate(_CLASSES)
    # `in` would first raise and drop a TypeError for each of them: bytes may be asked for a number too.
    differs = max(classes.find(b"0."), classes.find(b"0e"), classes.find(_LONG), classes.find(0xFF))
    return text if differs < 0 and (text.find(b"null") < 0 or _has_numbers_alone(value)) else None


_strictly: Final = json.JSONEncoder(allow_nan=False, check_circular=False).encode


def _has_numbers_alone(value: Mapping[str, Any]) -> bool:
    """Whether each float is a number. Schemas are full of `null`, and this costs a tenth of the long way."""
    try:
        _strictly(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
