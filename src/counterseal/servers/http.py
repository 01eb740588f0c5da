"""HTTP to servers: the client of this package, with the ceilings for servers and its failures as errors of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, Protocol

from counterseal import httpclient
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.value import Value
from counterseal.errors import ServerError


class Request(Value, frozen=True):
    """What is sent. target: prepared once for each server. listens_seconds: a stream that may be quiet, and for how long at
    most; None for a call, which has the limits of a call. caller: whose call it is; None for what nobody asked for. owner: whose
    connection it goes by, which no other owner's requests go by; None where the answer says itself what it answers."""

    UNSHOWN: ClassVar = frozenset({"headers", "body", "caller", "owner"})

    verb: str
    target: httpclient.Target
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    listens_seconds: float | None
    caller: Caller | None = None
    owner: bytes | None = None


class Response(Protocol):
    """A server's answer from its headers on. Every path ends in `read`, the end of `chunks`, or `abort`."""

    @property
    def status(self) -> int: ...

    def header(self, name: bytes) -> str | None:
        """A header's only value; None where it is absent. name: in lower case. Raises ServerError where it was sent twice."""
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
    """The port, so that the client can change; tests/contracts/http.py holds one to it."""

    async def send(self, request: Request) -> Response:
        """Raises ServerError `server_unreachable` or `server_timeout`."""
        ...


class ServerHttp:
    """The port over counterseal.httpclient."""

    def __init__(self, client: httpclient.Client, limits: Limits) -> None:
        self._client = client
        self._limits = limits
        self._call = httpclient.Timeouts(
            connect=limits.server_connect_seconds, idle=limits.server_idle_seconds, total=limits.server_total_seconds
        )

    async def send(self, request: Request) -> ServerResponse:
        timeouts = self._call
        if request.listens_seconds is not None:
            timeouts = httpclient.Timeouts(self._limits.server_connect_seconds, None, request.listens_seconds)
        try:
            response = await self._client.send(
                request.verb, request.target, request.headers, request.body, timeouts, request.owner
            )
        except httpclient.HttpError as error:
            raise _failure(error) from None
        return ServerResponse(response)


class ServerResponse:
    """One answer."""

    __slots__ = ("_response", "status")

    def __init__(self, response: httpclient.Response) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: bytes) -> str | None:
        found = None
        for key, value in self._response.headers:
            if key != name:
                continue
            if found is not None:
                self.abort()
                raise ServerError(
                    "server_answer_invalid", "the server's answer is not valid", detail=f"two {name.decode()} headers"
                )
            found = value
        return None if found is None else found.decode("latin-1")

    async def read(self, limit: int) -> bytes:
        parts = []
        size = 0
        try:
            while (chunk := await self._response.next_chunk()) is not None:
                size += len(chunk)
                if size > limit:
                    raise ServerError(
                        "server_answer_too_large", "the server's answer is too large", detail=f"more than {limit} bytes"
                    )
                parts.append(chunk)
        except httpclient.HttpError as error:
            raise _failure(error) from None
        finally:
            self.abort()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.chunks():
                yield chunk
        except httpclient.HttpError as error:
            raise _failure(error) from None

    def abort(self) -> None:
        self._response.abort()


def _failure(error: httpclient.HttpError) -> ServerError:
    if isinstance(error, httpclient.HttpTimeout):
        return ServerError("server_timeout", "the server did not answer in time", detail=str(error))
    return ServerError("server_unreachable", "the server cannot be reached, or broke its answer off", detail=str(error))
