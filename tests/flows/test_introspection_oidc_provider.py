"""Opaque tokens of the certified `oidc-provider`: its real introspection endpoint decides who is a Caller here."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from counterseal.clock import SystemClock
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.gateway.ids import Ids
from counterseal.httpclient import Client
from counterseal.identity.client_auth import Basic, ClientAuth, Post, PrivateKeyJwt
from counterseal.identity.introspection import Endpoint, Introspection
from counterseal.issuer.signers.local import LocalSigner, generate
from counterseal.jose.refusal import TokenRefused
from tests.support.authorization_server import Posting
from tests.support.oidc_provider import AGENT, GATEWAY, GATEWAY_POST, RESOURCES, OidcProvider

pytestmark = [pytest.mark.party("oidc-provider")]

WEATHER = Inbound("POST", "weather", (), b"", "192.0.2.7")
ALGORITHMS = ("RS256", "ES256", "EdDSA")
SIGNERS = {name: LocalSigner(generate(name), name) for name in ALGORITHMS}
WAYS: dict[str, Callable[[], ClientAuth]] = {
    "basic": lambda: Basic(GATEWAY.id, GATEWAY.secret),
    "post": lambda: Post(GATEWAY_POST.id, GATEWAY_POST.secret),
    **{f"private_key_jwt {name}": (lambda name=name: signing(name)) for name in ALGORITHMS},  # type: ignore[misc]
}


def signing(algorithm: str, key: LocalSigner | None = None) -> PrivateKeyJwt:
    """The client `gateway-ALGORITHM`. key: another one than it registered."""
    signer = key or SIGNERS[algorithm]
    return PrivateKeyJwt(
        f"gateway-{algorithm}",
        signer.sign,
        kid=SIGNERS[algorithm].kid,
        algorithm=algorithm,
        clock=SystemClock(),
        new_id=Ids().new,
    )


def registered(algorithm: str) -> dict[str, Any]:
    """The same client's metadata. It has registered for signed answers (RFC 9701), which nobody here asks for."""
    return {
        "client_id": f"gateway-{algorithm}",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [dict(SIGNERS[algorithm].public_jwk)]},
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "introspection_signed_response_alg": "ES256",
    }


@pytest.fixture(scope="module")
def idp() -> Iterator[OidcProvider]:
    with OidcProvider(clients=map(registered, ALGORITHMS)) as running:
        yield running


@pytest.fixture
async def post() -> AsyncIterator[Posting]:
    client = Client()
    yield Posting(client)
    await client.close()


class Clock(SystemClock):
    """The machine's, and as much later as a test says: the provider's own clock can't be moved."""

    later = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later


def accept(claims: Mapping[str, Any], _: Inbound) -> Caller:
    if claims.get("aud") != RESOURCES["opaque"]:
        raise TokenRefused("audience", "`aud` is another")
    return Caller(
        kind="token", client_id=claims["client_id"], issuer=claims["iss"], subject=claims["sub"], claims=claims
    )


def asking(
    idp: OidcProvider, post: Posting, auth: ClientAuth | None = None, clock: Clock | None = None
) -> Introspection:
    endpoint = Endpoint(
        name="oidc-provider",
        issuer=idp.issuer,
        url=idp.introspection,
        auth=auth or WAYS["basic"](),
        post=post,
        accept=accept,
        require_audience=True,
    )
    return Introspection([endpoint], clock or Clock(), dataclasses.replace(LIMITS, fetch_seconds=1.0))


async def caller_of(introspection: Introspection, token: str) -> Caller:
    caller = await introspection.authenticate(token.encode(), WEATHER)
    assert caller is not None
    return caller


