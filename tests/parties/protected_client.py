"""The official Python client, for the conformance suite's scenarios, at a gateway in the place of the suite's own server.

    python -m tests.parties.protected_client [--needs SCOPE,...] [--granted SCOPE,...] URL

URL is the suite's MCP server, of which nothing is used but the address of the suite's authorization server. A gateway is started
that believes that one and asks tokens for the scopes of `--needs`; the client gets the address of the gateway and makes one call.
The suite's tokens are opaque and nobody can be asked about them, so an introspection endpoint stands here that knows them all:
they have the scopes of `--granted`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.support.gateway import running_gateway
from tests.support.jwks_server import JwksServer
from tests.support.process import free_port
from tests.support.servers import Recorded, RecordingServer

CALLBACK: Final = "http://127.0.0.1:1/callback"


async def tools(_: Recorded) -> dict[str, Any]:
    """A result for everything that the client asks."""
    return {"resultType": "complete", "content": [], "tools": [], "ttlMs": 0, "cacheScope": "private"}


class Kept:
    """What a client keeps: nothing that outlives it."""

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


class Browser:
    """Goes where the client says, and comes back: the suite's authorization endpoint asks nobody anything."""

    def __init__(self) -> None:
        self._back: dict[str, list[str]] = {}

    async def open(self, url: str) -> None:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as browser:
            answer = await browser.get(url)
        self._back = parse_qs(urlsplit(answer.headers["location"]).query)

    async def answer(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**{name: self._back[name][0] for name in ("code", "state", "iss")})


def authorization_server(url: str) -> str:
    """Which one the suite has put up for the scenario."""
    parts = urlsplit(url)
    document = httpx2.get(
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}", timeout=60, trust_env=False
    )
    server: str = document.json()["authorization_servers"][0]
    return server


@asynccontextmanager
async def protected(issuer: str, needs: Sequence[str], granted: Sequence[str]) -> AsyncIterator[str]:
    """The address of a server behind a gateway that believes this issuer."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/mcp/tools"
    known = {"active": True, "aud": address, "client_id": "suite", "scope": " ".join(granted), "token_type": "Bearer"}
    with tempfile.TemporaryDirectory() as place, JwksServer(known) as introspection:
        introspection.headers = {"Content-Type": "application/json"}
        folder = Path(place)
        (folder / "secret").write_text("of-the-gateway")
        entry = {
            "name": "suite",
            "issuer": issuer,
            "allow_insecure_loopback": True,
            "required_scopes": list(needs),
            "introspection": {
                "endpoint": f"{introspection.origin}/introspect",
                "client_id": "gateway",
                "client_secret": f"file:{folder / 'secret'}",
            },
        }
        settings = {"callers": {"api_keys": False, "issuers": [entry]}, "keys": {"algorithms": ["ES256"]}}
        async with (
            RecordingServer(tools) as server,
            running_gateway(folder, {"tools": {"url": server.url}}, port=port, **settings),
        ):
            yield address


def prover(address: str, issuer: str, context: Mapping[str, Any]) -> httpx2.Auth:
    """How a client gets its tokens that was given this by the scenario."""
    if "private_key_pem" in context:
        signing = SignedJWTParameters(
            issuer=context["client_id"],
            subject=context["client_id"],
            signing_algorithm=context["signing_algorithm"],
            signing_key=context["private_key_pem"],
        )
        assertion = signing.create_assertion_provider()
        return PrivateKeyJWTOAuthProvider(address, Kept(), context["client_id"], assertion, issuer=issuer)
    if "client_secret" in context:
        return ClientCredentialsOAuthProvider(
            address, Kept(), context["client_id"], context["client_secret"], issuer=issuer
        )
    browser = Browser()
    metadata = OAuthClientMetadata(client_name="counterseal-tests", redirect_uris=[CALLBACK])
    return OAuthClientProvider(address, metadata, Kept(), browser.open, browser.answer)


async def visit(url: str, needs: Sequence[str], granted: Sequence[str]) -> None:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    issuer = authorization_server(url)
    async with protected(issuer, needs, granted) as address:
        auth = prover(address, issuer, context)
        async with (
            httpx2.AsyncClient(auth=auth, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(address, http_client=http), mode="2026-07-28") as client,
        ):
            await client.call_tool("get_weather", {"city": "Oslo"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    for name in ("--needs", "--granted"):
        parser.add_argument(name, default="")
    chosen = parser.parse_args()
    needs, granted = ([scope for scope in text.split(",") if scope] for text in (chosen.needs, chosen.granted))
    asyncio.run(visit(chosen.url, needs, granted))


if __name__ == "__main__":
    main()
