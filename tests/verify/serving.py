"""Servers in this process, and raw requests to them: for the adapters. Tokens are good now, by the clock of the machine."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from counterseal.verify import Verifier
from tests.support.calls import modern_headers, tool_call
from tests.support.tokens import AUDIENCE, ISSUER, call_claims, jwks, token

_numbers = itertools.count()


def verifier(**settings: Any) -> Verifier:
    return Verifier(**{"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks("ES256"), **settings})


def fresh(method: str = "tools/call", name: str | None = "get_weather", arguments: Any = None, **changes: Any) -> str:
    """A call token that was not used yet."""
    now = int(time.time())
    times = {"iat": now, "nbf": now, "exp": now + 60, "jti": f"fresh-{next(_numbers)}"}
    return token(
        call_claims(method, name, {"city": "Oslo"} if arguments is None else arguments, **{**times, **changes})
    )


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. message: the JSON-RPC message in it, or the JSON."""

    status: int
    headers: httpx2.Headers
    message: Any

    @property
    def reason(self) -> str:
        return str(self.message["error"]["data"]["reason"])

    @property
    def text(self) -> str:
        return str(self.message["result"]["content"][0]["text"])


class Serving:
    """Requests to one application."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(
        self, message: Any = None, token: str | None = None, *, http: str = "POST", path: str = "/mcp", **headers: str
    ) -> Said:
        """One request. headers: with underscores for hyphens; they replace those of a modern request."""
        sent = {"Accept": "application/json, text/event-stream"} if message is None else modern_headers(message)
        sent |= {} if token is None else {"Authorization": f"Bearer {token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if message is None else json.dumps(message).encode()
        answer = await self._client.request(
            http, path, content=body, headers={name: value for name, value in sent.items() if value}
        )
        text = answer.text
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
        try:
            return Said(answer.status_code, answer.headers, json.loads(text) if text else None)
        except ValueError:
            return Said(answer.status_code, answer.headers, text)

    async def weather(self, token: str | None, city: str = "Oslo", **more: Any) -> Said:
        """`get_weather` by revision 2026-07-28."""
        return await self.ask(tool_call("get_weather", {"city": city}), token, **more)


@asynccontextmanager
async def serving(app: Any, lifespan_of: Any = None) -> AsyncIterator[Serving]:
    """The application, started. lifespan_of: the Starlette application within, where `app` is something around it."""
    inner = app if lifespan_of is None else lifespan_of
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        inner.router.lifespan_context(inner),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        yield Serving(client)


class Session:
    """A legacy session: `initialize`, then what a test sends in it. mint: makes the token for a method, name and arguments."""

    def __init__(self, serving: Serving, revision: str = "2025-11-25") -> None:
        self._serving = serving
        self._revision = revision
        self._id = ""

    async def open(self, **claims: Any) -> Session:
        params = {
            "protocolVersion": self._revision,
            "capabilities": {},
            "clientInfo": {"name": "counterseal-tests", "version": "1"},
        }
        said = await self.send("initialize", params, fresh("initialize", None, **claims))
        assert said.status == 200, said
        self._id = said.headers["mcp-session-id"]
        told = await self.send("notifications/initialized", None, fresh("notifications/initialized", None), id=None)
        assert told.status == 202, told
        return self

    async def send(self, method: str, params: Any, token: str | None, *, id: int | None = 1, **headers: str) -> Said:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        message |= {} if id is None else {"id": id}
        message |= {} if params is None else {"params": params}
        own = {"MCP_Protocol_Version": self._revision, "Mcp_Method": "", "Mcp_Name": "", "Mcp_Session_Id": self._id}
        return await self._serving.ask({"params": {}, **message}, token, **{**own, **headers})

    async def weather(self, token: str | None, city: str = "Oslo") -> Said:
        return await self.send("tools/call", {"name": "get_weather", "arguments": {"city": city}}, token)
