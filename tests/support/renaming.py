"""A proxy that takes the names of one server to those of all servers and back, for a client whose names are fixed.

It stands before a gateway's `/mcp` with one server behind it. What a client sends is renamed in the JSON, and in `Mcp-Name`; what
comes back is renamed as text, line by line, because these names have a form that nothing else has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web

_DROPPED: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive"})


def renamed(message: Any, server: str) -> Any:
    """A request with the names that its things have among all servers."""
    if not isinstance(message, dict) or not isinstance(message.get("params"), dict):
        return message
    method, params = message.get("method"), dict(message["params"])
    if method in ("tools/call", "prompts/get") and isinstance(params.get("name"), str):
        params["name"] = f"{server}__{params['name']}"
    if method in ("resources/read", "resources/subscribe", "resources/unsubscribe") and isinstance(
        params.get("uri"), str
    ):
        params["uri"] = f"counterseal:{server}/{params['uri']}"
    if method == "completion/complete" and isinstance(params.get("ref"), dict):
        reference = dict(params["ref"])
        if isinstance(reference.get("name"), str):
            reference["name"] = f"{server}__{reference['name']}"
        if isinstance(reference.get("uri"), str):
            reference["uri"] = f"counterseal:{server}/{reference['uri']}"
        params["ref"] = reference
    if method == "subscriptions/listen" and isinstance(params.get("notifications"), dict):
        wanted = dict(params["notifications"])
        if isinstance(wanted.get("resourceSubscriptions"), list):
            wanted["resourceSubscriptions"] = [f"counterseal:{server}/{uri}" for uri in wanted["resourceSubscriptions"]]
        params["notifications"] = wanted
    return {**message, "params": params}


def named_back(text: bytes, server: str) -> bytes:
    """What comes back, by the names that the server itself has."""
    return text.replace(f"counterseal:{server}/".encode(), b"").replace(f'"{server}__'.encode(), b'"')


class _Proxy:
    def __init__(self, target: str, server: str) -> None:
        self._target = target
        self._server = server
        self._session: aiohttp.ClientSession | None = None

    async def serve(self, started: Any, ended: asyncio.Event) -> None:
        app = web.Application(client_max_size=32 << 20)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            started(f"http://127.0.0.1:{runner.addresses[0][1]}/mcp")
            await ended.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        with contextlib.suppress(ValueError):
            value = json.loads(body)
            many = isinstance(value, list)
            body = json.dumps(
                [renamed(one, self._server) for one in value] if many else renamed(value, self._server)
            ).encode()
        headers = [
            (name, self._name(request, value) if name.lower() == "mcp-name" else value)
            for name, value in request.headers.items()
            if name.lower() not in _DROPPED
        ]
        # What a client says of the address that it called is about this proxy, unless it is up to something.
        host = request.headers.get("Host", "")
        if host != request.url.authority or not host.startswith("127.0.0.1"):
            headers.append(("Host", host))
        async with self._session.request(
            request.method,
            self._target,
            data=body,
            headers=headers,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _DROPPED]
            if answer.content_type != "text/event-stream":
                text = named_back(await answer.read(), self._server)
                whole = web.Response(status=answer.status, body=text)
                whole.headers.clear()
                whole.headers.extend(kept)
                return whole
            stream = web.StreamResponse(status=answer.status)
            stream.headers.extend(kept)
            await stream.prepare(request)
            async for line in answer.content:
                await stream.write(named_back(line, self._server))
            await stream.write_eof()
            return stream

    def _name(self, request: web.Request, value: str) -> str:
        method = request.headers.get("Mcp-Method", "")
        if method in ("tools/call", "prompts/get"):
            return f"{self._server}__{value}"
        return f"counterseal:{self._server}/{value}" if method == "resources/read" else value


@contextmanager
def renaming(target: str, server: str) -> Iterator[str]:
    """The proxy's address, for as long as the block lasts. target: the gateway's `/mcp`."""
    loop = asyncio.new_event_loop()
    ready: list[str] = []
    up = threading.Event()
    ended = asyncio.Event()

    def started(url: str) -> None:
        ready.append(url)
        up.set()

    thread = threading.Thread(
        target=loop.run_until_complete, args=(_Proxy(target, server).serve(started, ended),), name="renaming"
    )
    thread.start()
    try:
        assert up.wait(60), "the proxy did not start"
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()
