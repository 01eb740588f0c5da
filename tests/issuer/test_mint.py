"""Minting: a token that every library verifies, of a size that every server takes, or none at all."""

from __future__ import annotations

import json
import secrets
from typing import Any

import jwt
import pytest
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from counterseal.core.limits import LIMITS
from counterseal.core.profiles import PROFILES
from counterseal.errors import CallError, CannotTell
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner
from tests.support.tokens import AUDIENCE, ISSUER, call_claims, encode, needs_ml_dsa, private_key

ALGORITHMS = ("RS256", "ES256", "Ed25519", "EdDSA")
RING = KeyRing.of([LocalSigner(private_key(name), name) for name in ALGORITHMS])


class BrokenSigner:
    """A signer whose key is out of reach, or that does worse."""

    algorithm = "ES256"
    kid = "kid"
    public_jwk: dict[str, Any] = {"kid": "kid"}

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def sign(self, data: bytes) -> bytes:
        raise self._error


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    read = [json.loads(jwt.utils.base64url_decode(part)) for part in (header, payload)]
    return read[0], read[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_minted_token_verifies_with_pyjwt_and_joserfc(algorithm: str) -> None:
    claims = call_claims()
    minted = await Mint(RING, LIMITS).mint(claims, algorithm)
    public = dict(RING.signer(algorithm).public_jwk)
    header, payload = parts(minted.token)
    assert header == {"alg": algorithm, "typ": "at+jwt", "kid": public["kid"]}
    assert payload == claims
    assert (minted.kid, minted.algorithm) == (public["kid"], algorithm)
    if algorithm != "Ed25519":  # PyJWT knows only the older name of it
        key = jwt.PyJWK(public)
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        read = jwt.decode(minted.token, key, [algorithm], options, audience=AUDIENCE, issuer=ISSUER)
        assert read == claims
    if algorithm != "EdDSA":  # joserfc would rather have the newer one
        verified = joserfc_jwt.decode(minted.token, joserfc_jwk.import_key(public), algorithms=[algorithm])
        assert verified.claims == claims


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_spelled_canonically(algorithm: str) -> None:
    minted = await Mint(RING, LIMITS).mint(call_claims(name="gét_weather\n☂"), algorithm)
    segments = minted.token.split(".")
    assert len(segments) == 3
    for segment in segments:
        assert encode(jwt.utils.base64url_decode(segment)) == segment


async def test_a_token_may_be_as_long_as_the_ceiling_and_no_longer() -> None:
    """I-10: neither truncated nor sent."""
    mint = Mint(RING, LIMITS)
    short = await mint.mint(call_claims(pad=""), "ES256")
    assert len(short.token) < LIMITS.call_token_bytes
    # Base64 makes four bytes of three, so not every length can be had: the longest that fits, and one byte of claims more.
    fits = next(size for size in range(6000, 0, -1) if _length(short.token, size) <= LIMITS.call_token_bytes)
    longest = await mint.mint(call_claims(pad="x" * fits), "ES256")
    assert LIMITS.call_token_bytes - 2 <= len(longest.token) <= LIMITS.call_token_bytes
    with pytest.raises(CallError) as refused:
        await mint.mint(call_claims(pad="x" * (fits + 1)), "ES256")
    assert (refused.value.reason.code, refused.value.reason.status) == ("call_token_too_large", 413)
    assert "xxx" not in refused.value.message


def _length(token: str, more: int) -> int:
    header, payload, signature = token.split(".")
    size = len(jwt.utils.base64url_decode(payload)) + more
    return len(header) + len(signature) + 2 + (size * 4 + 2) // 3


@pytest.mark.parametrize(
    "error",
    [RuntimeError("the key is 123-canary"), OSError("canary"), KeyError("canary"), TimeoutError("canary")],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_signer_raises_the_call_is_not_signed(error: Exception) -> None:
    mint = Mint(KeyRing.of([BrokenSigner(error)]), LIMITS)
    with pytest.raises(CannotTell) as told:
        await mint.mint(call_claims(), "ES256")
    assert (told.value.reason.code, told.value.reason.status) == ("signer_unavailable", 503)
    assert "canary" not in f"{told.value.message} {told.value.detail}"
    assert told.value.__cause__ is None


async def test_a_signer_may_say_itself_that_it_is_out_of_reach() -> None:
    error = CannotTell("signer_unavailable", "the KMS does not answer")
    with pytest.raises(CannotTell) as told:
        await Mint(KeyRing.of([BrokenSigner(error)]), LIMITS).mint(call_claims(), "ES256")
    assert told.value is error


async def test_an_algorithm_without_a_key_signs_nothing() -> None:
    mint = Mint(KeyRing.of([LocalSigner(private_key("ES256"), "ES256")]), LIMITS)
    with pytest.raises(KeyError):
        await mint.mint(call_claims(), "RS256")


async def test_y_05_a_minted_token_is_not_in_what_it_prints() -> None:
    minted = await Mint(RING, LIMITS).mint(call_claims(jti=secrets.token_urlsafe()), "ES256")
    assert minted.token not in repr(minted)
    assert minted.token.split(".")[1] not in repr(minted)
    assert minted.kid in repr(minted)


@needs_ml_dsa
async def test_an_ml_dsa_token_has_room_for_a_usual_call_below_every_ceiling() -> None:
    """I-10: the signature alone takes 3,227 of the 6,144 characters."""
    mint = Mint(KeyRing.of([LocalSigner(private_key("ML-DSA-44"), "ML-DSA-44")]), LIMITS)
    call = {"act": {"sub": "planner", "act": {"sub": "assistant", "iss": "https://idp.example.com/corp"}}}
    usual = await mint.mint(call_claims(name="get_forecast_for_a_place", sub="alice@example.com", **call), "ML-DSA-44")
    assert len(usual.token.rpartition(".")[2]) == 3227
    assert 3227 < len(usual.token) < 4400
    short = await mint.mint(call_claims(pad=""), "ML-DSA-44")
    fits = next(size for size in range(3000, 0, -1) if _length(short.token, size) <= LIMITS.call_token_bytes)
    longest = await mint.mint(call_claims(pad="x" * fits), "ML-DSA-44")
    assert len(longest.token) <= LIMITS.call_token_bytes
    assert len(f"Bearer {longest.token}") <= LIMITS.header_value_bytes
    assert len(json.dumps(parts(longest.token)[1], separators=(",", ":"))) > 2000
    with pytest.raises(CallError) as refused:
        await mint.mint(call_claims(pad="x" * (fits + 1)), "ML-DSA-44")
    assert refused.value.reason.code == "call_token_too_large"


async def test_a_token_says_of_which_kind_it_is_and_there_are_only_those_that_are_known() -> None:
    mint = Mint(RING, LIMITS)
    for typ in (*(profile.typ for profile in PROFILES.values()), "txntoken+jwt"):
        header, payload = parts((await mint.mint(call_claims(), "ES256", typ)).token)
        assert header == {"alg": "ES256", "typ": typ, "kid": RING.signer("ES256").kid}
        assert payload == call_claims()
    with pytest.raises(KeyError):
        await mint.mint(call_claims(), "ES256", "id+jwt")
