"""Runs an ASGI application in this process the way its owner would, and lets a test see which HTTP requests reached it.

Rules: a request is noted before anything decides about it, so "no request was made" can be asserted; nothing secret is kept.
`listening on http://HOST:PORT` is written to standard error once connections are accepted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from anyio import BrokenResourceError, ClosedResourceError

App = Callable[[Any, Any, Any], Awaitable[None]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Seen:
    """Outermost: notes every HTTP request and the status it got, and tells them as a JSON list at `GET /seen`.

    An entry is `{"http": "POST", "path": "/mcp", "method": "tools/call", "name": "echo", "token": "3f..", "status": 200}`.
    `token` is part of a digest of what came in `Authorization`, null for nothing: equal where it is the same. `method`
    and `name` (a tool, a prompt, or a resource's address) are null where the body is no JSON-RPC request; `status` is null
    until the answer begins.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._entries: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/seen":
            await self._tell(send)
        else:
            entry: dict[str, Any] = {
                "http": scope["method"],
                "path": scope["path"],
                "method": None,
                "name": None,
                "token": _digest([value for name, value in scope["headers"] if name == b"authorization"]),
                "status": None,
            }
            self._entries.append(entry)

            async def noting(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    entry["status"] = message["status"]
                await send(message)

            try:
                await self._app(scope, await _read(scope, receive, entry), noting)
            except Exception as error:
                if not (_has_ended(error) or (isinstance(error, RuntimeError) and _has_ended(error.__context__))):
                    raise

    async def _tell(self, send: Send) -> None:
        body = json.dumps(self._entries).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _digest(credentials: list[bytes]) -> str | None:
    return hashlib.sha256(b"\0".join(credentials)).hexdigest()[:16] if credentials else None


async def _read(scope: Scope, receive: Receive, entry: dict[str, Any]) -> Receive:
    """Reads a POST's body, fills in the entry, and returns a `receive` that gives the same messages once more."""
    messages: list[dict[str, Any]] = []
    more = scope["method"] == "POST"
    while more:
        messages.append(await receive())
        more = messages[-1].get("more_body", False)
    try:
        call = json.loads(b"".join(message.get("body", b"") for message in messages))
    except ValueError:
        call = None
    if isinstance(call, dict):
        entry["method"] = call.get("method")
        if isinstance(params := call.get("params"), dict):
            entry["name"] = params.get("name", params.get("uri"))

    async def again() -> dict[str, Any]:
        return messages.pop(0) if messages else await receive()

    return again


def _has_ended(error: BaseException | None) -> bool:
    """Whether this says that a session of the SDK's server had ended by then, and nothing else.

    It answers a notification with 202 and takes it one turn of the loop later, and begins the answer to a request before it takes
    that. Where the client ends the session just then, as LiteLLM does after a call that was refused, it writes a traceback, and
    may begin a second answer, which fails. No client sees either, and a test that looks for tracebacks is not about them.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(_has_ended, error.exceptions))
    return isinstance(error, ClosedResourceError | BrokenResourceError)


def _not_a_session_that_has_ended(record: logging.LogRecord) -> bool:
    """Whether a line of the SDK's belongs into the log."""
    return not (record.exc_info and _has_ended(record.exc_info[1]))


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"listening on http://{self.config.host}:{self.config.port}", file=sys.stderr, flush=True)


def run(app: App, port: int) -> None:
    """Serves on 127.0.0.1 until the process is told to end.

    The h11 parser, because it trims the white space around header values as RFC 9110 section 5.5 asks; a suite looks for that.
    """
    logging.getLogger("mcp.server.streamable_http").addFilter(_not_a_session_that_has_ended)
    _Announcing(uvicorn.Config(Seen(app), host="127.0.0.1", port=port, http="h11", log_level="warning")).run()
