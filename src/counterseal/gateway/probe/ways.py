"""How a token gets to a server over HTTP: one class for each kind of server and era. Each asks once, waits so long, and reads so
much. Those with one stream for all answers are in `duplex_ways`.

What is presented is a `Presented`; each way gives it the form that its servers know. The request around it is the same for good
and bad tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from counterseal import __version__
from counterseal.core.limits import LIMITS
from counterseal.core.methods import END_SESSION, LEGACY, METHODS, MODERN, STREAM
from counterseal.core.operation import Operation
from counterseal.gateway.probe.answers import Answer, of_message, of_status, refusal_of_an_api
from counterseal.httpclient import Client, HttpError, HttpTimeout, Response, Target, Timeouts
from counterseal.wire import headers as wire_headers
from counterseal.wire import jsonrpc
from counterseal.wire.envelope import CAPABILITIES, VERSION
from counterseal.wire.eventstream import EventTooLarge, Reader
from counterseal.wire.openapi.request import NotWritten, write_request
from counterseal.wire.openapi.tool import Tool

MOST_BYTES: Final = 1024 * 1024
"""Of one answer."""
CLIENT: Final = {"name": "counterseal-probe", "version": __version__}
INITIALIZED: Final = "notifications/initialized"


@dataclass(frozen=True, slots=True)
class Presented:
    """What stands where the call token would. tokens: one header each. scheme: before each. headers: others beside."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    scheme: str = "Bearer"
    headers: tuple[tuple[str, str], ...] = ()


Sign = Callable[[Operation], Awaitable[str]]
"""A good token for an operation."""


class Unusable(Exception):
    """The server does not take the good token by this way. The text says what it answered."""


class Way(Protocol):
    """name: for people. methods: of MCP that can be asked for without an effect; empty where there are none. headers: whether a
    request has any. scheme: whether a token stands behind one."""

    name: str
    methods: Sequence[str]
    headers: bool
    scheme: bool

    async def open(self, sign: Sign) -> None:
        """Do what comes before every call. Raises Unusable."""
        ...

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        """One request. Does not raise: what goes wrong is an answer."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is. header: carries the call token. static: the server's own credentials. seconds: for one request."""

    url: str
    header: str
    static: tuple[tuple[str, str], ...] = field(repr=False)
    seconds: float

    def credential(self, presented: Presented) -> list[tuple[str, str]]:
        """The headers that carry it."""
        bare = self.header.lower() != "authorization"
        found = [(self.header, token if bare else f"{presented.scheme} {token}") for token in presented.tokens]
        return [*found, *presented.headers]


class OverHttp:
    """One request over HTTP at a time."""

    headers: bool = True

    def __init__(self, place: Place, client: Client) -> None:
        self.scheme = place.header.lower() == "authorization"
        self._place = place
        self._client = client
        self._target = Target(place.url)

    async def exchange(
        self,
        verb: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        read: Callable[[Response], Awaitable[Answer]],
        target: Target | None = None,
    ) -> Answer:
        seconds = self._place.seconds
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.send(
                    verb, target or self._target, headers, body, Timeouts(seconds, seconds, seconds)
                )
                try:
                    return await read(response)
                finally:
                    response.abort()
        except (TimeoutError, HttpTimeout):
            return Answer("error", f"no answer in {seconds:g} s")
        except HttpError as error:
            return Answer("error", str(error))

    def common(self, presented: Presented) -> list[tuple[str, str]]:
        own = {name.lower() for name, _ in presented.headers} | {self._place.header.lower()}
        static = [(name, value) for name, value in self._place.static if name.lower() not in own]
        agent = ("User-Agent", f"counterseal/{__version__} probe")
        return [*self._place.credential(presented), agent, ("Accept-Encoding", "identity"), *static]


class _Mcp(OverHttp):
    """What both eras share."""

    methods: Sequence[str] = ()

    def __init__(self, place: Place, client: Client) -> None:
        super().__init__(place, client)
        self._id = 0

    async def close(self) -> None:
        """There is nothing to close."""

    async def post(
        self, message: Mapping[str, Any], presented: Presented, headers: Sequence[tuple[str, str]]
    ) -> Answer:
        """One message, and the answer to it."""
        media = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        whole = [*self.common(presented), *media, *headers]
        return await self.exchange("POST", whole, jsonrpc.write(message), self.read)

    async def read(self, response: Response) -> Answer:
        """The response to the request that went out last."""
        if (by_status := of_status(response.status)) is not None:
            return by_status
        media = _header(response, b"content-type").partition(";")[0].strip().lower()
        if media == "text/event-stream":
            return await self._read_events(response)
        body = bytearray()
        while (chunk := await response.next_chunk()) is not None:
            body += chunk
            if len(body) > MOST_BYTES:
                return Answer("error", "an answer of more than 1 MiB")
        return of_message(bytes(body)) if body else Answer("error", f"HTTP {response.status} without a response")

    async def _read_events(self, response: Response) -> Answer:
        reader, size = Reader(MOST_BYTES), 0
        while (chunk := await response.next_chunk()) is not None:
            size += len(chunk)
            try:
                events = reader.feed(chunk)
            except EventTooLarge:
                return Answer("error", "an answer of more than 1 MiB")
            for event in events:
                if event.data and _answers(event.data, self._id):
                    return of_message(event.data)
            if size > MOST_BYTES:
                return Answer("error", "an answer of more than 1 MiB")
        return Answer("error", "a stream without a response")

    def next_id(self) -> int:
        self._id += 1
        return self._id


