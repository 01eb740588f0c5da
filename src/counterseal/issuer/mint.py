"""The minting of a call token. There is no other place where Counterseal signs anything for a server.

A token is made of claims that `core.claims` built from a decision; nothing that a caller sends is signed as it came
(Y-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from counterseal.core import txn_token
from counterseal.core.limits import Limits
from counterseal.core.profiles import COUNTERSEAL, PROFILES
from counterseal.core.value import Value
from counterseal.errors import CallError, CannotTell
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signer import Signer
from counterseal.jose.jws import compact, header_segment, signing_input


class Minted(Value, frozen=True):
    """One signed call token and the key that signed it."""

    UNSHOWN: ClassVar = frozenset({"token"})

    token: str
    kid: str
    algorithm: str


_TYPES: Final = frozenset(profile.typ for profile in PROFILES.values()) | {txn_token.TYP}


class Mint:
    """Signs claims with the live key of an algorithm. Header segments are prepared once for each key and type of token."""

    def __init__(self, ring: KeyRing, limits: Limits) -> None:
        self._limit = limits.call_token_bytes
        self._keys: dict[tuple[str, str], tuple[Signer, bytes]] = {
            (signer.algorithm, typ): (signer, header_segment(signer.algorithm, signer.kid, typ))
            for signer in ring.signers
            for typ in _TYPES
        }
        self._encode = msgspec.json.Encoder().encode

    async def mint(self, claims: Mapping[str, Any], algorithm: str, typ: str = COUNTERSEAL.typ) -> Minted:
        """The compact JWS (RFC 7515 section 3.1) of the claims. typ: of one of the profiles, or
        that of a Txn-Token.

        Raises CallError `call_token_too_large` over the ceiling, CannotTell where the signer is out of reach.
        """
        signer, header = self._keys[algorithm, typ]
        try:
            signed = signing_input(header, self._encode(claims))
            token = compact(signed, await signer.sign(signed))
        except CallError:
            raise
        except Exception as error:
            # Whatever a signer raises, the call is not signed, and an unsigned call does not leave.
            raise CannotTell(
                "signer_unavailable", "the call cannot be signed now", detail=type(error).__name__
            ) from None
        if len(token) > self._limit:
            raise CallError(
                "call_token_too_large", f"the call token would take {len(token)} bytes, more than {self._limit}"
            )
        return Minted(token, signer.kid, algorithm)
