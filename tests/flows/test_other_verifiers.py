"""Verifiers that other people wrote accept our tokens, given nothing but our JWKS address, for every algorithm we sign with.

Each also refuses the same token for another audience, and with one character of its signature changed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
import pytest_asyncio
from jwt.algorithms import OKPAlgorithm

from tests.support.calls import post, tool_call
from tests.support.gateway import Gateway, running_gateway
from tests.support.parties import FOLDER, node_command
from tests.support.servers import RecordingServer

# One gateway has one name for the Edwards curve: RFC 9864's, or the older one of RFC 8037.
ALGORITHMS: Final = (("RS256", "ES256", "Ed25519"), ("EdDSA",))


@dataclass(frozen=True, slots=True)
class Signed:
    """A token that the gateway sent to a server. audience: that server."""

    algorithm: str
    token: str
    audience: str

    def forged(self) -> Signed:
        """The same with another signature: its first character, which holds no padding bits."""
        body, _, signature = self.token.rpartition(".")
        return Signed(self.algorithm, f"{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}", self.audience)

    def elsewhere(self) -> Signed:
        """The same, to be checked by a server with another address."""
        return Signed(self.algorithm, self.token, "http://127.0.0.1:1/mcp")


@asynccontextmanager
async def signing(folder: Path, algorithms: Sequence[str]) -> AsyncIterator[tuple[Gateway, list[Signed]]]:
    """A gateway, and a token of each of these; each is good for as long as a module may take."""
    async with RecordingServer() as recorder:
        servers = {
            name.lower(): {"url": f"{recorder.url}/{name}", "signer": {"algorithm": name, "ttl_seconds": 600}}
            for name in algorithms
        }
        keys = {"source": "store", "algorithms": list(algorithms)}
        async with running_gateway(folder, servers, keys=keys) as gateway:
            key = await asyncio.to_thread(gateway.create_key, "alice")
            signed = []
            for name in algorithms:
                status, body = await post(gateway.at(name.lower()), tool_call("echo"), key.headers)
                assert status == 200, body
                signed.append(Signed(name, recorder.seen[-1].token, f"{recorder.url}/{name}"))
            yield gateway, signed


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ALGORITHMS, ids="-".join)
async def flow(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Gateway, list[Signed]]]:
    async with signing(tmp_path_factory.mktemp("signing"), request.param) as running:
        yield running


def jose_verifies(gateway: Gateway, tokens: list[Signed]) -> list[dict[str, Any]]:
    asked = [{"token": each.token, "audience": each.audience, "algorithm": each.algorithm} for each in tokens]
    command = node_command(FOLDER / "jose_verify.mjs", gateway.jwks, gateway.issuer)
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


@pytest.mark.party("jose")
async def test_jose_verifies_every_algorithm(flow: tuple[Gateway, list[Signed]]) -> None:
    gateway, signed = flow
    told = await asyncio.to_thread(jose_verifies, gateway, signed)
    assert [each.get("claims", each).get("sub") for each in told] == ["alice"] * len(signed), told
    forged = await asyncio.to_thread(jose_verifies, gateway, [each.forged() for each in signed])
    assert [each.get("error") for each in forged] == ["ERR_JWS_SIGNATURE_VERIFICATION_FAILED"] * len(signed)
    elsewhere = await asyncio.to_thread(jose_verifies, gateway, [each.elsewhere() for each in signed])
    assert [each.get("error") for each in elsewhere] == ["ERR_JWT_CLAIM_VALIDATION_FAILED"] * len(signed)


@pytest.fixture
def pyjwt_that_knows_ed25519() -> Iterator[None]:
    """PyJWT has the algorithm, under its older name only (RFC 8037); RFC 9864 names it by its curve."""
    jwt.register_algorithm("Ed25519", OKPAlgorithm())
    yield
    jwt.unregister_algorithm("Ed25519")


def pyjwt_verifies(gateway: Gateway, signed: Signed) -> dict[str, Any]:
    """The claims. Raises jwt.InvalidTokenError.

    PyJWKClient leaves out a JWK whose `alg` it does not know, so that one is read here.
    """
    key: Any
    if signed.algorithm == "Ed25519":
        with urllib.request.urlopen(gateway.jwks, timeout=60) as answer:
            keys = {each["kid"]: each for each in json.load(answer)["keys"]}
        key = OKPAlgorithm.from_jwk(keys[jwt.get_unverified_header(signed.token)["kid"]])
    else:
        key = jwt.PyJWKClient(gateway.jwks).get_signing_key_from_jwt(signed.token).key
    claims: dict[str, Any] = jwt.decode(
        signed.token, key, algorithms=[signed.algorithm], audience=signed.audience, issuer=gateway.issuer
    )
    return claims


@pytest.mark.party("pyjwt")
@pytest.mark.usefixtures("pyjwt_that_knows_ed25519")
async def test_pyjwt_verifies_every_algorithm(flow: tuple[Gateway, list[Signed]]) -> None:
    gateway, signed = flow
    for each in signed:
        assert (await asyncio.to_thread(pyjwt_verifies, gateway, each))["sub"] == "alice"
        with pytest.raises(jwt.InvalidSignatureError):
            await asyncio.to_thread(pyjwt_verifies, gateway, each.forged())
        with pytest.raises(jwt.InvalidAudienceError):
            await asyncio.to_thread(pyjwt_verifies, gateway, each.elsewhere())
