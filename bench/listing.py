"""What a list of all servers costs that is kept: 20 servers of 50 tools, in this process, through the gateway's own `handle`.

The gateway is built by its own composition root from a configuration file, with a store, a file of records on the disk and a rule
about tools. The servers are asked once; that they are not asked again is looked up in the records.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any, Final

from bench.call import REVISION
from bench.machine import pinned
from counterseal.core.call import Inbound
from counterseal.core.reply import Reply
from counterseal.gateway.wiring import Gateway, open_gateway

SERVERS: Final = 20
TOOLS: Final = 50
_CALLS: Final = 20


class NotListed(Exception):
    """The list is not what it should be; the message says how."""


def milliseconds(answer: str, core: int, folder: Path, repeats: int) -> list[float]:
    """Wall-clock milliseconds for one list, of each repeat. answer: the answering server's address. Raises NotListed."""
    folder.mkdir()
    with pinned(core):
        return asyncio.run(_measure(answer, folder, repeats))


async def _measure(answer: str, folder: Path, repeats: int) -> list[float]:
    configuration = folder / "counterseal.yaml"
    configuration.write_text(_configuration(answer, folder))
    inbound = _inbound()
    async with open_gateway(configuration, background=False) as gateway:
        await _listed(gateway, inbound)
        before = _intents(folder)
        seen = []
        for _ in range(repeats):
            began = time.perf_counter()
            for _ in range(_CALLS):
                await _listed(gateway, inbound)
            seen.append((time.perf_counter() - began) / _CALLS * 1000)
    if _intents(folder) != before:
        raise NotListed("a server was asked again")
    return seen


async def _listed(gateway: Gateway, inbound: Inbound) -> None:
    reply: Reply = await gateway.handler.handle(inbound)
    assert isinstance(reply.body, bytes)
    count = reply.body.count(b'"inputSchema"')
    if count != SERVERS * TOOLS:
        raise NotListed(f"{count} tools: {reply.body[-400:]!r}")


def _intents(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"intent"') for path in (folder / "audit").iterdir())


def _inbound() -> Inbound:
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).encode()
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/list",
    }
    return Inbound(
        "POST", "", tuple((name.encode(), value.encode()) for name, value in headers.items()), body, "127.0.0.1"
    )


def _configuration(answer: str, folder: Path) -> str:
    servers = "".join(f"  s{n}: {{url: {answer}/listed{n}}}\n" for n in range(SERVERS))
    return (
        "issuer: https://gateway.example.com\n"
        f"store: sqlite:{folder / 'counterseal.db'}\n"
        "callers: {api_keys: false, anonymous: true}\n"
        f"servers:\n{servers}"
        'policy:\n  - deny: {tools: ["delete_*"]}\n  - permit: {tools: ["tool_*", "get_*"]}\n'
        f'audit: {{sink: "file:{folder / "audit"}{os.sep}"}}\n'
    )
