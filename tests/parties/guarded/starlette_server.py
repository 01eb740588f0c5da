"""An MCP server by hand on Starlette: as little of revision 2026-07-28 as a call of a tool needs."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterseal.verify import Verifier  # guard
from counterseal.verify.asgi import CountersealMiddleware  # guard
from tests.parties.guarded.kinds import Weather


def build(issuer: str, audience: str) -> Any:
    weather = Weather()

    async def mcp(request: Request) -> JSONResponse:
        message = await request.json()
        if message["method"] != "tools/call":
            error = {"code": -32601, "message": "there is only tools/call here"}
            return JSONResponse({"jsonrpc": "2.0", "id": message.get("id"), "error": error}, 404)
        text = "deleted"
        if message["params"]["name"] == "get_weather":
            text = weather.report(message["params"]["arguments"]["city"], request.state.counterseal.subject)
        result = {"resultType": "complete", "content": [{"type": "text", "text": text}]}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    verifier = Verifier(issuer=issuer, audience=audience, leeway=0)  # guard
    return CountersealMiddleware(Starlette(routes=[Route("/mcp", mcp, methods=["POST"])]), verifier)  # guard
