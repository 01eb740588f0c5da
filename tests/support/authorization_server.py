"""An introspection endpoint on a loopback address, with a menu of faults; every byte that reaches it is kept.

It knows nothing: what it answers is set, or made from the form that came. It runs in the test's own event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from counterseal import httpclient
from counterseal.identity.fetch import Document, FetchFailed

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived. line: method and target. headers: names in lower case. form: the body's fields, in order."""

    line: str
    headers: dict[str, str] = field(repr=False)
    form: list[tuple[str, str]] = field(repr=False)

    def __getitem__(self, name: str) -> str:
        (value,) = (value for key, value in self.form if key == name)
        return value


Answer = dict[str, Any] | list[Any] | str | int | bytes | None


def whole(body: bytes, status: str = "200 OK", media: str = JSON, more: str = "") -> bytes:
    """The bytes of an answer with its length."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


class AuthorizationServer:
    """Set `answer`, `make`, `raw` or `gate` at any time. Use as an async context manager.

    answer: the JSON of every answer; bytes are the body as it is. make: in place of it, makes the answer to a request.
    raw: in place of both, the bytes of the whole answer, after which the connection ends. endless: what follows `raw`, again
    and again.
    """

    def __init__(self, answer: Answer = None) -> None:
        self.answer = answer
        self.make: Callable[[Asked], Answer] | None = None
        self.raw: bytes | None = None
        self.endless: bytes | None = None
        self.seen: list[Asked] = []
        self.bytes = b""
        """Everything that arrived."""
        self.gate = asyncio.Event()
        """While it is clear, requests wait."""
        self.gate.set()
        self.arrived = asyncio.Event()
        self.waiting = 0
        self.most_waiting = 0
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> AuthorizationServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/introspect"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on, and end those that there are."""
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    @property
    def count(self) -> int:
        return len(self.seen)

    async def until(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(60):
            while self.count < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            # Cancelled is how `stop` ends it, and asyncio's streams complain of a handler that ends as cancelled.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.bytes += head + body
        asked = Asked(line.removesuffix(" HTTP/1.1"), headers, parse_qsl(body.decode(), strict_parsing=True))
        self.seen.append(asked)
        self.arrived.set()
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.raw is not None:
            writer.write(self.raw)
            while self.endless is not None:
                writer.write(self.endless)
                await writer.drain()
            return False
        answer = self.make(asked) if self.make is not None else self.answer
        writer.write(whole(answer if isinstance(answer, bytes) else json.dumps(answer).encode()))
        await writer.drain()
        return True


class Posting:
    """Sends forms to loopback addresses over the product's own HTTP client. limit: bytes of the largest answer."""

    def __init__(self, client: httpclient.Client, limit: int = 64 * 1024, seconds: float = 60.0) -> None:
        self._client = client
        self._limit = limit
        self._timeouts = httpclient.Timeouts(connect=seconds, idle=seconds, total=seconds)

    async def __call__(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document:
        usual = (("Content-Type", "application/x-www-form-urlencoded"), ("Accept", JSON))
        try:
            response = await self._client.send(
                "POST", httpclient.Target(url), (*usual, *headers), urlencode(form).encode(), self._timeouts
            )
            try:
                if response.status != 200:
                    raise FetchFailed(f"the answer's status is {response.status}")
                body = b""
                async for chunk in response.chunks():
                    body += chunk
                    if len(body) > self._limit:
                        raise FetchFailed(f"the answer has more than {self._limit} bytes")
                return Document(body, None)
            finally:
                response.abort()
        except httpclient.HttpError as error:
            raise FetchFailed(str(error)) from None
