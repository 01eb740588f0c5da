"""A server that hangs takes so many places and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.errors import CallError, ServerError
from counterseal.servers.bounded import Bounded
from tests.servers.permits import permit


class Pieces:
    """A stream of two pieces."""

    is_error = None

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def aclose(self) -> None:
        self.closed += 1


class Server:
    """Answers with `reply`, an error, or not before `go`."""

    def __init__(self) -> None:
        self.reply: Reply | Exception = Reply(200, (), b"{}")
        self.go = asyncio.Event()
        self.go.set()
        self.sent = 0

    async def send(self, permit: Permit) -> Reply:
        self.sent += 1
        await self.go.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    def schema(self, tool: str) -> Any:
        return {tool: 1}

    def input_schema(self, tool: str) -> bytes | None:
        return tool.encode()

    def request_headers(self, permit: Permit) -> list[tuple[str, str]]:
        return [("a", "b")]

    def healthy(self) -> str | None:
        return None

    async def close(self) -> None:
        self.sent = -1


async def send(bounded: Bounded) -> str:
    try:
        await bounded.send(permit())
    except CallError as error:
        return error.reason.code if error.headers in ((), ((b"retry-after", b"1"),)) else "another Retry-After"
    return "ok"


async def test_the_call_over_the_ceiling_is_refused_at_once_and_not_sent() -> None:
    server = Server()
    bounded = Bounded(server, 2)
    server.go.clear()
    hanging = [asyncio.ensure_future(send(bounded)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await send(bounded) == "server_busy"
    assert server.sent == 2
    assert "2 calls are in flight" in str(bounded.healthy())
    server.go.set()
    assert await asyncio.gather(*hanging) == ["ok", "ok"]
    assert bounded.healthy() is None
    assert await send(bounded) == "ok"


async def test_a_call_that_fails_or_is_left_gives_its_place_back() -> None:
    server = Server()
    bounded = Bounded(server, 1)
    server.reply = ServerError("server_unreachable", "gone")
    assert [await send(bounded) for _ in range(3)] == ["server_unreachable"] * 3
    server.go.clear()
    left = asyncio.ensure_future(send(bounded))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    server.go.set()
    server.reply = Reply(200, (), b"{}")
    assert await send(bounded) == "ok"


@pytest.mark.parametrize("how", ["to its end", "closed", "both"])
async def test_a_stream_has_its_place_until_it_ends(how: str) -> None:
    server, pieces = Server(), Pieces()
    bounded = Bounded(server, 1)
    server.reply = Reply(200, ((b"a", b"b"),), pieces, note="n")
    reply = await bounded.send(permit())
    assert (reply.headers, reply.note) == (((b"a", b"b"),), "n")
    assert not isinstance(reply.body, bytes)
    assert await send(bounded) == "server_busy"
    if how != "closed":
        assert [piece async for piece in reply.body] == [b"a", b"b"]
    if how != "to its end":
        await reply.body.aclose()
    assert pieces.closed == (how != "to its end")
    server.reply = Reply(200, (), b"{}")
    assert [await send(bounded) for _ in range(2)] == ["ok", "ok"]


async def test_everything_else_is_the_servers() -> None:
    server = Server()
    bounded = Bounded(server, 1, lambda: "not reached")
    assert (bounded.schema("t"), bounded.input_schema("t"), bounded.request_headers(permit())) == (
        {"t": 1},
        b"t",
        [("a", "b")],
    )
    assert bounded.healthy() == "not reached"
    await bounded.close()
    assert server.sent == -1
