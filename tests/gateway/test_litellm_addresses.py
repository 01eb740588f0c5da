"""LiteLLM's addresses: which servers a path or a header means, and that it permits nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from tests.gateway.aggregate.world import ALL, World, answering, introducing, tools, world
from tests.gateway.building import legacy, modern, posted, verified
from tests.servers.permits import read

NAMES = {
    "weather": ("weather",),
    "notes": ("notes",),
    "mail": ("mail",),
    "memos": ("notes",),
    "dev": ("weather", "notes"),
}
ONE = {"name": "notes-get", "arguments": {}}


@asynccontextmanager
async def there(**changes: Any) -> AsyncIterator[World]:
    def offers(*names: str) -> Any:
        return answering(tools_list={"tools": tools(*names)}, **introducing({"tools": {}}))

    answers = {"weather": offers("get", "notes-get"), "notes": offers("get"), "mail": offers("send")}
    async with world(answers, litellm=NAMES, **changes) as one:
        yield one


async def listed(one: World, server: str = ALL, *headers: tuple[bytes, bytes]) -> list[str]:
    body = json.loads(await read(await one.reply(modern("tools/list", {}, *headers, server=server))))
    return [tool["name"] for tool in body["result"]["tools"]]


EVERY = ["weather-get", "weather-notes-get", "notes-get", "mail-send"]


@pytest.mark.parametrize(
    ("server", "header", "shown"),
    [
        (ALL, None, EVERY),
        ("notes", None, ["notes-get"]),
        ("memos", None, ["notes-get"]),
        ("dev", None, EVERY[:3]),
        ("mail,memos", None, ["mail-send", "notes-get"]),
        ("mail,nobody", None, ["mail-send"]),
        (ALL, b"notes", ["notes-get"]),
        (ALL, b" mail , memos ", ["mail-send", "notes-get"]),
        (ALL, b"nobody", []),
        (ALL, b"", []),
        ("notes", b"mail", ["notes-get"]),
    ],
)
async def test_a_path_or_else_a_header_says_which_servers_are_meant(
    server: str, header: bytes | None, shown: list[str]
) -> None:
    headers = [] if header is None else [(b"x-mcp-servers", header)]
    async with there() as one:
        assert sorted(await listed(one, server, *headers)) == sorted(shown)


async def test_groups_may_be_in_a_header_of_their_own() -> None:
    async with there() as one:
        assert await listed(one, ALL, (b"x-mcp-access-groups", b"dev")) == EVERY[:3]


@pytest.mark.parametrize("server", ["nobody", "nobody,noone", "Notes"])
async def test_a_path_that_means_no_server_is_refused_and_recorded(server: str) -> None:
    async with there() as one:
        error = await one.refused(modern("tools/list", {}, server=server))
        assert error.reason.code == "server_unknown"


async def test_a_header_that_is_there_twice_is_refused() -> None:
    async with there() as one:
        twice = [(b"x-mcp-servers", b"notes"), (b"x-mcp-servers", b"mail")]
        assert (await one.refused(modern("tools/list", {}, *twice, server=ALL))).reason.code == "bad_header"


@pytest.mark.parametrize(
    ("server", "name"), [(ALL, "notes-get"), ("notes", "notes-get"), ("notes", "get"), ("memos", "get")]
)
async def test_a_call_reaches_its_server_in_the_servers_words(server: str, name: str) -> None:
    async with there() as one:
        await read(await one.reply(modern("tools/call", {"name": name, "arguments": {}}, server=server)))
        assert {name: count for name, count in one.calls("tools/call").items() if count} == {"notes": 1}
        (heard,) = one.servers["notes"].seen
        assert heard.call["params"]["name"] == "get"
        assert verified(heard, one.servers["notes"].url)["scope"] == "mcp:tools/call:get"


async def test_a_name_that_could_be_two_servers_is_that_of_the_one_before_the_separator() -> None:
    async with there() as one:
        await read(await one.reply(modern("tools/call", {"name": "weather-notes-get", "arguments": {}}, server=ALL)))
        assert {name: count for name, count in one.calls("tools/call").items() if count} == {"weather": 1}


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (ALL, "get"),
        ("dev", "get"),
        (ALL, "nobody-get"),
        (ALL, "notes__get"),
        ("mail", "notes-get"),
        ("dev", "mail-send"),
    ],
)
async def test_what_is_not_meant_is_not_called(server: str, name: str) -> None:
    async with there() as one:
        error = await one.refused(modern("tools/call", {"name": name, "arguments": {}}, server=server))
        assert error.reason.code == "invalid_params"
        assert "names are `{server}-{name}`" in error.message


async def test_to_be_meant_permits_nothing() -> None:
    policy = Policy((Rule("policy[0]", permits=True, servers=Patterns.of(["mail"])),), {})
    async with there(policy=policy) as one:
        assert await listed(one, "notes,mail") == ["mail-send"]
        assert (await one.refused(modern("tools/call", ONE, server="notes"))).reason.code in (
            "policy_denied",
            "invalid_params",
        )
        await read(await one.reply(modern("tools/call", {"name": "mail-send", "arguments": {}}, server="mail")))
        assert one.calls("tools/call")["mail"] == 1


async def test_a_legacy_session_at_such_an_address_is_one_and_its_tools_are_called_the_same() -> None:
    async with there() as one:
        reply = await one.reply(legacy("initialize", server="notes"))
        session = (b"mcp-session-id", dict(reply.headers)[b"mcp-session-id"])
        await read(reply)
        found = json.loads(await read(await one.reply(legacy("tools/list", session, server="notes"))))
        assert [tool["name"] for tool in found["result"]["tools"]] == ["notes-get"]
        for name in ("notes-get", "get"):
            call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": {}}}
            await read(await one.reply(posted(call, session, server="notes")))
        assert one.calls("tools/call") == {"weather": 0, "notes": 2, "mail": 0}


async def test_without_litellms_addresses_a_name_is_as_it_was() -> None:
    """The twin."""
    async with world({"notes": answering()}) as one:
        assert (await one.refused(modern("tools/call", ONE, server=ALL))).reason.code == "invalid_params"
        assert (await one.refused(modern("tools/list", {}, server="memos"))).reason.code == "server_unknown"
