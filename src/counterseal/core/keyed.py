"""HMAC-SHA-256 (RFC 2104) of many messages under one key."""

from __future__ import annotations

import hashlib
from typing import Final, NoReturn

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Keyed:
    """Both hashes are begun with the key once and copied for each message, which costs a third of beginning anew."""

    __slots__ = ("__inner", "__outer")

    def __init__(self, key: bytes) -> None:
        padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self.__inner = hashlib.sha256(padded.translate(_INNER))
        self.__outer = hashlib.sha256(padded.translate(_OUTER))

    def mac(self, message: bytes) -> bytes:
        """32 bytes."""
        inner, outer = self.__inner.copy(), self.__outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return "<Keyed>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be copied or pickled")