class Modern(_Mcp):
    """Revision 2026-07-28: each request stands alone."""

    name: str = f"MCP {MODERN}"
    methods: Sequence[str] = ("server/discover", "tools/list", "prompts/list", "resources/list")

    def __init__(self, place: Place, client: Client) -> None:
        super().__init__(place, client)
        self._mirrors: dict[str, Mapping[wire_headers.Path, str]] = {}

    async def open(self, sign: Sign) -> None:
        """Look which arguments its tools want to have in headers too. A server without a list has none."""
        listed = Operation("tools/list")
        answer = await self.ask(listed, Presented((await sign(listed),)))
        tools = (answer.result or {}).get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                with contextlib.suppress(ValueError):
                    self._mirrors[tool["name"]] = wire_headers.annotated(tool.get("inputSchema"))

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        meta = {VERSION: MODERN, CAPABILITIES: {}, "io.modelcontextprotocol/clientInfo": CLIENT}
        params = {**params_of(operation), "_meta": meta}
        message = {"jsonrpc": "2.0", "id": self.next_id(), "method": operation.method, "params": params}
        headers = [("MCP-Protocol-Version", MODERN), ("Mcp-Method", operation.method)]
        if operation.name is not None:
            headers.append(("Mcp-Name", wire_headers.encode_value(operation.name)))
            mirrored = wire_headers.mirrored(self._mirrors.get(operation.name, {}), operation.arguments or {})
            headers += [(name, wire_headers.encode_value(value)) for name, value in mirrored.items()]
        return await self.post(message, presented, headers)


class Legacy(_Mcp):
    """The revisions with a handshake: one session, opened with good tokens, in which good and bad ones are tried."""

    name: str = "MCP with a session"
    methods: Sequence[str] = ("initialize", "ping", "tools/list", "prompts/list", "resources/list", STREAM)

    def __init__(self, place: Place, client: Client) -> None:
        super().__init__(place, client)
        self._session: list[tuple[str, str]] = []
        self._sign: Sign | None = None

    async def open(self, sign: Sign) -> None:
        self._sign = sign
        first = Operation("initialize")
        answer = await self.ask(first, Presented((await sign(first),)))
        if answer.verdict != "accepted" or answer.result is None:
            raise Unusable(answer.said)
        revision = answer.result.get("protocolVersion")
        if revision not in LEGACY:
            raise Unusable(f"it speaks the revision {revision!r}")
        self._session.append(("MCP-Protocol-Version", str(revision)))
        second = Operation(INITIALIZED)
        message = {"jsonrpc": "2.0", "method": INITIALIZED}
        await self.post(message, Presented((await sign(second),)), self._session)

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        if operation.method == STREAM:
            headers = [*self.common(presented), ("Accept", "text/event-stream"), *self._session]
            return await self.exchange("GET", headers, None, opened)
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self.next_id(), "method": operation.method}
        if operation.method == "initialize":
            message["params"] = {"protocolVersion": LEGACY[-1], "capabilities": {}, "clientInfo": CLIENT}
            return await self.post(message, presented, ())
        if params := params_of(operation):
            message["params"] = params
        return await self.post(message, presented, self._session)

    async def close(self) -> None:
        """End the session, where there is one."""
        if self._sign is not None and any(name == "Mcp-Session-Id" for name, _ in self._session):
            token = await self._sign(Operation(END_SESSION))
            headers = [*self.common(Presented((token,))), *self._session]
            await self.exchange("DELETE", headers, None, opened)

    async def read(self, response: Response) -> Answer:
        id = _header(response, b"mcp-session-id")
        if id and not self._session and 200 <= response.status < 300:
            self._session.append(("Mcp-Session-Id", id))
        return await super().read(response)


class HttpApi(OverHttp):
    """An HTTP API with an OpenAPI document: a call of a tool is one request."""

    name: str = "HTTP API"
    methods: Sequence[str] = ()

    def __init__(self, place: Place, client: Client, tools: Mapping[str, Tool]) -> None:
        super().__init__(place, client)
        self._tools = tools
        self._base = Target(place.url)
        self._path = place.url.partition("://")[2].partition("/")[2].rstrip("/")

    async def open(self, sign: Sign) -> None:
        """Nothing comes before a call."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        tool = self._tools.get(operation.name or "")
        if tool is None:
            return Answer("error", "the document has no such tool")
        try:
            written = write_request(tool, operation.arguments or {}, LIMITS.openapi_target_bytes)
        except NotWritten as error:
            return Answer("error", str(error))
        target = self._base.at((f"/{self._path}" if self._path else "") + written.target)
        headers = [*self.common(presented), ("Accept", "*/*"), *written.headers]
        return await self.exchange(written.verb, headers, written.body, by_status, target)


def params_of(operation: Operation) -> dict[str, Any]:
    row = METHODS[operation.method]
    params: dict[str, Any] = {}
    if row.name_field is not None:
        params[row.name_field] = operation.name
    if operation.arguments is not None:
        params["arguments"] = operation.arguments
    return params


async def opened(response: Response) -> Answer:
    """A stream counts as opened by its head."""
    return of_status(response.status) or Answer("accepted", "opened a stream")


async def by_status(response: Response) -> Answer:
    size = 0
    while (chunk := await response.next_chunk()) is not None:
        size += len(chunk)
        if size > MOST_BYTES:
            break
    return refusal_of_an_api(response.status)


def _answers(data: bytes, id: int) -> bool:
    try:
        message = json.loads(data)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("id") in (id, None) and "method" not in message


def _header(response: Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key == name), "")
