"""A signer for whoever only wants to know how a call token would come out.

Its signatures are as long as the real ones and come from the same key, so what fails there fails here. They are over a text that
is no part of any token: with one of them nothing verifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.issuer.signer import Signer

_SIGNED: Final = b"what counterseal explain signs instead of a call token"
"""Holds no `.`, and so is not what any JWS signs (RFC 7515 section 5.1)."""


class DrySigner:
    """Stands in for another signer."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def kid(self) -> str:
        return self._signer.kid

    @property
    def algorithm(self) -> str:
        return self._signer.algorithm

    @property
    def public_jwk(self) -> Mapping[str, Any]:
        return self._signer.public_jwk

    async def sign(self, data: bytes) -> bytes:
        """A signature over something else than data. Raises as the other signer does."""
        return await self._signer.sign(_SIGNED)
