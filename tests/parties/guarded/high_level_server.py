"""The official SDK, high level."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer

from counterseal.verify import Verifier, current_verified  # guard
from counterseal.verify.asgi import CountersealMiddleware  # guard
from tests.parties.guarded.kinds import Weather


def build(issuer: str, audience: str) -> Any:
    weather = Weather()
    server = MCPServer("guarded")

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return weather.report(city, current_verified().subject)

    @server.tool()
    def delete_all() -> str:
        """Delete everything."""
        return "deleted"

    app: Any = server.streamable_http_app()
    verifier = Verifier(issuer=issuer, audience=audience, leeway=0)  # guard
    return CountersealMiddleware(app, verifier, paths=["/mcp"])  # guard
