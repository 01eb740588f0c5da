"""Several servers behind one gateway, each scripted, and what is said to and by all of them at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from counterseal.core.call import Inbound
from counterseal.core.reply import Reply
from counterseal.errors import CallError
from counterseal.servers.streamable_http import Destination
from tests.gateway.building import Built, built, legacy, modern
from tests.servers.permits import read
from tests.support.hostile import SESSION, Answering, Heard, HostileServer, Line, plain, response, whole

_NUMBERS: Final = itertools.count()
ALL: Final = ""
"""The server of a request to the address of all servers."""


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "inputSchema": {"type": "object"}} for name in names]


def answering(**results: Any) -> Answering:
    """A server with these results by method (`_` for `/`), else the plain ones. A callable is given the request's params; None is
    a method that the server does not have."""
    by_method = {name.replace("_", "/"): value for name, value in results.items()}

    def answer(heard: Heard, line: Line) -> None:
        call = heard.call
        if not call or call.get("method") not in by_method or "id" not in call:
            plain(heard, line)
            return
        value = by_method[call["method"]]
        if callable(value):
            value = value(call.get("params", {}))
        if value is None:
            error = {"code": -32601, "message": "no such method"}
            body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
            line.send(whole(body, "404 Not Found" if "_meta" in call.get("params", {}) else "200 OK"))
            return
        opens = {"mcp_session_id": f"{SESSION}-{next(_NUMBERS)}"} if call["method"] == "initialize" else {}
        line.send(whole(response(heard, {"resultType": "complete", **value}), **opens))

    return answer


def introducing(capabilities: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Results of both eras' introductions."""
    about = {"serverInfo": {"name": "s", "version": "1"}}
    return {
        "server_discover": {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, **more},
        "initialize": lambda params: {
            "protocolVersion": params["protocolVersion"],
            "capabilities": capabilities,
            **about,
            **more,
        },
    }


@dataclass(frozen=True, slots=True)
class World:
    """One gateway; servers by name."""

    gateway: Built
    servers: dict[str, HostileServer]

    def calls(self, method: str | None = None) -> dict[str, int]:
        """How many requests each server saw, of this method alone where one is given."""
        return {
            name: sum(1 for heard in server.seen if method is None or (heard.call or {}).get("method") == method)
            for name, server in self.servers.items()
        }

    async def reply(self, inbound: Inbound) -> Reply:
        return await self.gateway.handler.handle(inbound)

    async def ask(self, inbound: Inbound) -> Any:
        """The one message that a request is answered with."""
        reply = await self.reply(inbound)
        assert reply.status == 200
        return json.loads(await read(reply))

    async def result(self, method: str, params: dict[str, Any] | None = None, **changes: Any) -> Any:
        """The result of a modern request to all servers."""
        return (await self.ask(modern(method, {} if params is None else params, server=ALL, **changes)))["result"]

    async def open(self, *more: tuple[bytes, bytes], **changes: Any) -> tuple[bytes, Any]:
        """A legacy session with all servers: its id, and the result of `initialize`."""
        reply = await self.reply(legacy("initialize", *more, server=ALL, **changes))
        body = json.loads(await read(reply))
        return dict(reply.headers)[b"mcp-session-id"], body["result"]

    async def refused(self, inbound: Inbound) -> CallError:
        """The refusal: it made no call to any server, and left one record, whose id it holds."""
        before, calls = len(self.gateway.entries), self.calls()
        with pytest.raises(CallError) as told:
            await read(await self.reply(inbound))
        (entry,) = self.gateway.entries[before:]
        assert (entry["event"], entry["reason"]) == ("refusal", told.value.reason.code)
        assert entry["record"] == told.value.record
        assert self.calls() == calls, "a server was called"
        return told.value

    async def refused_after(self, inbound: Inbound) -> str:
        """The reason of a refusal that comes after the gather was recorded. No server was called."""
        calls = self.calls()
        with pytest.raises(CallError) as told:
            await read(await self.reply(inbound))
        assert self.calls() == calls, "a server was called"
        assert self.gateway.entries[-1]["record"] == told.value.record
        return told.value.reason.code

    def entries(self, event: str, **what: Any) -> list[dict[str, Any]]:
        found = [entry for entry in self.gateway.entries if entry["event"] == event]
        return [entry for entry in found if all(entry.get(name) == value for name, value in what.items())]


@asynccontextmanager
async def world(answers: Mapping[str, Answering] | None = None, **changes: Any) -> AsyncIterator[World]:
    """A server for each of the answers, in their order, after `weather`, which is always the first. changes: `built`'s."""
    answers = {"weather": plain, **(answers or {})}
    with ExitStack() as stack:
        servers = {}
        for name, answer in answers.items():
            servers[name] = stack.enter_context(HostileServer())
            servers[name].answer = answer
        first = servers["weather"]
        others = {
            name: Destination(name, one.url, "Authorization", (), "counterseal/test")
            for name, one in servers.items()
            if name != "weather"
        }
        async with built(first, others=others, **changes) as gateway:
            yield World(gateway, servers)
