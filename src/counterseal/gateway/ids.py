"""Ids of calls, tokens and records: 128 random bits as text."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import Final

_BYTES: Final = 16
_CHARACTERS: Final = 22
_BATCH: Final = 256
_SLOT: Final = 18
"""Bytes that base64 writes without padding, so that a whole batch is encoded in one go."""


class Ids:
    """Draws from the system's generator, for many ids at a time: three ids a call would be three system calls. Never shared
    between processes (Y-02: workers are started, not forked)."""

    def __init__(self) -> None:
        self._drawn = ""
        self._next = 0

    def new(self) -> str:
        """22 characters of base64url that nobody can guess and nobody got before."""
        start = self._next
        if start >= len(self._drawn):
            self._draw()
            start = 0
        self._next = start + _SLOT // 3 * 4
        return self._drawn[start : start + _CHARACTERS]

    def _draw(self) -> None:
        bits = os.urandom(_BATCH * _BYTES)
        slots = bytearray(_BATCH * _SLOT)
        for at in range(_BYTES):
            slots[at::_SLOT] = bits[at::_BYTES]
        self._drawn = urlsafe_b64encode(slots).decode()
