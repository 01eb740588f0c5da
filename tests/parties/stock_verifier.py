"""A FastMCP server with FastMCP's own `JWTVerifier`, told nothing but where the keys are, who issues and who it is, and which
scopes a token must have, if any.

    python -m tests.parties.stock_verifier --port 9001 --jwks J --issuer I --audience A [--scope S]...

The algorithm is FastMCP's default. Its tool `whoami` answers with the claims of the token that it accepted.
"""

from __future__ import annotations

import argparse
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--jwks", "--issuer", "--audience"):
        parser.add_argument(name, required=True)
    parser.add_argument("--scope", action="append")
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

    run(server.http_app(path="/mcp", stateless_http=True), chosen.port)


if __name__ == "__main__":
    main()
