"""A server whose tools can be changed while a gateway runs, and what callers of that gateway see of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counterseal.errors import CallError
from counterseal.gateway.wiring import Gateway
from tests.gateway.building import modern
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, response, whole


def tool(name: str, description: str = "good", **members: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **members}


class Tools:
    """Answers for a server: lists `tools`, in pages where `page` says how many a page has."""

    def __init__(self, server: HostileServer, *tools: dict[str, Any]) -> None:
        self.tools = list(tools)
        self.page: int | None = None
        self.kept: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"}
        self.server = server
        server.answer = self._answer

    def _answer(self, heard: Heard, line: Line) -> None:
        if heard.call["method"] == "server/discover":
            offered = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
            line.send(whole(response(heard, offered)))
            return
        if heard.call["method"] != "tools/list":
            line.send(whole(response(heard)))
            return
        start = int(heard.call["params"].get("cursor", 0))
        end = len(self.tools) if self.page is None else start + self.page
        more = {} if end >= len(self.tools) else {"nextCursor": str(end)}
        result = {"tools": self.tools[start:end], "resultType": "complete", **self.kept, **more}
        line.send(whole(response(heard, result)))

    def heard(self, method: str) -> int:
        """How many requests of this method arrived."""
        return sum(one.call["method"] == method for one in self.server.seen)


async def names(gateway: Gateway, **changes: Any) -> list[str]:
    """The tools that a list shows."""
    reply = await gateway.handler.handle(modern(**{"method": "tools/list", "key": None, **changes}))
    return [one["name"] for one in json.loads(await read(reply))["result"]["tools"]]


async def called(gateway: Gateway, name: str, **changes: Any) -> str:
    """`ok`, or the reason why a call of this tool was refused."""
    params = {"name": name, "arguments": {}}
    try:
        await read(await gateway.handler.handle(modern(**{"params": params, "key": None, **changes})))
    except CallError as error:
        return error.reason.code
    return "ok"


def entries(folder: Path, event: str) -> list[dict[str, Any]]:
    """The records of one kind, whoever wrote them."""
    lines = [line for path in sorted((folder / "audit").glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [one for one in map(json.loads, lines) if one["event"] == event]
