"""The official SDK's server, kept to one era, which verifies every request and takes each token once:
`python -m tests.parties.one_era --era legacy|modern --port PORT --issuer URL --audience URL`.

The SDK serves both eras and tells them by a header. `legacy`: a request of the new revision is refused, as by servers that do not
know it. `modern`: every request counts as one of the new revision, so that the SDK itself refuses what is none.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.hosting import App, Receive, Scope, Send, run

MODERN: Final = b"2026-07-28"
_VERSION: Final = b"mcp-protocol-version"
_REFUSAL: Final = {"code": -32000, "message": "Bad Request: Unsupported protocol version"}


class OneEra:
    """An application that knows one era."""

    def __init__(self, app: App, era: str) -> None:
        self._app = app
        self._era = era

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._era == "modern":
            headers = [(name, value) for name, value in scope["headers"] if name != _VERSION]
            await self._app({**scope, "headers": [*headers, (_VERSION, MODERN)]}, receive, send)
        elif (_VERSION, MODERN) in scope["headers"]:
            body = json.dumps({"jsonrpc": "2.0", "id": None, "error": _REFUSAL}).encode()
            about = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 400, "headers": about})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._app(scope, receive, send)


def made() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("one-era", instructions="be kind")

    @server.tool()
    def echo(message: str) -> str:
        """Says it back."""
        return message

    @server.tool()
    async def count(to: int, ctx: Context[Any]) -> int:
        """Tells how far it is."""
        for number in range(to):
            await ctx.report_progress(number + 1, to)
        return to

    @server.tool()
    def forbidden(message: str) -> str:
        """Nobody may call it."""
        return message

    @server.prompt()
    def greeting(name: str) -> str:
        """A greeting."""
        return f"hello {name}"

    @server.resource("note://{title}")
    def note(title: str) -> str:
        """A note."""
        return f"about {title}"

    @server.resource("text://static")
    def static() -> str:
        """A text."""
        return "static"

    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=["legacy", "modern"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--audience", required=True)
    options = parser.parse_args()
    verifier = Verifier(issuer=options.issuer, audience=options.audience)
    app = OneEra(made().streamable_http_app(), options.era)
    run(CountersealMiddleware(app, verifier), options.port)


if __name__ == "__main__":
    main()
