"""The documents that verifiers and clients look for. Made once at start, the same bytes on every worker.

They hold public keys and addresses only, so anybody may read them from anywhere, pages of any origin too. They are read and
nothing else: `GET`, `HEAD`, and the `OPTIONS` by which a browser asks beforehand. Nothing of a request changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterseal.issuer.documents import MAX_AGE_SECONDS

PREFIX: Final = "/.well-known/"

READABLE: Final = {"access-control-allow-origin": "*"}
"""What lets a page of any origin read an answer."""

_DOCUMENT: Final = {"cache-control": f"public, max-age={MAX_AGE_SECONDS}", **READABLE}
_ASKED: Final = {
    "allow": "GET, HEAD, OPTIONS",
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers": "*",  # no header is read, so none can do anything; MCP clients send some
    "access-control-max-age": "600",
    **READABLE,
}


def routes(documents: Mapping[str, bytes]) -> list[Route]:
    """One route for each path. documents: path to JSON text."""
    return [_route(path, body) for path, body in documents.items()]


def _route(path: str, body: bytes) -> Route:
    media = "application/jwk-set+json" if path.endswith("jwks.json") else "application/json"

    async def document(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_ASKED)
        return Response(body, media_type=media, headers=_DOCUMENT)

    return Route(path, document, methods=["GET", "OPTIONS"])
