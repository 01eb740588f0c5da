"""A FastMCP server that LiteLLM calls: our verifier on `tools/call`, and LiteLLM's own credential, if there is one, on
everything.

    python -m tests.parties.behind_litellm --port 9001 --issuer I --audience A [--header X-Call-Token --secret S]

Its tool `get_weather` answers with the city, for whom, and by whose token.
"""

from __future__ import annotations

import argparse
import hmac
from typing import Any

from fastmcp import FastMCP
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from counterseal.verify import Verifier, current_verified
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.hosting import App, Receive, Scope, Send, run


class Secret:
    """Lets through who has the one credential of LiteLLM's."""

    def __init__(self, app: App, secret: str) -> None:
        self._app = app
        self._expected = f"Bearer {secret}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        if scope["type"] == "http" and not (len(sent) == 1 and hmac.compare_digest(sent[0], self._expected)):
            await PlainTextResponse("who are you?", 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--issuer", "--audience"):
        parser.add_argument(name, required=True)
    parser.add_argument("--header", default="Authorization")
    parser.add_argument("--secret")
    chosen = parser.parse_args()
    server: FastMCP[Any] = FastMCP("behind-litellm")

    @server.tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        verified = current_verified()
        return f"{city} for {verified.subject} by {verified.actors[0]}, token {verified.jti}"

    @server.tool
    def claims(city: str) -> dict[str, Any]:
        """What the call token says."""
        return dict(current_verified().claims)

    @server.tool
    def delete_all(city: str) -> str:
        """Delete everything."""
        return "deleted"

    verifier = Verifier(issuer=chosen.issuer, audience=chosen.audience, jwks=f"{chosen.issuer}/.well-known/jwks.json")
    guards = [Middleware(CountersealMiddleware, verifier=verifier, methods=["tools/call"], header=chosen.header)]
    if chosen.secret:
        guards.insert(0, Middleware(Secret, secret=chosen.secret))
    run(server.http_app(path="/mcp", middleware=guards), chosen.port)


if __name__ == "__main__":
    main()
