"""One strict GET for other people's documents: no redirect, no cookie, no proxy, little time, little size.

Whoever runs an identity provider, or stands between it and us, answers these; so nothing in an answer makes us ask anybody
else (threats.md K-02 to K-04, K-09, K-10).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final, Protocol

from counterseal import httpclient
from counterseal.core.limits import Limits

_HEADERS: Final = (
    ("Accept", "application/json, application/jwk-set+json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "counterseal"),
)


class FetchFailed(Exception):
    """The document cannot be had. The text says why, for the record."""


@dataclass(frozen=True, slots=True)
class Document:
    """body: decoded. max_age: seconds of its Cache-Control; None where there is none that can be read."""

    body: bytes
    max_age: int | None


class Fetch(Protocol):
    """Gets one document. Raises FetchFailed."""

    async def __call__(self, url: str) -> Document: ...


class HttpFetch:
    """The protocol over counterseal.httpclient. limit: bytes of the largest document."""

    def __init__(self, client: httpclient.Client, limits: Limits, limit: int) -> None:
        self._client = client
        self._limit = limit
        self._timeouts = httpclient.Timeouts(
            connect=limits.fetch_connect_seconds, idle=limits.fetch_seconds, total=limits.fetch_seconds
        )

    async def __call__(self, url: str) -> Document:
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await self._client.send("GET", httpclient.Target(url), _HEADERS, None, self._timeouts)
                try:
                    return await self._read(response)
                finally:
                    response.abort()
        except httpclient.HttpError as error:
            raise FetchFailed(str(error)) from None
        except TimeoutError:
            raise FetchFailed("no end in time") from None

    async def _read(self, response: httpclient.Response) -> Document:
        if response.status != 200:
            raise FetchFailed(f"the answer's status is {response.status}")
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers):
            raise FetchFailed("the answer has a content coding")
        body = bytearray()
        async for chunk in response.chunks():
            body += chunk
            if len(body) > self._limit:
                raise FetchFailed(f"the answer has more than {self._limit} bytes")
        life = [value.decode("latin-1") for name, value in response.headers if name == b"cache-control"]
        return Document(bytes(body), _max_age(life))


def _max_age(values: list[str]) -> int | None:
    """The life of a document (RFC 9111 section 5.2.2.1); None for what is absent, doubled or not a number."""
    found = re.findall(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\"?(?=[\s,]|$)", ",".join(values).lower())
    return int(found[0]) if len(found) == 1 else None
