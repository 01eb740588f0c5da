"""A FastMCP server as it was set up for LiteLLM's signer: FastMCP's own `JWTVerifier`, and scopes as that signer writes them.

    python -m tests.parties.litellm_shaped --port 9001 --jwks J --issuer I --audience A

`tools/list` needs the scope `mcp:tools/list`; a call needs `mcp:tools/call` and `mcp:tools/<tool>:call`. Its tool `whoami`
answers with the claims of the token that it accepted.
"""

from __future__ import annotations

import argparse
from typing import Any

from fastmcp import FastMCP
from fastmcp.exceptions import AuthorizationError
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import Middleware, MiddlewareContext

from tests.parties.hosting import run


class Scopes(Middleware):
    """What a careful owner of such a server has in front of its tools."""

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        _need("mcp:tools/list")
        return await call_next(context)

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        _need("mcp:tools/call", f"mcp:tools/{context.message.name}:call")
        return await call_next(context)


def _need(*scopes: str) -> None:
    token = get_access_token()
    if token is None or not set(scopes) <= set(token.scopes):
        raise AuthorizationError(f"the token lacks {' or '.join(scopes)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--jwks", "--issuer", "--audience"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    verifier = JWTVerifier(jwks_uri=chosen.jwks, issuer=chosen.issuer, audience=chosen.audience)
    server: FastMCP[Any] = FastMCP("litellm-shaped", auth=verifier, middleware=[Scopes()])

    @server.tool
    def whoami() -> dict[str, Any]:
        """The claims of the call token."""
        token = get_access_token()
        return dict(token.claims) if token else {}

    @server.tool
    def other() -> str:
        """Another tool."""
        return "other"

    run(server.http_app(path="/mcp", stateless_http=True), chosen.port)


if __name__ == "__main__":
    main()
