"""A server over standard input and output, on the SDK or on FastMCP, with its keys in a file.

python -m tests.parties.guarded.over_stdio --kind high_level --issuer I --audience A --jwks FILE
"""

from __future__ import annotations

import argparse
from typing import Any

from fastmcp import FastMCP
from mcp.server import MCPServer

from counterseal.verify import Verifier, current_verified
from counterseal.verify.fastmcp import CountersealCallMiddleware
from counterseal.verify.mcp_sdk import CountersealServerMiddleware


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city} for {current_verified().subject}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("high_level", "fastmcp"), required=True)
    for name in ("--issuer", "--audience", "--jwks"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    verifier = Verifier(issuer=chosen.issuer, audience=chosen.audience, jwks=chosen.jwks)
    if chosen.kind == "high_level":
        server: MCPServer[Any] = MCPServer("guarded", middleware=[CountersealServerMiddleware(verifier)])
        server.tool()(get_weather)
        server.run("stdio")
    else:
        fast: FastMCP[Any] = FastMCP("guarded", middleware=[CountersealCallMiddleware(verifier)])
        fast.tool(get_weather)
        fast.run("stdio", show_banner=False)


if __name__ == "__main__":
    main()
