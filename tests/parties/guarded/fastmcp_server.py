"""FastMCP 4."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP

from counterseal.verify import Verifier, current_verified  # guard
from counterseal.verify.fastmcp import CountersealAuth  # guard
from tests.parties.guarded.kinds import Weather


def build(issuer: str, audience: str) -> Any:
    weather = Weather()
    verifier = Verifier(issuer=issuer, audience=audience, leeway=0)  # guard
    server: FastMCP[Any] = FastMCP("guarded", auth=CountersealAuth(verifier))  # guard

    @server.tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return weather.report(city, current_verified().subject)

    @server.tool
    def delete_all() -> str:
        """Delete everything."""
        return "deleted"

    return server.http_app(path="/mcp")
