"""Names that the gateway keeps for itself: of claims, and of subjects that are no persons.

Names are compared as they are. What only looks like a reserved one (`ISS`, `exp `, letters of another width) is refused as one
where the configuration or a hook writes it, because some reader will take it for one (I-04).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

RESERVED: Final = frozenset(
    [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "act",
        "scope",
        "client_id",
        "azp",
        "cnf",
        "txn",
        "authorization_details",
    ]
)
"""What the gateway alone decides. A configuration that names one of these in a claim operation is refused at start."""

SUBJECT_LENGTH: Final = 255

_CLAIM: Final = re.compile(r"[A-Za-z0-9_:./-]{1,128}")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def reserved_in(name: str) -> str | None:
    """The reserved claim that a claim's name is, looks like, or begins a path with; None for any other."""
    for part in (name, name.partition(".")[0]):
        plain = unicodedata.normalize("NFKC", part).strip().casefold()
        if plain in RESERVED:
            return plain
    return None


def is_claim_name(name: str) -> bool:
    """Whether a claim that the gateway doesn't make by itself may have this name, reserved ones aside."""
    return _CLAIM.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Whether it has a form by which the gateway itself names callers without a person."""
    return name == "anonymous" or name.startswith("apikey:")


def is_seen(name: str) -> bool:
    """Whether it is 1 to 255 characters that a reader can see."""
    return 0 < len(name) <= SUBJECT_LENGTH and is_plain(name)


def is_plain(text: str) -> bool:
    """Whether it holds nothing that a reader could not see, or that ends a line or turns one around."""
    return text.isprintable() or not any(unicodedata.category(char) in _UNSEEN for char in text)
