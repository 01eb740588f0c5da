"""Headers that hooks add: they go out behind ours, and take the place of none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era
from tests.servers.permits import SESSION, TOKEN, permit, read, rows, sending
from tests.support.hostile import HostileServer, response, whole


@pytest.mark.parametrize(
    ("era", "method"), [(era, name) for era in Era for name in rows(era)], ids=lambda one: getattr(one, "value", one)
)
async def test_headers_of_hooks_go_with_every_method_behind_ours(server: HostileServer, era: Era, method: str) -> None:
    session = None if era is Era.MODERN or method == "initialize" else SESSION
    async with sending(server) as room:
        plain = permit(method=method, era=era, session=session)
        await read(await room.send(plain))
        await read(await room.send(replace(plain, headers=(("X-A", "1"), ("X-B", "2")))))
    before, after = server.seen
    ours = [name.lower() for name, _ in before.headers]
    assert [name.lower() for name, _ in after.headers if name.lower() not in ("x-a", "x-b")] == ours
    assert (after.all("x-a"), after.all("x-b")) == (["1"], ["2"])


@pytest.mark.parametrize("header", ["Authorization", "X-Call-Token"])
async def test_p_04_none_takes_the_place_of_one_of_ours(server: HostileServer, header: str) -> None:
    """The runner refuses such a call before; here nothing would come of it either."""
    static = (("X-Server-Key", "own"),)
    evil = ("Authorization", "x-call-token", "x-server-key", "Mcp-Method", "MCP-NAME", "Content-Type", "User-Agent")
    async with sending(server, header=header, static=static) as room:
        plain = permit()
        await read(await room.send(plain))
        await read(await room.send(replace(plain, headers=tuple((name, "evil") for name in evil))))
    before, after = server.seen
    for name in before.names:
        if name != "host":
            assert after.all(name) == before.all(name)
    assert TOKEN in after.raw.decode()
    assert {name for name in after.names if "evil" in after.all(name)} == {"authorization", "x-call-token"} - {
        header.lower()
    }


async def test_m_16_a_list_teaches_what_a_tool_takes(server: HostileServer) -> None:
    server.answer = lambda heard, line: line.send(
        whole(response(heard, {"tools": [{"name": "a", "inputSchema": {"type": "object"}}, {"name": "b"}]}))
    )
    async with sending(server) as room:
        assert room.input_schema("a") is None
        await read(await room.send(permit(method="tools/list")))
        assert room.input_schema("a") == b'{"type": "object"}'
        assert room.input_schema("b") == b"null"
        assert room.input_schema("c") is None


async def test_a_list_of_somebody_who_may_see_less_teaches_less(server: HostileServer) -> None:
    async with sending(server, decide=lambda caller, name, method, item, text: item == "get_weather") as room:
        await read(await room.send(permit(method="tools/list")))
        assert room.input_schema("get_weather") == b'{"type": "object"}'
        assert room.input_schema("delete_all") is None
