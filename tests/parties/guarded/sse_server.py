"""Servers of the old HTTP+SSE transport, on the SDK and on FastMCP: `build` for the one, `build_fastmcp` for the other."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP
from mcp.server import MCPServer

from counterseal.verify import Verifier, current_verified
from counterseal.verify.asgi import CountersealMiddleware
from counterseal.verify.fastmcp import CountersealAuth


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city} for {current_verified().subject}"


def build(issuer: str, audience: str) -> Any:
    server: MCPServer[Any] = MCPServer("guarded")
    server.tool()(get_weather)
    verifier = Verifier(issuer=issuer, audience=audience)
    return CountersealMiddleware(server.sse_app(), verifier, paths=["/sse", "/messages"])


def build_fastmcp(issuer: str, audience: str) -> Any:
    server: FastMCP[Any] = FastMCP("guarded", auth=CountersealAuth(Verifier(issuer=issuer, audience=audience)))
    server.tool(get_weather)
    return server.http_app(path="/sse", transport="sse")
