"""Which documents LiteLLM serves for us."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from counterseal.integrations.litellm.documents import _put_first, below
from counterseal.web import wellknown

DOCUMENTS = {
    "/.well-known/jwks.json": b"{}",
    "/.well-known/jwks.json/counterseal": b"{}",
    "/counterseal/.well-known/jwks.json": b'{"keys":[]}',
    "/.well-known/oauth-protected-resource/counterseal/mcp/weather": b"{}",
}


def test_only_those_below_the_issuers_own_path_are_served() -> None:
    assert list(below("https://litellm.example.com/counterseal", DOCUMENTS)) == ["/counterseal/.well-known/jwks.json"]


def test_they_come_before_whatever_takes_any_path() -> None:
    async def any_path(request: Any) -> PlainTextResponse:
        return PlainTextResponse("anything")

    app = Starlette(routes=[Route("/{rest:path}", any_path)])
    _put_first(
        SimpleNamespace(router=app.router), wellknown.routes(below("https://l.example.com/counterseal", DOCUMENTS))
    )
    client = TestClient(app)
    assert client.get("/counterseal/.well-known/jwks.json").text == '{"keys":[]}'
    assert client.get("/.well-known/jwks.json").text == "anything"
