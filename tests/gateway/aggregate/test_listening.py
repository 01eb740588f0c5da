"""`subscriptions/listen` over all servers: acknowledged once, under the caller's id, over when all have ended or time is over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from tests.contracts.http import until
from tests.gateway.aggregate.world import ALL, World, answering, tools, world
from tests.gateway.building import ALICE, modern, verified
from tests.support.hostile import Answering, Heard, Line, chunk, chunked, event
from tests.support.tokens import NOW

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
FLAGS = {"toolsListChanged": True, "promptsListChanged": True}


def note(method: str, heard: Heard, **params: Any) -> bytes:
    about = {"_meta": {SUBSCRIPTION: heard.call["id"]}}
    return event({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": {**params, **about}})


def listens(*more: str, ends: bool = False, acknowledges: dict[str, Any] | None = None) -> Answering:
    """A server that acknowledges, tells of changes, and stays or ends."""

    def answer(heard: Heard, line: Line) -> None:
        if heard.call["method"] != "subscriptions/listen":
            answering(tools_list={"tools": tools("a"), "ttlMs": 60_000, "cacheScope": "public"})(heard, line)
            return
        filters = heard.call["params"]["notifications"] if acknowledges is None else acknowledges
        line.send(chunked(note("subscriptions/acknowledged", heard, notifications=filters), end=False))
        for method in more:
            line.send(chunk(note(method, heard, **({"uri": "file:///a"} if "updated" in method else {}))))
        if ends:
            about = {"resultType": "complete", "_meta": {SUBSCRIPTION: heard.call["id"]}}
            body = {"jsonrpc": "2.0", "id": heard.call["id"], "result": about}
            line.send(chunk(event(body)) + b"0\r\n\r\n")
        else:
            line.gone()

    return answer


def listen(notifications: Any = None, id: Any = "mine", **changes: Any) -> Any:
    params = {"notifications": dict(FLAGS) if notifications is None else notifications}
    return modern("subscriptions/listen", params, server=ALL, id=id, **changes)


async def messages(there: World, inbound: Any) -> AsyncIterator[Any]:
    reply = await there.reply(inbound)
    body = reply.body
    assert not isinstance(body, bytes)
    try:
        async for piece in body:
            for line in piece.decode().split("\n"):
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))
    finally:
        await body.aclose()


async def test_it_is_acknowledged_once_with_what_servers_have_acknowledged() -> None:
    notes = listens("tools/list_changed", acknowledges={"toolsListChanged": True})
    files = listens("prompts/list_changed", acknowledges={"promptsListChanged": True, "other": True})
    async with world({"notes": notes, "files": files}) as there:
        there.servers["weather"].answer = listens(acknowledges={})
        got = []
        async for message in messages(there, listen()):
            got.append(message)
            if len(got) == 3:
                break
        assert got[0]["method"] == "notifications/subscriptions/acknowledged"
        assert got[0]["params"]["notifications"] == FLAGS
        assert {each["method"] for each in got[1:]} == {
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
        }
        assert all(each["params"]["_meta"][SUBSCRIPTION] == "mine" for each in got)
        for server in there.servers.values():
            (heard,) = server.seen
            assert heard.call["params"]["notifications"] == FLAGS
            assert verified(heard, server.url)["scope"] == "mcp:subscriptions/listen"
        (outer,) = there.entries("gather")
        assert {each["part_of"] for each in there.entries("intent")} == {outer["record"]}
        await until(lambda: len(there.entries("outcome")) == 4)


async def test_a_resource_is_followed_at_its_server_alone_by_its_name_there() -> None:
    async with world({"notes": listens("resources/updated"), "files": listens()}) as there:
        uri = "counterseal:notes/file:///a"
        got = []
        async for message in messages(there, listen({"resourceSubscriptions": [uri]})):
            got.append(message)
            if len(got) == 2:
                break
        assert got[0]["params"]["notifications"] == {"resourceSubscriptions": [uri]}
        assert got[1]["params"]["uri"] == uri
        assert there.calls() == {"weather": 0, "notes": 1, "files": 0}
        heard = there.servers["notes"].seen[0]
        assert heard.call["params"]["notifications"] == {"resourceSubscriptions": ["file:///a"]}


async def test_it_ends_with_a_result_when_all_servers_have_ended() -> None:
    async with world({"notes": listens("tools/list_changed", ends=True)}) as there:
        there.servers["weather"].answer = listens(ends=True)
        got = [message async for message in messages(there, listen(id=5))]
        assert got[-1] == {
            "jsonrpc": "2.0",
            "id": 5,
            "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: 5}},
        }
        assert [each.get("method") for each in got] == [
            "notifications/subscriptions/acknowledged",
            "notifications/tools/list_changed",
            None,
        ]
        assert len(there.entries("outcome", outcome="answered")) == 3


async def test_it_ends_with_the_credential_of_its_caller() -> None:
    async with world({"notes": listens()}) as there:
        there.servers["weather"].answer = listens()
        known = there.gateway.known
        known._callers = {**known._callers, b"key-of-alice": replace(ALICE, expires=NOW + 1.5)}
        got = [message async for message in messages(there, listen())]
        assert [each.get("method", "result") for each in got] == ["notifications/subscriptions/acknowledged", "result"]
        await until(lambda: len(there.entries("outcome")) == 3)


async def test_a_server_that_cannot_or_does_not_is_left_out() -> None:
    def silent(heard: Heard, line: Line) -> None:
        line.send(chunked(end=False))
        line.gone()

    limits = replace(LIMITS, gather_seconds=2.0)
    async with world({"none": answering(subscriptions_listen=None), "silent": silent}, limits=limits) as there:
        there.servers["weather"].answer = listens(ends=True)
        got = [message async for message in messages(there, listen())]
        assert got[0]["params"]["notifications"] == FLAGS
        named = got[0]["params"]["_meta"]["io.counterseal/unavailable"]
        assert [(each["server"], each["reason"]) for each in named] == [("silent", "server_timeout")]


async def test_a_change_that_is_heard_makes_the_list_be_asked_for_anew() -> None:
    async with world({"notes": listens("tools/list_changed", ends=True)}) as there:
        there.servers["weather"].answer = listens(ends=True)
        await there.result("tools/list")
        await there.result("tools/list")
        assert there.calls("tools/list") == {"weather": 1, "notes": 1}
        async for _ in messages(there, listen()):
            pass
        await there.result("tools/list")
        assert there.calls("tools/list") == {"weather": 1, "notes": 2}


@pytest.mark.parametrize(
    "notifications",
    [
        [],
        "all",
        {"resourceSubscriptions": "counterseal:notes/file:///a"},
        {"resourceSubscriptions": [1]},
        {"resourceSubscriptions": ["file:///a"]},
        {"resourceSubscriptions": ["counterseal:nowhere/file:///a"]},
        {"resourceSubscriptions": ["counterseal:hidden/file:///a"]},
    ],
)
async def test_what_cannot_be_listened_to_is_refused_before_any_server_is_asked(notifications: Any) -> None:
    policy = Policy((Rule("policy[0]", permits=True, servers=Patterns.of(["weather", "notes"])),), {})
    async with world({"notes": listens(ends=True), "hidden": listens(ends=True)}, policy=policy) as there:
        there.servers["weather"].answer = listens(ends=True)
        assert await there.refused_after(listen(notifications)) == "invalid_params"
        good = [message async for message in messages(there, listen())]
        assert "result" in good[-1]


async def test_a_caller_who_leaves_ends_it_at_every_server() -> None:
    async with world({"notes": listens()}) as there:
        there.servers["weather"].answer = listens()
        async for _ in messages(there, listen()):
            break
        await until(lambda: len(there.entries("outcome", outcome="aborted")) == 3)
