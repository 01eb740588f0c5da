"""Runs any of them in this one process, each on a loopback port of its own: `KIND=PORT`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import uvicorn
from mcp.server import MCPServer

from tests.parties.weak.checking import FLAWS, Checker, Refused
from tests.parties.weak.stock import STOCK, fastmcp_without_audience, joserfc_signature_alone, pyjwt_unverified


class Front:
    """check: of headers, verb and message. Bodies here are small, and come in one piece or several."""

    def __init__(self, app: Any, check: Any) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", scope["method"] == "POST"
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        try:
            message = json.loads(body) if body else None
            await asyncio.to_thread(self._check, list(scope["headers"]), scope["method"], message)
        except Refused as refused:
            await send(
                {"type": "http.response.start", "status": refused.status, "headers": [(b"content-length", b"0")]}
            )
            await send({"type": "http.response.body", "body": b""})
            return
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return pending.pop() if pending else await receive()

        await self._app(scope, again, send)


def weather() -> Any:
    server: MCPServer[Any] = MCPServer("weak")

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return city

    return server


def build(kind: str, issuer: str, audience: str, jwks: str) -> Any:
    if kind == "fastmcp_without_audience":
        return fastmcp_without_audience(issuer, jwks)
    if kind == "open_sse":
        return weather().sse_app()
    if kind == "pyjwt_unverified":
        return Front(weather().streamable_http_app(), lambda headers, *_: pyjwt_unverified(headers))
    if kind == "joserfc_signature_alone":
        check = joserfc_signature_alone(jwks)
        return Front(weather().streamable_http_app(), lambda headers, *_: check(headers))
    return Front(weather().streamable_http_app(), Checker(kind, issuer, audience, jwks).check)


async def run(ports: dict[str, int], issuer: str, jwks: str) -> None:
    servers = []
    for kind, port in ports.items():
        app = build(kind, issuer, f"http://127.0.0.1:{port}/mcp", jwks)
        servers.append(uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")))
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server._serve())
        while not all(server.started for server in servers):
            await asyncio.sleep(0.02)
        print("listening on http://127.0.0.1", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--issuer", "--jwks"):
        parser.add_argument(name, required=True)
    parser.add_argument("kinds", nargs="+")
    chosen = parser.parse_args()
    ports = {kind: int(port) for kind, _, port in (one.partition("=") for one in chosen.kinds)}
    assert ports.keys() <= {*FLAWS, *STOCK, "open_sse"}
    asyncio.run(run(ports, chosen.issuer, chosen.jwks))


if __name__ == "__main__":
    main()
