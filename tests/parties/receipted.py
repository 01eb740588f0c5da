"""An MCP server whose verifier writes receipts, and whose tool notes by itself for which tokens it ran.

python -m tests.parties.receipted --port 9001 --issuer I --audience A --receipts FOLDER --ran FILE
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from mcp.server import MCPServer

from counterseal.verify import FileReceipts, Verifier, current_verified
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--issuer", "--audience", "--receipts", "--ran"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    ran = os.open(chosen.ran, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server: MCPServer[Any] = MCPServer("receipted")

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather in a city."""
        os.write(ran, f"{current_verified().jti}\n".encode())
        return city

    verifier = Verifier(issuer=chosen.issuer, audience=chosen.audience, receipts=FileReceipts(chosen.receipts))
    run(CountersealMiddleware(server.streamable_http_app(), verifier, paths=["/mcp"]), chosen.port)


if __name__ == "__main__":
    main()
