"""`/mcp/{server}`: bytes in, the pipeline, bytes out. The hot path.

What needs a socket happens here: the address exactly as it was sent (no second decoding, so no second meaning), Host and
Origin against DNS rebinding, the body's ceilings before it is kept, and a caller who leaves ends the call.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from counterseal.core.call import Inbound
from counterseal.core.limits import Limits
from counterseal.core.reply import Headers, Reply, Stream
from counterseal.errors import BadCall, CallError
from counterseal.gateway.batch import Handler
from counterseal.web.cors import Cors, answer_preflight
from counterseal.web.hosts import Hosts
from counterseal.web.protocol import LEFT
from counterseal.wire import jsonrpc
from counterseal.wire.eventstream import Event

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

_PATH: Final = re.compile(rb"/mcp(?:/([A-Za-z0-9][A-Za-z0-9_-]{0,63}))?")
_RETRY_AFTER: Final = (b"retry-after", b"2")


class CallerLeft(Exception):
    """The connection ended before the answer did."""


class McpEndpoint:
    """The ASGI callable for every address that begins with `/mcp`."""

    def __init__(self, pipeline: Handler, hosts: Hosts, cors: Cors, limits: Limits) -> None:
        self._pipeline = pipeline
        self._hosts = hosts
        self._cors = cors
        self._limits = limits
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._calls += 1
        try:
            head = _head(scope)
            if head.all(b"origin"):
                send = self._cors.readable(head, send)
            await self._serve(head, scope, receive, send)
        except CallError as error:
            await _refuse(error, send)
        except CallerLeft:
            return
        finally:
            self._calls -= 1

    async def _serve(self, head: Inbound, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            inbound = await self._inbound(head, scope, receive)
        except CallError as error:
            # Nobody reads the rest of its body, so nothing may follow on this connection (threats.md H-07).
            error.headers += ((b"connection", b"close"),)
            raise
        if inbound is None:
            await answer_preflight(head, send)
            return
        task = asyncio.current_task()
        assert task is not None
        watch = _Watch(task)
        watch.start(scope, receive)
        try:
            await _answer(await self._pipeline.handle(inbound), send)
        except asyncio.CancelledError:
            if watch.left:
                task.uncancel()
                raise CallerLeft from None
            raise
        finally:
            watch.stop()

    async def _inbound(self, inbound: Inbound, scope: Scope, receive: Receive) -> Inbound | None:
        """The request, whole; None for a preflight. Raises CallError for one that is refused before its caller is asked for."""
        try:
            if self._calls > self._limits.calls_per_worker:
                raise CallError("overloaded", "the gateway carries as many calls as it may")
            if not inbound.server and scope["raw_path"] != b"/mcp":
                raise BadCall("server_unknown", "there is no such address: servers are at /mcp/{server}")
            self._hosts.check(inbound, scope)
            if inbound.verb not in ("POST", "GET", "DELETE"):
                if self._cors.is_preflight(inbound):
                    return None
                allow = ((b"allow", b"POST, GET, DELETE"),)
                raise BadCall("http_method_refused", f"{inbound.verb} is not served here", headers=allow)
            body = await self._body(inbound, scope, receive)
        except CallError as error:
            await self._pipeline.refuse(inbound, error)
        return inbound.with_body(body) if body else inbound

    async def _body(self, inbound: Inbound, scope: Scope, receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        declared = inbound.all(b"content-length")
        if declared and int(declared[0]) > limit:  # the HTTP parser took digits only, and one of them
            raise BadCall("too_large", f"the body has more than {limit} bytes")
        extension = scope.get("extensions", {}).get(LEFT)
        if extension is not None and extension["arrived"]():
            return await _collect(receive, limit)
        # Nobody's bytes are kept before it is known whose they are.
        await self._pipeline.identify(inbound)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await _collect(receive, limit)
        except TimeoutError:
            raise BadCall("invalid_request", "the body did not arrive in time") from None


def _head(scope: Scope) -> Inbound:
    """The request without its body. server: empty for `/mcp` and for what is no address at all."""
    path = _PATH.fullmatch(scope["raw_path"])
    server = (path[1] or b"").decode() if path is not None else ""
    peer = scope["client"][0] if scope.get("client") else ""
    return Inbound(scope["method"], server, tuple(scope["headers"]), b"", peer)


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BadCall("too_large", f"the body has more than {limit} bytes")
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)


class _Watch:
    """Ends the call when the caller's connection ends: a disconnect is a cancellation (mcp.md 1.1).

    Our own protocol says so by a callback; under another server a task waits for ASGI's message.
    """

    __slots__ = ("_call", "_task", "_when_left", "left")

    def __init__(self, call: asyncio.Task[Any]) -> None:
        self._call = call
        self._task: asyncio.Task[None] | None = None
        self._when_left: Callable[[Callable[[], object] | None], None] | None = None
        self.left = False

    def start(self, scope: Scope, receive: Receive) -> None:
        extension = scope.get("extensions", {}).get(LEFT)
        if extension is not None:
            self._when_left = extension["when_left"]
            self._when_left(self._end)
        else:
            self._task = asyncio.get_running_loop().create_task(self._wait(receive))

    def stop(self) -> None:
        if self._when_left is not None:
            self._when_left(None)
        if self._task is not None:
            self._task.cancel()

    def _end(self) -> None:
        self.left = True
        self._call.cancel()

    async def _wait(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end()


async def _answer(reply: Reply, send: Send) -> None:
    body = reply.body
    if isinstance(body, bytes):
        await _whole(reply.status, reply.headers, body, send)
    else:
        await _stream(reply.status, reply.headers, body, send)


async def _whole(status: int, headers: Headers, body: bytes, send: Send) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _stream(status: int, headers: Headers, body: Stream, send: Send) -> None:
    try:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        try:
            async for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except CallError as error:
            # The status is gone; the request still gets its answer, as the last event.
            message = jsonrpc.write(jsonrpc.error_message(error, error.record or ""))
            await send({"type": "http.response.body", "body": Event(message).write(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await body.aclose()


async def _refuse(error: CallError, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), *error.headers]
    if error.reason.status in (429, 503):
        headers.append(_RETRY_AFTER)
    await _whole(
        error.reason.status, tuple(headers), jsonrpc.write(jsonrpc.error_message(error, error.record or "")), send
    )
