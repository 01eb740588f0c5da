"""HTTP to servers, behind a port of ours so that the library can change: send, read or stream, abort.

No redirect is followed, no cookie kept, no proxy taken from the environment, nothing decompressed and nothing retried. A
connection goes back to the pool only after a whole answer was read from it; after any doubt it is closed, so that no answer
can meet another caller's request (threats.md H-12).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

from counterseal.core.limits import Limits
from counterseal.errors import ServerError


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. url: prepared once for each server. listens_seconds: a stream that may be quiet, and for how long at most;
    None for a call, which has the limits of a call."""

    verb: str
    url: URL
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    listens_seconds: float | None


class Response(Protocol):
    """A server's answer from its headers on. Every path ends in `read`, the end of `chunks`, or `abort`."""

    @property
    def status(self) -> int: ...

    def header(self, name: str) -> str | None:
        """A header's only value; None where it is absent. Raises ServerError where it was sent twice."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises ServerError `server_answer_too_large`, `server_timeout`, `server_unreachable`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ServerError as `read` does."""
        ...

    def abort(self) -> None:
        """Close the connection now. May be called at any time, also after the end."""
        ...


class Http(Protocol):
    """The port."""

    async def send(self, request: Request) -> Response:
        """Raises ServerError `server_unreachable` or `server_timeout`."""
        ...

    async def close(self) -> None: ...


class AiohttpClient:
    """The port over aiohttp: one pool for the life of the process."""

    def __init__(self, limits: Limits) -> None:
        self._call = aiohttp.ClientTimeout(
            total=limits.server_total_seconds,
            sock_connect=limits.server_connect_seconds,
            sock_read=limits.server_idle_seconds,
        )
        self._connect_seconds = limits.server_connect_seconds
        self._session = aiohttp.ClientSession(
            # Below the five seconds after which common servers close an idle connection: a call is never retried, so it
            # must not meet a connection that is about to close.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=64 * 1024,
        )

    async def send(self, request: Request) -> AiohttpResponse:
        timeout = self._call
        if request.listens_seconds is not None:
            timeout = aiohttp.ClientTimeout(total=request.listens_seconds, sock_connect=self._connect_seconds)
        try:
            response = await self._session.request(
                request.verb,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=timeout,
            )
        except TimeoutError as error:
            raise ServerError("server_timeout", "the server did not answer in time", detail=_say(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerError("server_unreachable", "the server cannot be reached", detail=_say(error)) from None
        return AiohttpResponse(response)

    async def close(self) -> None:
        await self._session.close()


class AiohttpResponse:
    """One answer of aiohttp."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    def header(self, name: str) -> str | None:
        values = self._response.headers.getall(name, ())
        if len(values) > 1:
            self.abort()
            raise ServerError("server_answer_invalid", "the server's answer is not valid", detail=f"two {name} headers")
        return values[0] if values else None

    async def read(self, limit: int) -> bytes:
        parts = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self.abort()
                raise ServerError(
                    "server_answer_too_large", "the server's answer is too large", detail=f"more than {limit} bytes"
                )
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except TimeoutError as error:
            raise ServerError("server_timeout", "the server stopped sending", detail=_say(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerError("server_unreachable", "the server broke its answer off", detail=_say(error)) from None
        finally:
            if not content.at_eof() or content.exception() is not None:
                self._response.close()

    def abort(self) -> None:
        self._response.close()


def _say(error: BaseException) -> str:
    """What happened, for the record: the library's words hold an address at most, never a header."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = getattr(cause, "strerror", None) or ("timeout" if isinstance(error, asyncio.TimeoutError) else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
