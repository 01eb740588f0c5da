"""Asking a server for its tools, as a caller would: each page is a call with a permit of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.servers.link import Countersign, invalid
from counterseal.wire.envelope import CAPABILITIES, VERSION
from counterseal.wire.eventstream import Reader

_MOST_PAGES: Final = 100

_read: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Server(Protocol):
    """Where a permit goes."""

    async def send(self, permit: Permit) -> Reply: ...


class Listing:
    """Lists the tools of a call's server in the era and the session of that call. What it hears is for whoever watches lists."""

    def __init__(
        self, servers: Mapping[str, Server], countersign: Countersign, new_id: Callable[[], str], limits: Limits
    ) -> None:
        self._servers = servers
        self._countersign = countersign
        self._new_id = new_id
        self._limits = limits

    async def __call__(self, caller: Caller, call: Call) -> None:
        """Raises CallError."""
        async for _ in self.pages(caller, call):
            pass

    async def pages(self, caller: Caller, call: Call) -> AsyncIterator[dict[str, Any]]:
        """The response to each page, to the first error. Raises CallError."""
        cursor = None
        for _ in range(_MOST_PAGES):
            response = await self.ask(caller, _of_tools(call, "list-" + self._new_id(), cursor))
            yield response
            cursor = response.get("result", {}).get("nextCursor")
            if not isinstance(cursor, str):
                return

    async def ask(self, caller: Caller, call: Call) -> dict[str, Any]:
        """The response to one request. Raises CallError."""
        async with self._countersign(caller, call) as permit:
            reply = await self._servers[call.server].send(permit)
            return response_of(reply, await whole(reply), self._limits)


async def whole(reply: Reply) -> bytes:
    """The body to its end. Raises CallError."""
    if isinstance(reply.body, bytes):
        return reply.body
    try:
        return b"".join([chunk async for chunk in reply.body])
    finally:
        await reply.body.aclose()


def response_of(reply: Reply, body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON-RPC response in a whole body. Raises ServerError where there is none."""
    texts = [body]
    if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers):
        texts = [event.data for event in Reader(limits.server_event_bytes).feed(body) if event.data]
    for text in reversed(texts):
        try:
            message = _read(text)
        except msgspec.DecodeError:
            continue
        if isinstance(message.get("result"), dict) or isinstance(message.get("error"), dict):
            return message
    raise invalid("it holds no response")


def _of_tools(call: Call, id: str, cursor: str | None) -> Call:
    params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
    if call.era is Era.MODERN:
        params["_meta"] = {VERSION: call.revision, CAPABILITIES: {}}
    return replace(
        call,
        shape=Shape.REQUEST,
        method="tools/list",
        id=id,
        name=None,
        arguments=None,
        message={"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params},
        last_event_id=None,
        param_headers=(),
    )
