"""`/healthz`: the process is up. `/readyz`: it can do its work, with a reason for each part that cannot.

Each server is named there with what is wrong with it, and the gateway is ready nevertheless: calls to other servers go on, and a
gateway that a load balancer takes away makes no server better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], str | None]
"""None: fine; else what is wrong, without anything secret."""


def routes(checks: Mapping[str, Check], servers: Mapping[str, Check]) -> list[Route]:
    """checks: the name of each part and how to ask it. servers: likewise."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "up"}, headers={"cache-control": "no-store"})

    async def readyz(_: Request) -> Response:
        parts = {name: check() for name, check in checks.items()}
        ready = not any(parts.values())
        body: dict[str, Any] = {"ready": ready, "parts": {name: problem or "ok" for name, problem in parts.items()}}
        if servers:
            body["servers"] = {name: check() or "ok" for name, check in servers.items()}
        headers = {"cache-control": "no-store"} | ({} if ready else {"retry-after": "2"})
        return JSONResponse(body, status_code=200 if ready else 503, headers=headers)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
