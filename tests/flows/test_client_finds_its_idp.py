"""The official clients start with a gateway's address and nothing else about it, and end with a call that the server verified.

From the gateway's 401 they learn where its metadata is, from there which identity provider it believes, and from that one's own
metadata how to get a token for this address: a person's client registers itself, an agent has credentials of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider, OAuthTokenError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.support.calls import REVISION
from tests.support.oidc_provider import AGENT, CALLBACK, SCOPE, OidcProvider
from tests.support.parties import FOLDER, node_command
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("python-client", "oidc-provider", "fastmcp", "pyjwt")]

SCOPES: Final = SCOPE.split()


@pytest.fixture(scope="module")
def idp() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, idp: OidcProvider) -> Iterator[Trusting]:
    entry = idp.configuration(algorithms=["ES256"], required_scopes=SCOPES)
    with Trusting(tmp_path_factory.mktemp("trusting"), [entry]) as running:
        idp.set(resources={running.resource: "ES256"})
        running.secrets.add(AGENT.secret)
        yield running


@dataclass
class Kept:
    """What a client keeps between two runs."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    @property
    def access_token(self) -> str:
        assert self.tokens is not None
        return self.tokens.access_token


@dataclass
class Person:
    """Somebody with a browser, who goes where a client sends them, signs in and agrees. asked: the query of each time."""

    idp: OidcProvider
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    back: str = ""

    @property
    def code(self) -> str:
        return parse_qs(urlsplit(self.back).query)["code"][0]

    async def open(self, url: str) -> None:
        self.asked.append(parse_qs(urlsplit(url).query))
        self.back = await asyncio.to_thread(self.idp.sign_in, url)

    async def answer(self) -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(self.back).query)
        return AuthorizationCodeResult(code=self.code, state=query["state"][0], iss=query["iss"][0])


@dataclass
class Visit:
    """One client, connected. exchanges: what it asked whom, and the status of each answer."""

    client: Client
    exchanges: list[tuple[str, str, int]]

    async def whoami(self) -> dict[str, Any]:
        called = await self.client.call_tool("whoami", {})
        assert called.structured_content is not None
        return called.structured_content


@asynccontextmanager
async def visiting(address: str, auth: httpx2.Auth, mode: str = REVISION) -> AsyncIterator[Visit]:
    exchanges: list[tuple[str, str, int]] = []

    async def note(answer: httpx2.Response) -> None:
        exchanges.append((answer.request.method, str(answer.request.url).partition("?")[0], answer.status_code))

    async with (
        httpx2.AsyncClient(auth=auth, timeout=60, trust_env=False, event_hooks={"response": [note]}) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as client,
    ):
        yield Visit(client, exchanges)


def of_a_person(trusting: Trusting, person: Person, kept: Kept) -> OAuthClientProvider:
    metadata = OAuthClientMetadata(client_name="an IDE", redirect_uris=[CALLBACK])
    return OAuthClientProvider(trusting.resource, metadata, kept, person.open, person.answer)


def of_an_agent(trusting: Trusting, idp: OidcProvider, kept: Kept, secret: str) -> ClientCredentialsOAuthProvider:
    return ClientCredentialsOAuthProvider(trusting.resource, kept, AGENT.id, secret, issuer=idp.issuer)


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_a_persons_client_registers_itself_and_calls(idp: OidcProvider, trusting: Trusting, mode: str) -> None:
    person, kept = Person(idp), Kept()
    async with visiting(trusting.resource, of_a_person(trusting, person, kept), mode) as visit:
        claims = await visit.whoami()
    trusting.secrets |= {kept.access_token, person.code}
    assert kept.client is not None
    assert (claims["sub"], claims["client_id"]) == ("alice", kept.client.client_id)
    (asked,) = person.asked
    assert asked["resource"] == [trusting.resource]
    assert set(SCOPES) <= set(asked["scope"][0].split())
    assert asked["code_challenge_method"] == ["S256"]
    token = jwt.decode(kept.access_token, options={"verify_signature": False})
    assert (token["aud"], token["iss"]) == (trusting.resource, idp.issuer)
    found = f"{trusting.gateway.url}/.well-known/oauth-protected-resource/mcp/whoami"
    assert visit.exchanges[:2] == [("POST", trusting.resource, 401), ("GET", found, 200)]
    assert ("POST", f"{idp.address}/reg", 201) in visit.exchanges
    assert [status for _, address, status in visit.exchanges if address == trusting.resource][1:].count(401) == 0


async def test_an_agent_gets_a_token_with_credentials_of_its_own_and_calls(
    idp: OidcProvider, trusting: Trusting
) -> None:
    kept = Kept()
    async with visiting(trusting.resource, of_an_agent(trusting, idp, kept, AGENT.secret)) as visit:
        claims = await visit.whoami()
    trusting.secrets.add(kept.access_token)
    assert (claims["sub"], claims["client_id"]) == ("agent", "agent")
    token = jwt.decode(kept.access_token, options={"verify_signature": False})
    assert (token["aud"], token["scope"].split()) == (trusting.resource, SCOPES)


async def test_an_agent_with_a_wrong_secret_gets_no_token_and_calls_nobody(
    idp: OidcProvider, trusting: Trusting
) -> None:
    before = len(await asyncio.to_thread(trusting.server.seen))
    with pytest.RaisesGroup(OAuthTokenError, flatten_subgroups=True, allow_unwrapped=True):
        async with visiting(trusting.resource, of_an_agent(trusting, idp, Kept(), "wrong")) as visit:
            await visit.whoami()
    assert len(await asyncio.to_thread(trusting.server.seen)) == before


async def test_a_client_whose_token_says_too_little_asks_for_all_that_is_needed(
    idp: OidcProvider, trusting: Trusting
) -> None:
    """Its token is from a time when less was needed. It gets 403, asks for the union (SEP-2350), and goes on."""
    token = await asyncio.to_thread(idp.user_tokens, trusting.resource, scope="mcp:list")
    trusting.secrets.add(token["access_token"])
    client = OAuthClientInformationFull(client_id="ide", redirect_uris=[CALLBACK], token_endpoint_auth_method="none")
    person, kept = Person(idp), Kept(OAuthToken(access_token=token["access_token"], scope="mcp:list"), client)
    async with visiting(trusting.resource, of_a_person(trusting, person, kept)) as visit:
        claims = await visit.whoami()
    trusting.secrets.add(kept.access_token)
    assert visit.exchanges[0] == ("POST", trusting.resource, 403)
    (asked,) = person.asked
    assert set(SCOPES) <= set(asked["scope"][0].split())
    assert (claims["sub"], claims["client_id"]) == ("alice", "ide")
    (entry,) = (one for one in trusting.refusals().values() if one["reason"] == "insufficient_scope")
    assert entry["caller"]["subject"] == "alice"


@pytest.mark.party("typescript-client")
def test_an_agent_in_typescript_finds_its_way_too(idp: OidcProvider, trusting: Trusting) -> None:
    command = node_command(FOLDER / "typescript_agent.mjs", trusting.resource, AGENT.id, AGENT.secret, idp.issuer)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(done.stdout)
    assert "error" not in told
    trusting.secrets.add(told["token"])
    assert (told["claims"]["sub"], told["claims"]["client_id"]) == ("agent", "agent")
    assert jwt.decode(told["token"], options={"verify_signature": False})["aud"] == trusting.resource
