"""Everything that is nearly a good token is refused by the authenticator, one edit at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import Unauthenticated
from counterseal.identity.idp_jwt import IdpTokens
from tests.identity.issuers import INBOUND, OURS, HeldKeys, claims, trusted
from tests.support.tokens import ASYMMETRIC, FixedClock, jwks, token


def authenticator(algorithm: str) -> IdpTokens:
    issuer = trusted(algorithms=frozenset({algorithm}), keys=HeldKeys(jwks(algorithm)))
    return IdpTokens([issuer], OURS, FixedClock(), LIMITS)


def flips(good: bytes) -> Iterator[bytes]:
    """The token with each of its bits changed."""
    for index, byte in enumerate(good):
        for bit in range(8):
            yield good[:index] + bytes([byte ^ 1 << bit]) + good[index + 1 :]


async def accepted(tokens: IdpTokens, presented: bytes) -> bool:
    """False for what is refused, and for what is not even a JWT by its form."""
    try:
        return await tokens.authenticate(presented, INBOUND) is not None
    except Unauthenticated:
        return False


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
async def test_j_26_each_bit_of_a_token_counts(algorithm: str) -> None:
    """Exhaustive: header, payload, signature and both dots. The twin is the token as it was signed."""
    tokens, good = authenticator(algorithm), token(claims(), algorithm).encode()
    assert await accepted(tokens, good)
    wrong = [number for number, bad in enumerate(flips(good)) if await accepted(tokens, bad)]
    assert wrong == []
    assert await accepted(tokens, good)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_j_26_a_token_that_is_cut_or_mended_with_parts_of_another_is_refused(algorithm: str) -> None:
    tokens, good = authenticator(algorithm), token(claims(), algorithm)
    other = token(claims(sub="bob"), algorithm)
    assert await accepted(tokens, good.encode())
    assert await accepted(tokens, other.encode())
    for length in range(len(good)):
        assert not await accepted(tokens, good[:length].encode())
    parts, others = good.split("."), other.split(".")
    foreign = token(claims(), algorithm, header={"x": "y"}).split(".")
    for mended in (
        (parts[0], others[1], parts[2]),
        (parts[0], parts[1], others[2]),
        (foreign[0], parts[1], parts[2]),
        (parts[0], parts[1], ""),
        (parts[0], "", parts[2]),
        ("", parts[1], parts[2]),
    ):
        assert not await accepted(tokens, ".".join(mended).encode())
