"""The JWKS and what leads to it, served by LiteLLM's own application under the path of our issuer.

`/.well-known/` of LiteLLM's address stays LiteLLM's: it has documents of the same names there for its own signer and its own
OAuth. Our routes come before all of its routes, some of which take any path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from counterseal.web import wellknown


def below(issuer: str, documents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those that lie below the issuer's own path. documents: path to JSON text."""
    start = f"{urlsplit(issuer).path}{wellknown.PREFIX}"
    return {path: body for path, body in documents.items() if path.startswith(start)}


def mount(issuer: str, documents: Mapping[str, bytes]) -> None:
    """Put them on LiteLLM's application. Again, and the new ones come first."""
    from litellm.proxy.proxy_server import app  # noqa: PLC0415  # whole only once LiteLLM has started

    _put_first(app, wellknown.routes(below(issuer, documents)))


def _put_first(app: Any, routes: list[Any]) -> None:
    app.router.routes[:0] = routes
