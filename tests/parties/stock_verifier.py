"""A FastMCP server with FastMCP's own `JWTVerifier`, told nothing but where the keys are, who issues and who it is, and which
scopes a token must have, if any.

    python -m tests.parties.stock_verifier --port 9001 --jwks J --issuer I --audience A [--scope S]... [--channel-audience C]
        [--tells]

The algorithm is FastMCP's default. Its tool `whoami` answers with the claims of the token that it accepted. With C there is also
`both`, which has another `JWTVerifier` look at `x-mcp-channel-token`, and answers with the claims of the two tokens. With
`--tells` there is also `sent`, which answers with the headers of its request that begin with `x-`, and for whom it runs.
"""

from __future__ import annotations

import argparse
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token, get_http_request

from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--jwks", "--issuer", "--audience"):
        parser.add_argument(name, required=True)
    parser.add_argument("--channel-audience")
    parser.add_argument("--scope", action="append")
    parser.add_argument("--tells", action="store_true")
    chosen = parser.parse_args()
    verifier = JWTVerifier(
        jwks_uri=chosen.jwks, issuer=chosen.issuer, audience=chosen.audience, required_scopes=chosen.scope
    )
    server: FastMCP[Any] = FastMCP("stock-verifier", auth=verifier)

    @server.tool
    def whoami() -> dict[str, Any]:
        """The claims of the call token."""
        token = get_access_token()
        return dict(token.claims) if token else {}

    if chosen.channel_audience is not None:
        channel = JWTVerifier(jwks_uri=chosen.jwks, issuer=chosen.issuer, audience=chosen.channel_audience)

        @server.tool
        async def both() -> dict[str, Any]:
            """The claims of the call token, and of the token beside it."""
            headers = get_http_request().headers
            token = await channel.verify_token(headers.get("x-mcp-channel-token", ""))
            swapped = await verifier.verify_token(headers.get("x-mcp-channel-token", ""))
            debug = headers.get("x-counterseal-debug")
            return {
                "call": whoami(),
                "channel": dict(token.claims) if token else None,
                "swapped": swapped is not None,
                "debug": debug,
            }

    if chosen.tells:

        @server.tool
        def sent() -> dict[str, Any]:
            """What came with this call."""
            headers = get_http_request().headers
            return {
                "sub": whoami().get("sub"),
                "headers": [pair for pair in headers.items() if pair[0].startswith("x-")],
            }

    run(server.http_app(path="/mcp", stateless_http=True), chosen.port)


if __name__ == "__main__":
    main()
