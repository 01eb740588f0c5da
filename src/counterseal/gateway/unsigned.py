"""The same request as the gateway's, without a call token: does the server refuse it?

This is the one thing that leaves without a token, and only where somebody asks for it on the command line. It asks for nothing
but a list, holds no credential of a caller's, and what comes back is not kept. A server that answers does not verify.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from counterseal.core.limits import Limits
from counterseal.core.methods import LEGACY, MODERN
from counterseal.errors import ServerError
from counterseal.gateway.judged import Line
from counterseal.httpclient import Target
from counterseal.servers.http import Http, Request, Response
from counterseal.servers.streamable_http import Destination
from counterseal.wire import bridge, endpoint, jsonrpc
from counterseal.wire.envelope import CAPABILITIES, VERSION
from counterseal.wire.eventstream import Reader

_ABOUT: Final = "unsigned"
_REFUSED: Final = frozenset({401, 403, 407})
_READ_BYTES: Final = 1024 * 1024
_EVENTS_SECONDS: Final = 20.0
_BOTH: Final = "application/json, text/event-stream"
_MEND: Final = "whoever reaches it can call it: let it verify call tokens (docs/verifying.md)"

_read: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Unsigned:
    """One server over HTTP. client: our name and version."""

    def __init__(self, destination: Destination, http: Http, limits: Limits, client: tuple[str, str]) -> None:
        self._target = Target(destination.url)
        self._url = destination.url
        self._http = http
        self._limits = limits
        self._client = client
        self._usual = (("User-Agent", destination.user_agent), ("Accept-Encoding", "identity"), *destination.static)

    async def modern(self) -> Line:
        """A list in revision 2026-07-28."""
        meta = {VERSION: MODERN, CAPABILITIES: {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        headers = [("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/list")]
        return await self._list(message, headers)

    async def legacy(self) -> Line:
        """A handshake, and where that is answered a list in its session."""
        message = {**bridge.initialize(LEGACY[-1], *self._client), "id": 1}
        try:
            response = await self._post(self._target, message, [])
            session = response.header(b"mcp-session-id")
            body = await self._body(response)
        except ServerError as error:
            return _untold(error)
        result = _result(body)
        if result is None:
            return self._judged(response.status, body)
        headers = [("MCP-Protocol-Version", str(result.get("protocolVersion", LEGACY[-1])))]
        if session is not None and session.isascii() and session.isprintable():
            headers.append(("Mcp-Session-Id", session))
        try:
            response = await self._post(
                self._target, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers
            )
            response.abort()
        except ServerError as error:
            return _untold(error)
        return await self._list({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}, headers)

    async def event_stream(self) -> Line:
        """The stream of HTTP+SSE, and where that is opened a handshake at the address that it names."""
        headers = (*self._usual, ("Accept", "text/event-stream"), ("Cache-Control", "no-store"))
        try:
            stream = await self._http.send(Request("GET", self._target, headers, None, _EVENTS_SECONDS))
            try:
                if stream.status in _REFUSED:
                    return _refuses(stream.status)
                chunks = stream.chunks()  # held on to, because the stream ends with it
                named = await self._named(chunks) if stream.status == 200 else None
                if named is None:
                    return Line("note", _ABOUT, f"it answers {stream.status} to a request without a call token")
                message = {**bridge.initialize(LEGACY[0], *self._client), "id": 1}
                response = await self._post(named, message, [])
                response.abort()
            finally:
                stream.abort()
        except ServerError as error:
            return _untold(error)
        if response.status in _REFUSED:
            return _refuses(response.status)
        if 200 <= response.status < 300:
            return Line("warning", _ABOUT, f"it takes messages without a call token, so {_MEND}", {"verifies": False})
        return Line("note", _ABOUT, f"it answers {response.status} to a message without a call token")

    async def base(self) -> Line:
        """Whether anything answers at the address of an HTTP API. Its operations may have effects, so none is tried."""
        try:
            response = await self._http.send(
                Request("GET", self._target, (*self._usual, ("Accept", "*/*")), None, None)
            )
            response.abort()
        except ServerError as error:
            return Line("problem", "reach", f"{self._url}: {error.detail or error.message}")
        return Line("ok", "reach", f"{self._url} answers ({response.status})", {"status": response.status})

    async def _list(self, message: dict[str, Any], headers: Sequence[tuple[str, str]]) -> Line:
        try:
            response = await self._post(self._target, message, headers)
            return self._judged(response.status, await self._body(response))
        except ServerError as error:
            return _untold(error)

    def _judged(self, status: int, body: bytes) -> Line:
        if status in _REFUSED:
            return _refuses(status)
        result = _result(body) if 200 <= status < 300 else None
        if result is not None:
            return Line(
                "warning", _ABOUT, f"it answers `tools/list` without a call token, so {_MEND}", {"verifies": False}
            )
        return Line("note", _ABOUT, f"it answers {status} and no list to a request without a call token")

    async def _post(self, target: Target, message: dict[str, Any], headers: Sequence[tuple[str, str]]) -> Response:
        sent = (*self._usual, ("Content-Type", "application/json"), ("Accept", _BOTH), *headers)
        return await self._http.send(Request("POST", target, sent, jsonrpc.write(message), None))

    async def _body(self, response: Response) -> bytes:
        """A JSON text, or that of the last event with data."""
        media = (response.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media != "text/event-stream":
            return await response.read(_READ_BYTES)
        reader, last = Reader(_READ_BYTES), b""
        try:
            async for chunk in response.chunks():
                for event in reader.feed(chunk):
                    last = event.data or last
                if _result(last) is not None:
                    break
        finally:
            response.abort()
        return last

    async def _named(self, chunks: AsyncIterator[bytes]) -> Target | None:
        reader = Reader(self._limits.server_event_bytes)
        async for chunk in chunks:
            for event in reader.feed(chunk):
                if event.event == b"endpoint" and event.data is not None:
                    try:
                        return Target(endpoint.resolve(self._url, event.data))
                    except ValueError:
                        return None
        return None


def _refuses(status: int) -> Line:
    return Line("ok", _ABOUT, f"it refuses a request without a call token ({status})", {"verifies": True})


def _untold(error: ServerError) -> Line:
    return Line("note", _ABOUT, f"whether it refuses a request without a call token was not found out: {error.message}")


def _result(body: bytes) -> dict[str, Any] | None:
    try:
        result = _read(body).get("result")
    except msgspec.DecodeError:
        return None
    return result if isinstance(result, dict) else None
