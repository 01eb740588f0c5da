"""What an API key looks like.

A key is `csk_<id>_<secret><check>`: an id of 12 characters of a-z0-9, 256 bits of secret as 43 characters in base 62, and
the CRC-32 of everything before it as 6. The prefix and the check let a scanner recognise a leaked key, and tell a typo
from an unknown key; the id is what logs, records and claims may say. docs/operating.md tells scanners the same.

Nobody chooses a secret or the pepper: both are made of random bytes, so there is no weak one (A-06).
"""

from __future__ import annotations

import hmac
import re
import zlib
from typing import Final

PREFIX: Final = b"csk_"
RANDOM_BYTES: Final = 48
"""How many random bytes `make_key` takes: 16 for the id, 32 for the secret."""

SCANNED: Final = re.compile(rb"csk_[a-z0-9]{12}_[0-9A-Za-z]{49}")
"""A key somewhere in a text, as secret scanners look for it. What matches is a key only if `is_checked` says so too."""

_CHECK_LENGTH: Final = 6
_LOWER: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_key(random: bytes, id: str | None = None) -> tuple[str, str]:
    """A key's id and its whole text, from RANDOM_BYTES random bytes. Raises ValueError for fewer or more.

    id: of the key that gets a new secret; None draws one.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made from {RANDOM_BYTES} random bytes")
    if id is None:
        id = _in_base(int.from_bytes(random[:16], "big"), _LOWER, 12)
    body = f"csk_{id}_{_in_base(int.from_bytes(random[16:], 'big'), _BASE62, 43)}"
    return id, body + _check(body.encode())


def mac(pepper: bytes, key: bytes) -> bytes:
    """What the store holds instead of the key: HMAC-SHA-256 of its whole text."""
    return hmac.digest(pepper, key, "sha256")


def find_keys(text: bytes) -> tuple[bytes, ...]:
    """Everything in a text that has the shape of a key, each once, in the order they came."""
    return tuple(dict.fromkeys(SCANNED.findall(text)))


def id_in(key: bytes) -> str | None:
    """The id in what has the shape of a key; None for everything else. It says nothing about whether there is such a key."""
    return key[4:16].decode() if SCANNED.fullmatch(key) else None


def is_checked(key: bytes) -> bool:
    """Whether the check at the end is that of the rest. key: what has the shape of one."""
    return _check(key[:-_CHECK_LENGTH]).encode() == key[-_CHECK_LENGTH:]


def _check(body: bytes) -> str:
    return _in_base(zlib.crc32(body), _BASE62, _CHECK_LENGTH)


def _in_base(number: int, digits: str, length: int) -> str:
    """The last `length` digits of the number; 43 digits in base 62 hold any 256 bits."""
    text = []
    for _ in range(length):
        number, digit = divmod(number, len(digits))
        text.append(digits[digit])
    return "".join(reversed(text))
