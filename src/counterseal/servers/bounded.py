"""How many calls to one server may be in flight in a worker: one that hangs does not take the places of the others.

A call counts from when it is sent until its last byte, a stream as long as it is open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from counterseal.core.permit import Permit
from counterseal.core.reply import Reply, Stream
from counterseal.errors import CallError

_RETRY_AFTER = (b"retry-after", b"1")


class Server(Protocol):
    """What is bounded."""

    async def send(self, permit: Permit) -> Reply: ...
    def schema(self, tool: str) -> Any: ...
    def input_schema(self, tool: str) -> bytes | None: ...
    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]: ...
    def healthy(self) -> str | None: ...
    async def close(self) -> None: ...


class Bounded:
    """A server with a ceiling. most: calls in flight. healthy: what else may be wrong with it, besides what it says itself."""

    def __init__(self, server: Server, most: int, healthy: Callable[[], str | None] = lambda: None) -> None:
        self._server = server
        self._most = most
        self._healthy = healthy
        self._in_flight = 0
        self.schema = server.schema
        self.input_schema = server.input_schema
        self.request_headers = server.request_headers
        self.close = server.close

    async def send(self, permit: Permit) -> Reply:
        """As the server's. Raises CallError `server_busy` besides."""
        if self._in_flight >= self._most:
            raise CallError(
                "server_busy", f"{self._in_flight} calls to this server are in flight", headers=(_RETRY_AFTER,)
            )
        self._in_flight += 1
        try:
            reply = await self._server.send(permit)
        except BaseException:
            self._in_flight -= 1
            raise
        if isinstance(reply.body, bytes):
            self._in_flight -= 1
            return reply
        return Reply(reply.status, reply.headers, _Counted(reply.body, self._leave), note=reply.note)

    def healthy(self) -> str | None:
        """What is wrong with it; None where nothing is known."""
        full = f"{self._in_flight} calls are in flight, and no more may be" if self._in_flight >= self._most else None
        return self._healthy() or self._server.healthy() or full

    def _leave(self) -> None:
        self._in_flight -= 1


class _Counted:
    """A stream whose end, however it comes, is counted out once."""

    __slots__ = ("_leave", "_stream")

    def __init__(self, stream: Stream, leave: Callable[[], None]) -> None:
        self._stream = stream
        self._leave: Callable[[], None] | None = leave

    @property
    def is_error(self) -> bool | None:
        return self._stream.is_error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        finally:
            self._end()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._end()

    def _end(self) -> None:
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave()
