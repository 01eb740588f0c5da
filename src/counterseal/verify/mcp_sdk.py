"""For servers on the official SDK (`mcp` 2.x), the low-level `Server` and `MCPServer` alike.

    server = MCPServer("weather", middleware=[CountersealServerMiddleware(verifier)])

The middleware checks each message that the SDK hands it: method, name, arguments, single use. Over HTTP the token is the bearer
token of the request; else, as over stdio, it is in `params._meta["io.counterseal/call-token"]`. What the SDK does not hand it,
it cannot check: a `GET`, a `DELETE`, an answer of the caller, and a cancellation before it is done. So over HTTP
`counterseal.verify.asgi` belongs in front, which sees all of them; then this one takes its word.

`CountersealTokenVerifier` is for `token_verifier=`, where the SDK's own 401 with its metadata is wanted. It has only the token
to look at, so it checks everything but the call.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Final

from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from counterseal.core.operation import NoOperation, Operation, operation_of
from counterseal.verify.current import CURRENT
from counterseal.verify.errors import NotVerified, VerificationError
from counterseal.verify.refusals import Refused, bearer_token, by_table, missing_token, refusal_of
from counterseal.verify.verifier import Verified, Verifier

CALL_TOKEN: Final = "io.counterseal/call-token"  # noqa: S105
"""The member of `params._meta` that holds the call token where there is no HTTP request."""

_log: Final = logging.getLogger("counterseal.verify")


class CountersealServerMiddleware:
    """Lets only countersigned messages through to the handlers. verifier: for this server's audience.

    A request that is refused gets a JSON-RPC error with `data.reason`; a notification is dropped. What was verified is in
    `current_verified()` while a handler runs.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        try:
            verified = await verify_message(self._verifier, ctx)
        except Refused as refused:
            if ctx.request_id is None:
                return None
            if is_asked_by_the_sdk(ctx):
                return {"tools": []}
            raise as_mcp_error(refused) from None
        before = CURRENT.set(verified)
        try:
            return await call_next(ctx)
        finally:
            CURRENT.reset(before)


class CountersealTokenVerifier:
    """The SDK's `TokenVerifier`: everything but the call. verifier: for this server's audience.

    For `AuthSettings` with `validate_token_resource=True` and this server's audience as `resource_server_url`. Where nobody can
    tell, CannotVerify goes through the SDK, whose answer is 500: no pass, and no 401.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AccessToken | None:
        """None for a token that is refused; why stands in the log."""
        try:
            return access_token(await self._verifier.averify_without_operation(token), self._verifier)
        except VerificationError as error:
            _log.warning("a call token was refused: %s: %s", error.code, error.message)
            return None


def access_token(verified: Verified, verifier: Verifier, kind: type[AccessToken] = AccessToken) -> AccessToken:
    """What was verified, as the SDK's own code and `get_access_token()` want it. `token` is the `jti`: nothing behind here may
    send the token on. `expires_at` has the leeway in it, because the SDK has none."""
    return kind(
        token=verified.jti,
        client_id=verified.client_id,
        scopes=verified.scope.split(" "),
        expires_at=math.ceil(verified.expires + verifier.leeway),
        resource=verifier.audience,
        subject=verified.subject,
        claims=dict(verified.claims),
    )


async def verify_message(verifier: Verifier, ctx: ServerRequestContext[Any, Any]) -> Verified:
    """Check the one message that the SDK's context is about, unless the ASGI middleware did. Raises Refused."""
    scope = getattr(ctx.request, "scope", None)
    in_front = scope.get("counterseal") if isinstance(scope, dict) else None
    if isinstance(in_front, Verified):
        return in_front
    operation: Operation | None = None
    try:
        token = _token(ctx, scope)
        if is_asked_by_the_sdk(ctx):
            return await verifier.averify_without_operation(token)
        operation = _operation(ctx)
        return await verifier.averify(
            token, method=operation.method, name=operation.name, arguments=operation.arguments
        )
    except NotVerified as error:
        _log.warning("a call was refused: %s: %s", error.code, error.message)
        raise refusal_of(error, operation, verifier.profile) from None


def as_mcp_error(refused: Refused) -> MCPError:
    """The refusal as the JSON-RPC error that goes back."""
    return MCPError(refused.rpc, refused.message, {"reason": refused.reason})


def is_asked_by_the_sdk(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Before a modern `tools/call` the SDK lists the tools for itself, to hold the request's headers against a schema. By then it
    has held `Mcp-Method` against the body, so no caller can make a list of its own look like this one; and the call itself
    comes next, with the same token."""
    if ctx.request is None or ctx.method != "tools/list" or ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    return bool(ctx.request.headers.get("mcp-method") == "tools/call")


def _token(ctx: ServerRequestContext[Any, Any], scope: Any) -> str | bytes:
    if ctx.request is not None:
        if not isinstance(scope, dict):
            raise missing_token("this transport carries none")
        return bearer_token([value for name, value in scope["headers"] if name.lower() == b"authorization"])
    meta = (ctx.params or {}).get("_meta")
    token = meta.get(CALL_TOKEN) if isinstance(meta, dict) else None
    if not isinstance(token, str):
        raise missing_token(f'send it in `params._meta["{CALL_TOKEN}"]`')
    return token


def _operation(ctx: ServerRequestContext[Any, Any]) -> Operation:
    try:
        return operation_of({"method": ctx.method, "params": dict(ctx.params or {})})
    except NoOperation as error:
        raise by_table("invalid_request", str(error)) from None
