"""The key ring: which keys sign, and which the world may see. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from counterseal.errors import ConfigError
from counterseal.issuer.signer import Signer


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The live keys, one for each algorithm, in the configured order: the first is the default."""

    signers: tuple[Signer, ...]

    @classmethod
    def of(cls, signers: Iterable[Signer]) -> KeyRing:
        """Raises ConfigError for no key, or for two of one algorithm."""
        signers = tuple(signers)
        algorithms = [signer.algorithm for signer in signers]
        if not signers:
            raise ConfigError("keys: there is no signing key")
        for algorithm in set(algorithms):
            if algorithms.count(algorithm) > 1:
                raise ConfigError(f"keys: two signing keys for {algorithm}; keep one live key for each algorithm")
        return cls(signers)

    def signer(self, algorithm: str) -> Signer:
        """The live key of an algorithm. Raises ConfigError where there is none, naming those that there are."""
        for signer in self.signers:
            if signer.algorithm == algorithm:
                return signer
        there = ", ".join(signer.algorithm for signer in self.signers)
        raise ConfigError(f"signer.algorithm: there is no {algorithm} key; the key ring has {there}")

    def jwks(self) -> Mapping[str, Any]:
        """The JWKS (RFC 7517 section 5): public members only, the same bytes on every worker."""
        return {"keys": [dict(signer.public_jwk) for signer in self.signers]}
