"""What the issuer needs of a place that keeps a private key: who it is, and signatures over bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol


class Signer(Protocol):
    """One private key for one algorithm.

    kid: the RFC 7638 thumbprint of its public key. algorithm: as it stands in the token's header. public_jwk: the public
    key as the JWKS shows it.
    """

    @property
    def kid(self) -> str: ...

    @property
    def algorithm(self) -> str: ...

    @property
    def public_jwk(self) -> Mapping[str, Any]: ...

    def sign(self, data: bytes) -> Awaitable[bytes]:
        """The JWS signature (RFC 7518 section 3, RFC 8037 section 3.1) over data, raw.

        Raises errors.CannotTell `signer_unavailable` where the key is out of reach.
        """
        ...
