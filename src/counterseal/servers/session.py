"""Legacy session ids, sealed so that no store is needed.

What the caller holds is an AEAD box (AES-256-GCM) over the server's own session id, who opened it, the negotiated revision
and an end; the name of the server is bound in as associated data. Whoever else presents it gets 404, like one that was made
up: a session id is never a credential (M-09, M-10).
"""

from __future__ import annotations

import base64
import binascii
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterseal.clock import Clock
from counterseal.core.call import Session
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import LEGACY
from counterseal.errors import BadCall, ServerError
from counterseal.servers.handles import Handles

_FORMAT = struct.Struct(">BBQ16s")  # version of this layout, index of the revision, end, the caller's fingerprint
_VERSION = 1
_NONCE = 12
_LONGEST = 1024


def visible(server_id: str) -> str:
    """A server's session id as it came. Raises ServerError where it is not visible ASCII, or too long."""
    if not server_id or len(server_id) > _LONGEST or not all(0x21 <= ord(char) <= 0x7E for char in server_id):
        raise ServerError(
            "server_answer_invalid",
            "the server's answer is not valid",
            detail="a session id that is not visible ASCII",
        )
    return server_id


class Sessions:
    """Seals and opens. key: 32 bytes that all workers share. handles: what else is sealed with it."""

    def __init__(self, key: bytes, clock: Clock, limits: Limits) -> None:
        self._aead = AESGCM(key)
        self._clock = clock
        self._life = limits.session_seconds
        self.handles = Handles(key, clock, limits)

    def seal(self, caller: Caller, server: str, server_id: str, revision: str) -> Session:
        """A new session. server_id: what the server called it. Raises ServerError where that is not visible ASCII."""
        visible(server_id)
        end = int(self._clock.wall()) + self._life
        head = _FORMAT.pack(_VERSION, LEGACY.index(revision), end, caller.fingerprint())
        nonce = os.urandom(_NONCE)
        box = nonce + self._aead.encrypt(nonce, head + server_id.encode(), server.encode())
        return Session(server_id, revision, base64.urlsafe_b64encode(box).rstrip(b"=").decode())

    def open(self, caller: Caller, server: str, sealed: str) -> Session:
        """The session behind a sealed id. Raises BadCall `session_unknown`, for every cause with the same text."""
        unknown = BadCall("session_unknown", "there is no such session: send `initialize` again")
        if len(sealed) > 2 * _LONGEST:
            raise unknown
        try:
            box = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            if base64.urlsafe_b64encode(box).rstrip(b"=").decode() != sealed:
                raise unknown
            plain = self._aead.decrypt(box[:_NONCE], box[_NONCE:], server.encode())
        except (binascii.Error, ValueError, InvalidTag):
            raise unknown from None
        version, revision, end, fingerprint = _FORMAT.unpack_from(plain)
        if version != _VERSION or end <= self._clock.wall() or fingerprint != caller.fingerprint():
            raise unknown
        return Session(plain[_FORMAT.size :].decode(), LEGACY[revision], sealed)
