"""Strict requests for other people's documents: no redirect, no cookie, no proxy, little time, little size.

Whoever runs an identity provider, or stands between it and us, answers these; so nothing in an answer makes us ask anybody
else, and what is asked is checked, its address too (K-02 to K-04, K-09, K-10, K-17; `egress.py`). What we send may
be a credential: nothing of it is in any message.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import urlencode

from counterseal import httpclient
from counterseal.core.limits import Limits
from counterseal.identity.egress import Egress

_ACCEPT: Final = "application/json"
_GET: Final = (("Accept", f"{_ACCEPT}, application/jwk-set+json"),)
_POST: Final = (("Accept", _ACCEPT), ("Content-Type", "application/x-www-form-urlencoded"))
_ALWAYS: Final = (("Accept-Encoding", "identity"), ("User-Agent", "counterseal"))
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]+)\"?(?=[\s,]|$)")
_NO_LIFE: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?=[\s,]|$)")
_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


class FetchFailed(Exception):
    """The document cannot be had, or is none that may be used. The text says why, for the record."""


@dataclass(frozen=True, slots=True)
class Document:
    """body: decoded. max_age: seconds of its Cache-Control; None where there is none that can be read. date: what the clock of
    whoever answered said, in seconds since the epoch, cut to the second; None where the answer does not tell."""

    body: bytes
    max_age: int | None
    date: float | None = None


class Fetch(Protocol):
    """Gets one document. Raises FetchFailed."""

    async def __call__(self, url: str) -> Document: ...


class Post(Protocol):
    """Sends a form and gets one JSON document. headers: beside what every such request has. Raises FetchFailed."""

    async def post(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document: ...


class HttpFetch:
    """Both protocols over counterseal.httpclient, for one issuer.

    egress: where its requests may go. limit: bytes of the largest document. tls: how its servers prove who they are; None for
    the machine's certificate authorities.
    """

    def __init__(self, egress: Egress, limits: Limits, limit: int, tls: ssl.SSLContext | None = None) -> None:
        self._egress = egress
        self._client = httpclient.Client(tls, egress.addresses)
        self._limit = limit
        self._timeouts = httpclient.Timeouts(
            connect=limits.fetch_connect_seconds, idle=limits.fetch_seconds, total=limits.fetch_seconds
        )

    async def __call__(self, url: str) -> Document:
        return await self._exchange("GET", url, _GET, None)

    async def post(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document:
        return await self._exchange("POST", url, (*_POST, *headers), form)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _exchange(
        self, verb: str, url: str, headers: Sequence[tuple[str, str]], form: Sequence[tuple[str, str]] | None
    ) -> Document:
        try:
            async with asyncio.timeout(self._timeouts.total):
                target = self._egress.target(url)
                body = None if form is None else urlencode(form).encode("ascii")
                response = await self._client.send(verb, target, (*headers, *_ALWAYS), body, self._timeouts)
                try:
                    return await self._read(response, json_only=form is not None)
                finally:
                    response.abort()
        except httpclient.HttpError as error:
            raise FetchFailed(str(error)) from None
        except TimeoutError:
            raise FetchFailed("no end in time") from None
        except ValueError:  # its text may quote what it is about
            raise FetchFailed("the form or a header has a character that cannot be sent") from None

    async def _read(self, response: httpclient.Response, *, json_only: bool) -> Document:
        if 300 <= response.status < 400 and response.status != 304:
            raise FetchFailed(
                f"the answer's status is {response.status}: a redirect, which is never followed; configure the address itself"
            )
        if response.status != 200:
            raise FetchFailed(f"the answer's status is {response.status}")
        if any(value.lower() != b"identity" for value in _all(response, b"content-encoding")):
            raise FetchFailed("the answer has a content coding")
        types = _all(response, b"content-type")
        if json_only and [value.partition(b";")[0].strip().lower() for value in types] != [_ACCEPT.encode()]:
            raise FetchFailed(f"the answer is not {_ACCEPT}")
        body = bytearray()
        async for chunk in response.chunks():
            body += chunk
            if len(body) > self._limit:
                raise FetchFailed(f"the answer has more than {self._limit} bytes")
        return Document(bytes(body), _max_age(_all(response, b"cache-control")), _date(response))


def why(error: Exception) -> str:
    """What failed, in words that hold nothing of the request."""
    if isinstance(error, TimeoutError):
        return "no end in time"
    return str(error) if isinstance(error, FetchFailed) else type(error).__name__


def _all(response: httpclient.Response, wanted: bytes) -> list[bytes]:
    return [value for name, value in response.headers if name == wanted]


def _max_age(cache_control: Sequence[bytes]) -> int | None:
    """The life of a document (RFC 9111 section 5.2.2): 0 for what is not to be kept, None for what is absent, doubled or not a
    number."""
    directives = b",".join(cache_control).decode("latin-1").lower()
    if _NO_LIFE.search(directives):
        return 0
    found = _MAX_AGE.findall(directives)
    return int(found[0].lstrip("0")[:10] or "0") if len(found) == 1 else None


def _date(response: httpclient.Response) -> float | None:
    """When the answer was made (RFC 9110 section 6.6.1). What a cache kept says of no clock what it is now."""
    dates = _all(response, b"date")
    match = _DATE.fullmatch(dates[0]) if len(dates) == 1 and not _all(response, b"age") else None
    if match is None or match[2] not in _MONTHS:
        return None
    month = _MONTHS.index(match[2]) + 1
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
