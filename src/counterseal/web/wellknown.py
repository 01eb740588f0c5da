"""The documents that verifiers and clients look for. Made once at start, the same bytes on every worker."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterseal.issuer.documents import MAX_AGE_SECONDS

_PUBLIC = {
    "cache-control": f"public, max-age={MAX_AGE_SECONDS}",
    # Anybody may read them from anywhere: they hold public keys and addresses only.
    "access-control-allow-origin": "*",
}


def routes(documents: Mapping[str, bytes]) -> list[Route]:
    """One route for each path. documents: path to JSON text."""
    return [_route(path, body) for path, body in documents.items()]


def _route(path: str, body: bytes) -> Route:
    media = "application/jwk-set+json" if path.endswith("jwks.json") else "application/json"

    async def document(_: Request) -> Response:
        return Response(body, media_type=media, headers=_PUBLIC)

    return Route(path, document, methods=["GET"])
