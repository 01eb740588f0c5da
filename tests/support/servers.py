"""MCP servers for tests: the official SDK's and FastMCP's in processes of their own, and a raw one that records."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.process import LISTENING, Program


class ServerProcess:
    """One of the modules of `tests.parties`, running. url: its MCP address. tracebacks: as `Program` takes it. `with` ends it."""

    def __init__(self, module: str, port: int, *arguments: str, tracebacks: bool = False) -> None:
        command = [sys.executable, "-m", f"tests.parties.{module}", "--port", str(port), *arguments]
        self._program = Program(module, command, tracebacks=tracebacks)
        try:
            self._base = self._program.wait_for(LISTENING)[1]
        except AssertionError:
            self._program.stop()
            raise
        self.url = f"{self._base}/mcp"

    def seen(self) -> list[dict[str, Any]]:
        """Every HTTP request that arrived, as `tests.parties.hosting.Seen` describes. Blocks for one local request."""
        with urllib.request.urlopen(f"{self._base}/seen", timeout=60) as answer:
            entries: list[dict[str, Any]] = json.load(answer)
        return entries

    def stop(self) -> str:
        return self._program.stop()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One HTTP request as it arrived.

    headers: names in lower case. call: the body as JSON, or None. token: what followed `Bearer `, empty if there was none.
    """

    http: str
    headers: dict[str, str]
    body: bytes
    call: Any
    token: str = field(repr=False)


Answer = Callable[[Recorded], Awaitable[dict[str, Any]]]


async def empty_result(request: Recorded) -> dict[str, Any]:
    return {"resultType": "complete", "content": []}


class RecordingServer:
    """Answers every request with one result, as JSON, and checks nothing. It runs in the test's own event loop, at any path.

    answer: makes the `result` of a request. keep: whether `seen` gets every request.
    """

    def __init__(self, answer: Answer = empty_result, *, keep: bool = True) -> None:
        self.seen: list[Recorded] = []
        self._answer = answer
        self._keep = keep
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self.url = ""

    async def __aenter__(self) -> RecordingServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            call = json.loads(body)
        except ValueError:
            call = None
        headers = {name.lower(): value for name, value in request.headers.items()}
        recorded = Recorded(
            request.method, headers, body, call, headers.get("authorization", "").removeprefix("Bearer ")
        )
        if self._keep:
            self.seen.append(recorded)
        if not isinstance(call, dict) or "id" not in call:
            return web.Response(status=202)
        answer = {"jsonrpc": "2.0", "id": call["id"], "result": await self._answer(recorded)}
        return web.json_response(answer)
