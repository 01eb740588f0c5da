"""An ASGI middleware that lets only countersigned calls through to an MCP server.

    app = CountersealMiddleware(app, Verifier(issuer=..., audience=...), paths=("/mcp",))

Works in front of any ASGI application and needs no framework. The body is read once, with the same strict reader and the
same reading of method, name and arguments as the gateway, and handed on as it came. What was verified is in
`scope["counterseal"]`. What is refused never reaches the application.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from counterseal.core import strict_json
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, STREAM
from counterseal.core.operation import NoOperation, Operation, operation_of
from counterseal.core.profiles import Profile
from counterseal.errors import REASONS
from counterseal.verify.errors import NotVerified, VerificationError
from counterseal.verify.verifier import Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WITHOUT_BODY: Final = {"GET": STREAM, "DELETE": END_SESSION}
_BEARER: Final = re.compile(rb"bearer ([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)
_SAFE_INTEGER: Final = 2**53 - 1
_OWN_CODE: Final = 50
"""Our JSON-RPC codes are the HTTP status times 100 plus this, so outside the reserved range."""
_SCOPE_LENGTH: Final = 512
"""A longer scope is left out of the challenge: the name in it is as long as the caller made it."""
_log: Final = logging.getLogger("counterseal.verify")


class CountersealMiddleware:
    """app: the server. verifier: for this server's audience. paths: the addresses to guard, each with all below it, as
    `scope["path"]` has them; None guards everything. limits: of the body.

    A refusal is an HTTP status with a JSON-RPC error that has the request's `id`, and in `data.reason` why: 401 for a
    missing or bad token, 403 for a token that is for another call, 503 where nobody can tell.
    """

    def __init__(
        self, app: App, verifier: Verifier, *, paths: Collection[str] | None = None, limits: Limits = LIMITS
    ) -> None:
        if isinstance(paths, str) or (paths is not None and not all(path.startswith("/") for path in paths or [""])):
            raise ValueError("paths is a collection of one or more paths that begin with a slash")
        self._app = app
        self._verifier = verifier
        self._paths = None if paths is None else tuple(path.rstrip("/") for path in paths)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self._guards(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # MCP has no WebSocket transport, so nobody could countersign one
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._guard(scope, receive, send)

    def _guards(self, scope: Scope) -> bool:
        if self._paths is None:
            return True
        # Servers and frameworks disagree whether `path` begins with `root_path`, so both readings are guarded.
        path: str = scope["path"]
        both = (path, path.removeprefix(scope.get("root_path", "")))
        return any(one == own or one.startswith(own + "/") for one in both for own in self._paths)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity: str | int | None = None
        try:
            if scope["method"] == "POST":
                body = await _read_body(receive, self._limits.body_bytes)
                if body is None:
                    return  # whoever asked has left
                receive = _replay(body, receive)
                message = _parse(body, self._limits)
                if isinstance(message, dict):
                    identity = _id_of(message)
                token = _bearer_token(scope)  # before any word about the body, but with its id
                operation = _operation(message)
            else:
                token = _bearer_token(scope)
                operation = _operation_without_body(scope["method"])
            verified = await self._verifier.averify(
                token, method=operation.method, name=operation.name, arguments=operation.arguments
            )
        except _Refused as refused:
            await _answer(send, refused, identity)
        except NotVerified as error:
            _log.warning("a call was refused: %s: %s", error.code, error.message)
            await _answer(send, _refusal(error, operation, self._verifier.profile), identity)
        else:
            await self._app({**scope, "counterseal": verified}, receive, send)


class _Refused(Exception):
    """What goes back instead of the application's answer. rpc: the JSON-RPC error code."""

    def __init__(self, status: int, rpc: int, reason: str, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.rpc = rpc
        self.reason = reason
        self.message = message
        self.headers = headers


def _row(code: str, message: str, *headers: tuple[bytes, bytes]) -> _Refused:
    reason = REASONS[code]
    return _Refused(reason.status, reason.rpc, code, message, *headers)


def _refusal(error: NotVerified, operation: Operation, profile: Profile) -> _Refused:
    rpc = error.status * 100 + _OWN_CODE
    if not isinstance(error, VerificationError):
        return _Refused(error.status, rpc, error.code, "the call token cannot be verified now", (b"retry-after", b"5"))
    reason, message = error.public
    challenge = 'Bearer error="invalid_token"'
    if error.status == 403:
        scope = profile.scope_of(operation.method, operation.name)
        named = f', scope="{scope}"' if len(scope) <= _SCOPE_LENGTH else ""
        challenge = f'Bearer error="insufficient_scope"{named}'
    return _Refused(error.status, rpc, reason, message, (b"www-authenticate", challenge.encode("ascii")))


def _bearer_token(scope: Scope) -> bytes:
    """The one token of the one Authorization header (RFC 6750 section 2.1; query and body are never looked at)."""
    values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(values) > 1:
        raise _row("ambiguous_credentials", "more than one Authorization header")
    if not values or values[0][:7].lower() != b"bearer ":
        raise _row("credential_missing", "no call token: send it as a bearer token", (b"www-authenticate", b"Bearer"))
    match = _BEARER.fullmatch(values[0])
    if match is None:
        raise _row(
            "credential_invalid",
            "the Authorization header is not `Bearer`, one space and one token",
            (b"www-authenticate", b'Bearer error="invalid_token"'),
        )
    return match[1]


async def _read_body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None where the other side left before its end."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _row("too_large", f"the body is longer than {most} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands the body on in one piece, and then whatever else comes, such as the disconnect."""
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


def _parse(body: bytes, limits: Limits) -> Any:
    """The JSON value of the body, or the refusal to be raised once there is a token."""
    try:
        return strict_json.read(body, depth=limits.json_depth, members=limits.json_members)
    except strict_json.TooBig as error:
        return _row("too_large", f"the body is {error}")
    except strict_json.NotStrict as error:
        return _row("parse_error", f"the body is not strict JSON: {error}")


def _operation(message: Any) -> Operation:
    if isinstance(message, _Refused):
        raise message
    if isinstance(message, list):
        raise _row("batch_not_allowed", "a call token is for one call: send the messages one by one")
    if not isinstance(message, dict):
        raise _row("invalid_request", "the body is not a JSON object")
    try:
        return operation_of(message)
    except NoOperation as error:
        raise _row("invalid_request", str(error)) from None


def _operation_without_body(method: str) -> Operation:
    operation = _WITHOUT_BODY.get(method)
    if operation is None:
        raise _row("http_method_refused", "use POST, GET or DELETE", (b"allow", b"POST, GET, DELETE"))
    return Operation(operation)


def _id_of(message: dict[str, Any]) -> str | int | None:
    identity = message.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool) and abs(identity) <= _SAFE_INTEGER:
        return identity
    return identity if isinstance(identity, str) else None


async def _answer(send: Send, refused: _Refused, identity: str | int | None) -> None:
    error = {"code": refused.rpc, "message": refused.message, "data": {"reason": refused.reason}}
    body = json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode("ascii")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        *refused.headers,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