async def refusal(introspection: Introspection, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await introspection.authenticate(token.encode(), WEATHER)
    return refused.value.detail or ""


def asked(idp: OidcProvider) -> int:
    return idp.seen().count(("POST", "/token/introspection"))


@pytest.mark.parametrize("way", WAYS)
async def test_an_active_token_is_a_caller_however_the_gateway_proves_itself(
    idp: OidcProvider, post: Posting, way: str
) -> None:
    introspection = asking(idp, post, WAYS[way]())
    agent = await caller_of(introspection, idp.token(RESOURCES["opaque"]))
    assert (agent.subject, agent.client_id, agent.issuer) == ("agent", "agent", idp.issuer)
    assert agent.claims["scope"] == "mcp:call mcp:list"
    person = await caller_of(introspection, idp.user_tokens(RESOURCES["opaque"], "bob")["access_token"])
    assert (person.subject, person.client_id) == ("bob", "ide")
    assert person.claims["realm_access"] == {"roles": ["reader"]}
    assert "not active" in await refusal(introspection, "made-up-token")


async def test_a_revoked_token_is_refused_within_the_life_of_an_answer(idp: OidcProvider, post: Posting) -> None:
    clock = Clock()
    introspection = asking(idp, post, clock=clock)
    token, other = idp.token(RESOURCES["opaque"]), idp.token(RESOURCES["opaque"])
    for each in (token, other):
        await caller_of(introspection, each)
    idp.revoke(token)
    clock.later = LIMITS.introspection_kept_seconds
    assert "not active" in await refusal(introspection, token)
    assert (await caller_of(introspection, other)).subject == "agent"


async def test_an_active_refresh_token_is_no_access_token(idp: OidcProvider, post: Posting) -> None:
    introspection = asking(idp, post)
    tokens = idp.user_tokens(RESOURCES["opaque"])
    assert "audience" in await refusal(introspection, tokens["refresh_token"])
    assert (await caller_of(introspection, tokens["access_token"])).subject == "alice"


async def test_a_token_for_another_resource_is_refused(idp: OidcProvider, post: Posting) -> None:
    idp.set(resources={"urn:idp:another": "opaque"})
    introspection = asking(idp, post)
    assert "audience" in await refusal(introspection, idp.token("urn:idp:another"))
    assert (await caller_of(introspection, idp.token(RESOURCES["opaque"]))).subject == "agent"


@pytest.mark.parametrize("name", ["rs256", "es256", "ps256", "eddsa"])
async def test_n_07_a_jwt_is_never_sent(idp: OidcProvider, post: Posting, name: str) -> None:
    introspection = asking(idp, post)
    before = asked(idp)
    assert await introspection.authenticate(idp.token(RESOURCES[name]).encode(), WEATHER) is None
    assert asked(idp) == before
    await caller_of(introspection, idp.token(RESOURCES["opaque"]))
    assert asked(idp) == before + 1


@pytest.mark.parametrize(
    "auth",
    [
        Basic(GATEWAY.id, GATEWAY.secret + "x"),
        Post(GATEWAY_POST.id, "another"),
        Basic("gateway-unknown", "secret"),
        signing("ES256", LocalSigner(generate("ES256"), "ES256")),
    ],
    ids=repr,
)
async def test_wrong_credentials_of_our_own_are_503_and_say_so(
    idp: OidcProvider, post: Posting, auth: ClientAuth
) -> None:
    with pytest.raises(CannotTell) as told:
        await asking(idp, post, auth).authenticate(idp.token(RESOURCES["opaque"]).encode(), WEATHER)
    assert "client credentials" in (told.value.detail or "")


async def test_a_client_that_may_not_introspect_learns_nothing(idp: OidcProvider, post: Posting) -> None:
    token = idp.token(RESOURCES["opaque"])
    assert "not active" in await refusal(asking(idp, post, Basic(AGENT.id, AGENT.secret)), token)
    assert (await caller_of(asking(idp, post), token)).subject == "agent"


async def test_n_02_a_provider_that_is_down_is_503_and_comes_back(idp: OidcProvider, post: Posting) -> None:
    clock = Clock()
    introspection = asking(idp, post, clock=clock)
    known, new = idp.token(RESOURCES["opaque"]), idp.token(RESOURCES["opaque"])
    await caller_of(introspection, known)
    for how in ("503", "reset"):
        idp.down(how)  # type: ignore[arg-type]
        with pytest.raises(CannotTell):
            await introspection.authenticate(new.encode(), WEATHER)
        assert (await caller_of(introspection, known)).subject == "agent"
    idp.down("up")
    assert (await caller_of(introspection, new)).subject == "agent"
    idp.down("hang")
    calls = [asyncio.ensure_future(introspection.authenticate(b"made-up-%d" % n, WEATHER)) for n in range(3)]
    assert (await caller_of(introspection, known)).subject == "agent"
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in told} == {CannotTell}
    idp.down("up")


async def test_n_02_a_provider_that_was_stopped_is_503(post: Posting) -> None:
    with OidcProvider() as stopping:
        clock = Clock()
        introspection = asking(stopping, post, clock=clock)
        token = stopping.token(RESOURCES["opaque"])
        await caller_of(introspection, token)
    clock.later = LIMITS.introspection_kept_seconds
    with pytest.raises(CannotTell) as told:
        await introspection.authenticate(token.encode(), WEATHER)
    assert told.value.reason.status == 503
