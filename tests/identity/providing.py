"""An identity provider for tests of what we know about one: it answers fetches without a network, and counts them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from counterseal.core.limits import LIMITS, Limits
from counterseal.identity.fetch import Document, Fetch, FetchFailed
from counterseal.identity.provider import Provider
from counterseal.jose import strict
from counterseal.jose.strict import Unverified
from tests.support.tokens import FixedClock, access_claims, jwk, jwks, private_key, token

ISSUER = "https://idp.example.com"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
KEYS = f"{ISSUER}/keys"
GOOD = jwks("ES256")
DOWN = FetchFailed("no connection")


def of_kid(kid: str, **claims: Any) -> Unverified:
    """A token that says it was signed by the key of this id."""
    return strict.read(token(access_claims(**claims), header={"kid": kid}), LIMITS)


KNOWN = of_kid("ES256")
UNKNOWN = of_kid("made-up")


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """For `asyncio.start_server`: holds a connection, without a word, for as long as the other end does."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


def one_key(kid: str, which: str = "") -> dict[str, Any]:
    """A key set of one ES256 key. which: another key for the same kid."""
    return jwk(private_key("ES256", which), kid=kid, alg="ES256", use="sig")


def keys(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(entries)}


class Idp:
    """Documents by their address: a value for JSON, bytes as they are, an exception to fail with. A closed gate: it hangs."""

    def __init__(self, document: Any = GOOD, **discovery: Any) -> None:
        self.documents: dict[str, Any] = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": KEYS, **discovery},
            KEYS: document,
        }
        self.max_age: dict[str, int] = {}
        self.asked: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, url: str) -> Document:
        self.asked.append(url)
        if url in self.gates:
            await self.gates[url].wait()
        document = self.documents.get(url, FetchFailed("the answer's status is 404"))
        if isinstance(document, Exception):
            raise document
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return Document(body, self.max_age.get(url))

    def hang(self, url: str) -> asyncio.Event:
        """From now on. Returns what ends it."""
        self.gates[url] = asyncio.Event()
        return self.gates[url]

    def count(self, url: str = KEYS) -> int:
        return self.asked.count(url)


def by_keys(idp: Fetch, clock: FixedClock, *, limits: Limits = LIMITS, name: str = "corp", url: str = KEYS) -> Provider:
    """A provider whose keys' address is configured."""
    return Provider(
        name,
        issuer=ISSUER,
        discovery_uri=None,
        jwks_uri=url,
        jwks_hosts=(),
        fetch=idp,
        clock=clock,
        limits=limits,
    )


def by_discovery(
    idp: Fetch, clock: FixedClock, *, hosts: tuple[str, ...] = (), limits: Limits = LIMITS, url: str = DISCOVERY
) -> Provider:
    """A provider whose keys' address is in its discovery document."""
    return Provider(
        "corp",
        issuer=ISSUER,
        discovery_uri=url,
        jwks_uri=None,
        jwks_hosts=hosts,
        fetch=idp,
        clock=clock,
        limits=limits,
    )


async def settled() -> None:
    """Until what was started in the background has run: nothing waits for anything but the loop."""
    for _ in range(8):
        await asyncio.sleep(0)
