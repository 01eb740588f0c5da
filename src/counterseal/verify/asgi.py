"""An ASGI middleware that lets only countersigned calls through to an MCP server.

    app = CountersealMiddleware(app, Verifier(issuer=..., audience=...), paths=("/mcp",))

Works in front of any ASGI application and needs no framework. The body is read once, with the same strict reader and the
same reading of method, name and arguments as the gateway, and handed on as it came. What was verified is in
`current_verified()`, in `scope["counterseal"]` and, where a framework looks for it, in `scope["state"]["counterseal"]`. What is
refused never reaches the application; an answer goes back piece by piece, as the application sends it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from counterseal.core import strict_json
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, METHODS, STREAM
from counterseal.core.operation import NoOperation, Operation, operation_of
from counterseal.verify.current import CURRENT
from counterseal.verify.errors import NotVerified
from counterseal.verify.refusals import Refused, bare_token, bearer_token, by_table, refusal_of
from counterseal.verify.verifier import Verified, Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WITHOUT_BODY: Final = {"GET": STREAM, "DELETE": END_SESSION}
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SAFE_INTEGER: Final = 2**53 - 1
_log: Final = logging.getLogger("counterseal.verify")


class CountersealMiddleware:
    """app: the server. verifier: for this server's audience. paths: the addresses to guard, each with all below it, as
    `scope["path"]` has them; None guards everything. resource_metadata: the address of the server's RFC 9728 document, for
    the challenge. limits: of the body.

    header: where the call token comes, as `signer.header` of the gateway; another one than `Authorization` holds it bare.
    methods: those that need a call token, None: all. What asks for another goes on without a look at any token, so something
    else has to say who may: this is for a server that is called by what can sign `tools/call` alone, as LiteLLM with our
    guardrail.

    A refusal is an HTTP status with a JSON-RPC error that has the request's `id`, and in `data.reason` why: 401 for a
    missing or bad token, 403 for a token that is for another call, 503 where nobody can tell.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        paths: Collection[str] | None = None,
        resource_metadata: str | None = None,
        header: str = "Authorization",
        methods: Collection[str] | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        # Read once: what can be read only once would be checked here, and guard nothing after.
        guarded = paths if paths is None or isinstance(paths, str) else tuple(paths)
        if isinstance(guarded, str) or (
            guarded is not None and not all(path.startswith("/") for path in guarded or [""])
        ):
            raise ValueError("paths is a collection of one or more paths that begin with a slash")
        if resource_metadata is not None and not _is_quotable(resource_metadata):
            raise ValueError("resource_metadata is the address of a document, in printable ASCII without quotes")
        asked = methods if methods is None or isinstance(methods, str) else frozenset(methods)
        if isinstance(asked, str) or (asked is not None and not (asked and asked <= METHODS.keys())):
            raise ValueError("methods is a collection of one or more methods of MCP, such as `tools/call`")
        if not _HEADER.fullmatch(header):
            raise ValueError("header is the name of one header")
        self._header = header.lower().encode("ascii")
        self._methods = asked
        self._app = app
        self._verifier = verifier
        self._paths = None if guarded is None else tuple(path.rstrip("/") for path in guarded)
        self._resource_metadata = resource_metadata
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self.guards(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # MCP has no WebSocket transport, so nobody could countersign one
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._guard(scope, receive, send)

    def guards(self, scope: Scope) -> bool:
        """Whether a request with this address needs a call token."""
        return self._paths is None or is_below(scope, self._paths)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity: str | int | None = None
        operation: Operation | None = None
        try:
            if scope["method"] == "POST":
                body = await _read_body(receive, self._limits.body_bytes)
                if body is None:
                    return  # whoever asked has left
                receive = _replay(body, receive)
                message = _parse(body, self._limits)
                if isinstance(message, dict):
                    identity = _id_of(message)
                if self._is_free(message):
                    await self._app(scope, receive, send)
                    return
                token = self._token(scope)  # before any word about the body, but with its id
                operation = _operation(message)
            else:
                if self._is_free_without_body(scope["method"]):
                    await self._app(scope, receive, send)
                    return
                token = self._token(scope)
                operation = _operation_without_body(scope["method"])
            verified = await self._verifier.averify(
                token, method=operation.method, name=operation.name, arguments=operation.arguments
            )
        except Refused as refused:
            await self._answer(send, refused, identity)
        except NotVerified as error:
            _log.warning("a call was refused: %s: %s", error.code, error.message)
            await self._answer(send, refusal_of(error, operation, self._verifier.profile), identity)
        else:
            await self._pass_on(scope, receive, send, verified)

    def _is_free(self, message: Any) -> bool:
        """Whether a message needs no token. What has no one reading needs one, and is refused with one, too."""
        if self._methods is None or isinstance(message, Refused):
            return False
        try:
            return _operation(message).method not in self._methods
        except Refused:
            return False

    def _is_free_without_body(self, verb: str) -> bool:
        return self._methods is not None and _WITHOUT_BODY.get(verb, "") in METHODS.keys() - self._methods

    def _token(self, scope: Scope) -> bytes:
        values = [value for name, value in scope["headers"] if name.lower() == self._header]
        return bearer_token(values) if self._header == b"authorization" else bare_token(self._header, values)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, verified: Verified) -> None:
        state = {**(scope.get("state") or {}), "counterseal": verified}
        before = CURRENT.set(verified)
        try:
            await self._app({**scope, "state": state, "counterseal": verified}, receive, send)
        finally:
            CURRENT.reset(before)

    async def _answer(self, send: Send, refused: Refused, identity: str | int | None) -> None:
        error = {"code": refused.rpc, "message": refused.message, "data": {"reason": refused.reason}}
        body = json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode("ascii")
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            *refused.all_headers(self._resource_metadata),
        ]
        encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def is_below(scope: Scope, paths: Collection[str]) -> bool:
    """Whether the request is for one of these paths or for one below. paths: without a slash at the end."""
    # Servers and frameworks disagree whether `path` begins with `root_path`, so both readings are guarded.
    path: str = scope["path"]
    both = (path, path.removeprefix(scope.get("root_path", "")))
    return any(one == own or one.startswith(own + "/") for one in both for own in paths)


def _is_quotable(text: str) -> bool:
    return text.isascii() and text.isprintable() and not any(character in text for character in ' "\\')


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
            raise by_table("too_large", f"the body is longer than {most} bytes")
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
        return by_table("too_large", f"the body is {error}")
    except strict_json.NotStrict as error:
        return by_table("parse_error", f"the body is not strict JSON: {error}")


def _operation(message: Any) -> Operation:
    if isinstance(message, Refused):
        raise message
    if isinstance(message, list):
        raise by_table("batch_not_allowed", "a call token is for one call: send the messages one by one")
    if not isinstance(message, dict):
        raise by_table("invalid_request", "the body is not a JSON object")
    try:
        return operation_of(message)
    except NoOperation as error:
        raise by_table("invalid_request", str(error)) from None


def _operation_without_body(method: str) -> Operation:
    operation = _WITHOUT_BODY.get(method)
    if operation is None:
        raise by_table("http_method_refused", "use POST, GET or DELETE", headers=[("allow", "POST, GET, DELETE")])
    return Operation(operation)


def _id_of(message: dict[str, Any]) -> str | int | None:
    identity = message.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool) and abs(identity) <= _SAFE_INTEGER:
        return identity
    return identity if isinstance(identity, str) else None
