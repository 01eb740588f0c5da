"""Ids of calls, tokens and records: 128 random bits as text."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import Final

_BYTES: Final = 16
_BATCH: Final = 256


class Ids:
    """Draws from the system's generator, for many ids at a time: three ids a call would be three system calls. Never shared
    between processes (threats.md Y-02: workers are started, not forked)."""

    def __init__(self) -> None:
        self._drawn = b""
        self._next = 0

    def new(self) -> str:
        """22 characters of base64url that nobody can guess and nobody got before."""
        if self._next >= len(self._drawn):
            self._drawn = os.urandom(_BATCH * _BYTES)
            self._next = 0
        bits = self._drawn[self._next : self._next + _BYTES]
        self._next += _BYTES
        return urlsafe_b64encode(bits)[:22].decode()
