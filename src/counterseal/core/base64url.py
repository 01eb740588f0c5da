"""base64url without padding, as JOSE writes it (RFC 7515 section 2)."""

from __future__ import annotations

import binascii
from typing import Final

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


def encode(data: bytes) -> bytes:
    """The text of these bytes."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=")
