"""A server on the official SDK's old HTTP+SSE transport that verifies every request: `python -m tests.parties.sse_verifier --port
PORT --issuer URL --audience URL`."""

from __future__ import annotations

import argparse

from mcp.server import MCPServer

from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--audience", required=True)
    options = parser.parse_args()
    server = MCPServer("sse")

    @server.tool()
    def echo(message: str) -> str:
        """Says it back."""
        return message

    verifier = Verifier(issuer=options.issuer, audience=options.audience)
    run(CountersealMiddleware(server.sse_app(), verifier, paths=["/sse", "/messages"]), options.port)


if __name__ == "__main__":
    main()
