"""Stands between a gateway and its servers: passes requests on, or keeps them to itself, and remembers each call token.

So a test has real call tokens that no server has seen yet. It runs in the test's own event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import web

_OWN: Final = frozenset({"host", "content-length", "connection", "transfer-encoding"})
_RESULT: Final = {"resultType": "complete", "content": []}


class Between:
    """targets: name -> the server's address. passing: whether requests reach the servers. tokens: those that came, the oldest
    first."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self.passing = True
        self.tokens: list[str] = []
        self._targets = dict(targets)
        app = web.Application()
        app.router.add_route("*", "/{name}", self._handle)
        app.router.add_route("*", "/{name}/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self._base = ""

    async def __aenter__(self) -> Between:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def at(self, name: str) -> str:
        """The address that the gateway is told instead of the server's."""
        return f"{self._base}/{name}"

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if not self.passing:
            id = (await request.json())["id"] if body else None
            return web.json_response({"jsonrpc": "2.0", "id": id, "result": _RESULT})
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        rest = request.match_info.get("rest")
        target = self._targets[request.match_info["name"]] + ("" if rest is None else f"/{rest}")
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, target, data=body, headers=headers) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)
