"""For servers on FastMCP 4.

    server = FastMCP("weather", auth=CountersealAuth(verifier))

Over HTTP that is all: `CountersealAuth` brings the ASGI middleware along, which checks the token against the call before FastMCP
sees it, and hands FastMCP what was verified as its access token. `CountersealCallMiddleware` is for servers over stdio, where
there is no `auth=`.

A tool asks with `verified: Verified = Depends(current_verified)`, or calls `current_verified()`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

from fastmcp.server.auth import AccessToken, AuthProvider
from fastmcp.server.dependencies import fastmcp_request_ctx
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.middleware import Middleware as Wrapped
from starlette.routing import Route

from counterseal.verify.asgi import CountersealMiddleware, Scope, is_below
from counterseal.verify.current import CURRENT
from counterseal.verify.mcp_sdk import access_token, as_mcp_error, is_asked_by_the_sdk, verify_message
from counterseal.verify.refusals import Refused, missing_token
from counterseal.verify.verifier import Verifier

_CHECKED: Final[ContextVar[object]] = ContextVar("counterseal.checked", default=None)
"""The message that was checked: what a tool calls on its own server while it is handled is no call of anybody else."""
_log: Final = logging.getLogger("counterseal.verify")


class CountersealAuth(AuthProvider):
    """FastMCP's `auth=`. verifier: for this server's audience. authorization_servers: whom the RFC 9728 document names; none, and
    there is no such document, as with FastMCP's own verifiers.

    It checks calls, not tokens alone. So it has to be the `auth=` itself: inside of `RemoteAuthProvider` or `MultiAuth` it
    refuses everything, because there it would never see a call.
    """

    def __init__(self, verifier: Verifier, *, authorization_servers: Sequence[str] = ()) -> None:
        super().__init__()
        self._verifier = verifier
        self._authorization_servers = [AnyHttpUrl(address) for address in authorization_servers]

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the guard in front verified of this very request; None where there is no guard in front."""
        verified = CURRENT.get(None)
        if verified is None:
            _log.warning("CountersealAuth was asked for a token outside of a guarded call: it must be `auth=` itself")
            return None
        made = access_token(verified, self._verifier, AccessToken)
        assert isinstance(made, AccessToken)
        return made

    def get_middleware(self) -> list[Any]:
        """The guard, and behind it FastMCP's own, which ask `verify_token`."""
        document = None
        if self._authorization_servers:
            document = str(build_resource_metadata_url(AnyHttpUrl(self._verifier.audience)))
        return [Wrapped(_Guard, verifier=self._verifier, resource_metadata=document), *super().get_middleware()]

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        """The RFC 9728 document, if authorization servers were named."""
        self.set_mcp_path(mcp_path)
        if not self._authorization_servers:
            return []
        return create_protected_resource_routes(
            resource_url=AnyHttpUrl(self._verifier.audience), authorization_servers=self._authorization_servers
        )

    def _get_resource_url(self, path: str | None = None) -> AnyHttpUrl | None:
        return AnyHttpUrl(self._verifier.audience) if self._authorization_servers else None


class _Guard(CountersealMiddleware):
    """Guards the address of MCP in a FastMCP application, wherever that is mounted; of its SSE application everything but the
    documents under `/.well-known/`. Routes of the owner stay the owner's."""

    def guards(self, scope: Scope) -> bool:
        state = scope["app"].state
        if state.transport_type == "streamable-http":
            return is_below(scope, [state.path.rstrip("/")])
        return not is_below(scope, ["/.well-known"])


class CountersealCallMiddleware(Middleware):
    """FastMCP's `middleware=`: checks each message where FastMCP handles it. verifier: for this server's audience.

    Over stdio the token is in `params._meta["io.counterseal/call-token"]`. Behind `CountersealAuth` it takes the guard's word.
    What no message asked for, such as `server.call_tool()` in a program, is refused.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def __call__(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        handled = fastmcp_request_ctx.get()
        if handled is None:
            raise as_mcp_error(missing_token("no message asked for this"))
        message = handled._srctx
        if _CHECKED.get() is message:
            return await call_next(context)
        try:
            verified = await verify_message(self._verifier, message)
        except Refused as refused:
            if message.request_id is None:
                return None
            if is_asked_by_the_sdk(message):
                return []
            raise as_mcp_error(refused) from None
        checked, before = _CHECKED.set(message), CURRENT.set(verified)
        try:
            return await call_next(context)
        finally:
            _CHECKED.reset(checked)
            CURRENT.reset(before)
