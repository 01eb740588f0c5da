"""A dry signer tells how a token would come out, and makes none."""

from __future__ import annotations

import jwt
import pytest

from counterseal.core.limits import LIMITS
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.dry import DrySigner
from counterseal.issuer.signers.local import LocalSigner
from tests.support.tokens import private_key


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
async def test_nothing_that_it_signs_verifies_and_all_else_is_the_same(algorithm: str) -> None:
    real = LocalSigner(private_key(algorithm), algorithm)
    ring, dry = KeyRing.of([real]), KeyRing.of([DrySigner(real)])
    minted = await Mint(ring, LIMITS).mint({"sub": "alice"}, algorithm)
    unusable = await Mint(dry, LIMITS).mint({"sub": "alice"}, algorithm)
    assert (unusable.kid, unusable.algorithm, len(unusable.token)) == (minted.kid, minted.algorithm, len(minted.token))
    assert unusable.token.rpartition(".")[0] == minted.token.rpartition(".")[0]
    assert dry.jwks() == ring.jwks()
    if algorithm != "Ed25519":  # PyJWT does not know that name
        key = private_key(algorithm).public_key()
        assert jwt.decode(minted.token, key, [algorithm]) == {"sub": "alice"}  # type: ignore[arg-type]
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(unusable.token, key, [algorithm])  # type: ignore[arg-type]
