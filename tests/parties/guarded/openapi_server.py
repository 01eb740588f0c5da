"""An HTTP API that the gateway makes tools of, by its OpenAPI document: `get_weather` is `GET /weather/{city}`."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from counterseal.verify import Verifier  # guard
from counterseal.verify.starlette import CallToken  # guard
from tests.parties.guarded.kinds import Weather


async def arguments(request: Request) -> dict[str, Any]:
    """As the tool had them, before they became a path."""
    return {"city": request.path_params["city"]}


def build(issuer: str, audience: str) -> Any:
    weather = Weather()
    verifier = Verifier(issuer=issuer, audience=audience, leeway=0)  # guard

    async def get_weather(request: Request) -> PlainTextResponse:
        verified = await CallToken(verifier, operation="get_weather", arguments=arguments)(request)  # guard
        return PlainTextResponse(weather.report(request.path_params["city"], verified.subject))

    return Starlette(routes=[Route("/weather/{city}", get_weather)])
