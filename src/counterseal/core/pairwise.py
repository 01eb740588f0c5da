"""Names of subjects that are different at each server, so that servers cannot tell whom they have in common.

    pw: and the base64url of HMAC-SHA-256(key, issuer NUL name NUL server)

Neither an issuer, nor a subject, nor a server's name has a NUL in it, so no two of them share an input. Whoever doesn't have the
key can neither find the name to a pseudonym nor guess one.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "pw:"


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Pseudonyms for one server, by its name in the configuration. key: the deployment's own."""

    key: bytes = field(repr=False)
    server: str

    def __call__(self, issuer: str, name: str) -> str:
        """46 characters, the same for the same person at each call of this server. issuer: who knows the person by this name."""
        said = "\0".join((issuer, name, self.server)).encode()
        return PREFIX + base64.urlsafe_b64encode(hmac.digest(self.key, said, "sha256")).rstrip(b"=").decode()
