"""The lists that the gateway asks for itself: once for many, page by page, and not for ever."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.reply import Reply
from counterseal.errors import ServerError
from counterseal.gateway.listing import response_of
from counterseal.gateway.wiring import open_gateway
from tests.contracts.http import until
from tests.gateway.opening import written
from tests.gateway.pinning import Tools, called, entries, names, tool
from tests.support.hostile import Heard, HostileServer, Line, response, whole

EVENTS = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
FOUND = {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}
REFUSED = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}}


def events(*messages: object) -> bytes:
    return b"".join(b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages)


@pytest.mark.parametrize("wanted", [FOUND, REFUSED])
def test_the_response_is_found_in_a_whole_body_and_among_events(wanted: dict[str, object]) -> None:
    assert response_of(Reply(200, JSON, b""), json.dumps(wanted).encode(), LIMITS) == wanted
    assert response_of(Reply(200, EVENTS, b""), events(PROGRESS, wanted), LIMITS) == wanted


@pytest.mark.parametrize(("headers", "body"), [(JSON, b""), (JSON, b"[]"), (EVENTS, events(PROGRESS)), (EVENTS, b"")])
def test_where_there_is_no_response_it_is_an_error_of_the_server(
    headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    with pytest.raises(ServerError, match="not valid"):
        response_of(Reply(200, headers, b""), body, LIMITS)


async def pinned(path: Path) -> None:
    async with open_gateway(path) as gateway:
        await names(gateway)


async def test_many_calls_that_come_at_once_after_a_start_wait_for_one_list(
    server: HostileServer, folder: Path
) -> None:
    tools, path = Tools(server, tool("get_a"), tool("get_b")), written(folder, server)
    await pinned(path)
    async with open_gateway(path) as gateway:
        before = tools.heard("tools/list")
        assert set(await asyncio.gather(*(called(gateway, "get_a") for _ in range(20)))) == {"ok"}
        assert tools.heard("tools/list") == before + 1


async def test_whoever_leaves_does_not_end_the_list_for_the_others(server: HostileServer, folder: Path) -> None:
    tools, path = Tools(server, tool("get_a")), written(folder, server)
    await pinned(path)
    go = asyncio.Event()
    answer, loop = server.answer, asyncio.get_running_loop()

    def later(heard: Heard, line: Line) -> None:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)
        answer(heard, line)

    server.answer = later
    async with open_gateway(path) as gateway:
        before = tools.heard("tools/list")
        first = asyncio.ensure_future(called(gateway, "get_a"))
        assert await until(lambda: tools.heard("tools/list") == before + 1)
        second = asyncio.ensure_future(called(gateway, "get_a"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        assert await second == "ok"
        assert tools.heard("tools/list") == before + 1
    aborted = [one for one in entries(folder, "refusal") if one["reason"] == "caller_left"]
    assert len(aborted) == 1


async def test_a_list_without_an_end_is_not_read_for_ever(server: HostileServer, folder: Path) -> None:
    tools, path = Tools(server, tool("get_a"), tool("get_b")), written(folder, server)
    await pinned(path)

    def endless(heard: Heard, line: Line) -> None:
        line.send(whole(response(heard, {"tools": [tool("get_a")], "nextCursor": "more", "resultType": "complete"})))

    server.answer = endless
    async with open_gateway(path) as gateway:
        before = tools.heard("tools/list")
        assert await called(gateway, "get_b") == "tool_unlisted"
        assert tools.heard("tools/list") == before + 100
        assert tools.heard("tools/call") == 0
