"""A server that answers a request twice, the second time when it already has the next request on that connection (M-07, H-12)."""

from __future__ import annotations

import jwt
import pytest

from counterseal.core.call import Inbound
from counterseal.core.methods import LEGACY, MODERN
from counterseal.errors import ServerError
from tests.gateway.building import built, legacy, modern
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, response, whole


class Again:
    """Says to whom each answer goes. On a connection that had a call, the answer to that one comes once more, and first."""

    def __init__(self) -> None:
        self._last: dict[int, bytes] = {}
        self.repeats = True

    def __call__(self, heard: Heard, line: Line) -> None:
        mine = whole(response(heard, {"content": [], "_meta": {"for": subject(heard)}, "resultType": "complete"}))
        line.send((self._last.get(line.number, b"") if self.repeats else b"") + mine)
        self._last[line.number] = mine


def subject(heard: Heard) -> str:
    """On whose behalf the call is made."""
    claims = jwt.decode(heard.token, options={"verify_signature": False})
    return str(claims["sub"])


def call(revision: str, key: bytes) -> Inbound:
    if revision == MODERN:
        return modern("tools/call", key=key)
    return legacy("tools/call", (b"mcp-protocol-version", revision.encode()), key=key)


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("repeats", [False, True], ids=["once", "twice"])
async def test_m_07_of_an_answer_that_comes_twice_no_other_caller_gets_the_second(
    server: HostileServer, revision: str, repeats: bool
) -> None:
    """Callers of these revisions use the same ids, and their calls go out under them. So each has connections of his own."""
    again = server.answer = Again()
    again.repeats = repeats
    async with built(server) as gateway:
        for name in ("alice", "bob", "alice", "bob"):
            body = await read(await gateway.handler.handle(call(revision, f"key-of-{name}".encode())))
            assert f'"for":"{name}"'.encode() in body.replace(b" ", b"")
        assert server.calls == 4
    lines = [heard.line for heard in server.seen]
    assert lines[:2] == [1, 2]
    assert repeats or lines == [1, 2, 1, 2]


@pytest.mark.parametrize("repeats", [False, True], ids=["once", "twice"])
async def test_m_07_of_revision_2026_07_28_it_is_told_by_its_id(server: HostileServer, repeats: bool) -> None:
    """All callers share connections, and each request has an id of ours."""
    again = server.answer = Again()
    again.repeats = repeats
    async with built(server) as gateway:
        await read(await gateway.handler.handle(call(MODERN, b"key-of-alice")))
        if repeats:
            with pytest.raises(ServerError, match="not valid") as told:
                await gateway.handler.handle(call(MODERN, b"key-of-bob"))
            assert told.value.detail == "a response to another request"
        else:
            body = await read(await gateway.handler.handle(call(MODERN, b"key-of-bob")))
            assert b"bob" in body
        assert [heard.line for heard in server.seen] == [1, 1]
