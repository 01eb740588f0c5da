"""One worker's application: `mcp` answers calls, and is asked by the connection itself; everything else is ASGI, by Starlette."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, ConfigError
from counterseal.gateway.wiring import Gateway, open_gateway
from counterseal.outbox import Outbox
from counterseal.web import health, wellknown
from counterseal.web.cors import Cors
from counterseal.web.hosts import Hosts
from counterseal.web.mcp import McpEndpoint
from counterseal.web.unread import Unread


class App:
    """One worker's application. The gateway is opened when the server starts and closed when it ends."""

    def __init__(self, gateway: Callable[[], AbstractAsyncContextManager[Gateway]]) -> None:
        self._gateway = gateway
        self.outbox = Outbox()
        self.unread = Unread()
        self._mcp: McpEndpoint | None = None
        self._rest: ASGIApp | None = None
        self.cut_off: Callable[[], object] = lambda: None
        """To be called before calls are ended that outlast the gateway."""

    @property
    def mcp(self) -> McpEndpoint:
        """What answers under `/mcp`, once the gateway is open."""
        assert self._mcp is not None
        return self._mcp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert self._rest is not None
            await self._rest(scope, receive, send)
        elif scope["type"] == "lifespan":
            # A second signal ends the loop, and with it this; the gateway has been closed then, and there is nothing to tell.
            with contextlib.suppress(asyncio.CancelledError):
                await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._gateway() as gateway:
                hosts = Hosts(gateway.issuer, gateway.origins)
                self._mcp = McpEndpoint(
                    gateway.handler,
                    hosts,
                    Cors(gateway.origins, gateway.forwarded),
                    gateway.identity_headers,
                    LIMITS,
                    is_litellm=gateway.is_litellm,
                )
                self._rest = _rest(gateway)
                self.cut_off = gateway.cut_off
                await send({"type": "lifespan.startup.complete"})
                await receive()
            self.unread.close()
            await send({"type": "lifespan.shutdown.complete"})
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except CannotTell as error:
            await send({"type": "lifespan.startup.failed", "message": f"{error.message} ({error.detail})"})


def _rest(gateway: Gateway) -> ASGIApp:
    app = Starlette(
        routes=[*wellknown.routes(gateway.documents), *health.routes(gateway.checks, gateway.servers)],
        exception_handlers={404: _not_found, 405: _not_found},
    )
    app.router.redirect_slashes = False  # the address that it would send to is made of the Host header (H-04)
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    what = "not found" if status == 404 else "method not allowed"
    # A page that looks for a document must be able to read that there is none, else it sees a network that failed.
    headers = dict(wellknown.READABLE) if request.scope["path"].startswith(wellknown.PREFIX) else {}
    allow = (getattr(error, "headers", None) or {}).get("Allow")
    if allow is not None:
        headers["allow"] = ", ".join(sorted(allow.split(", ")))
    return JSONResponse({"error": what}, status_code=status, headers=headers)


def worker(config: Path, *, alone: bool = True) -> App:
    """The application of one worker process, from the configuration file. alone: there is no other one."""
    return App(lambda: open_gateway(config, alone=alone))
