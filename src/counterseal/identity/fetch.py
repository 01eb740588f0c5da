"""One strict GET for other people's documents: no redirect, no cookie, no proxy, little time, little size.

Whoever runs an identity provider, or stands between it and us, answers these; so nothing in an answer makes us ask anybody
else (threats.md K-02 to K-04, K-09, K-10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from counterseal.core.limits import Limits


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
    """The protocol over aiohttp. limit: bytes of the largest document."""

    def __init__(self, limits: Limits, limit: int) -> None:
        self._limit = limit
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=limits.fetch_seconds, sock_connect=limits.fetch_connect_seconds, sock_read=limits.fetch_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(force_close=True),
            auto_decompress=False,
            trust_env=False,
        )

    async def __call__(self, url: str) -> Document:
        headers = {"accept": "application/json, application/jwk-set+json", "accept-encoding": "identity"}
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise FetchFailed(f"the answer's status is {response.status}")
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise FetchFailed("the answer has a content coding")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > self._limit:
                        raise FetchFailed(f"the answer has more than {self._limit} bytes")
                return Document(bytes(body), _max_age(response.headers.getall("cache-control", [])))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise FetchFailed(f"{type(error).__name__} while fetching") from None

    async def close(self) -> None:
        await self._session.close()


def _max_age(values: list[str]) -> int | None:
    """The life of a document (RFC 9111 section 5.2.2.1); None for what is absent, doubled or not a number."""
    found = re.findall(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\"?(?=[\s,]|$)", ",".join(values).lower())
    return int(found[0]) if len(found) == 1 else None
