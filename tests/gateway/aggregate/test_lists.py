"""The lists of all servers as one: whose they are, in which order, page by page; and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.paths import steps_of
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from counterseal.core.requirements import Required
from counterseal.hooks.protocols import Deny, Pass
from counterseal.wire.aggregate.lists import cursor_of
from tests.gateway.aggregate.world import ALL, World, answering, introducing, tools, world
from tests.gateway.building import ALICE, META, modern, verified
from tests.hooks.making import Says, hook
from tests.support.hostile import Heard, Line, chunked, event, plain, response, whole

PUBLIC = {"ttlMs": 60_000, "cacheScope": "public"}
PRIVATE = {"ttlMs": 60_000, "cacheScope": "private"}
UNAVAILABLE = "io.counterseal/unavailable"
ITEM = len(b'{"name":"notes__a","inputSchema":{"type": "object"}}')


def listing(*names: str, **more: Any) -> Any:
    return answering(tools_list={"tools": tools(*names), **more})


def named(result: Any) -> list[str]:
    return [tool["name"] for tool in result["tools"]]


async def test_every_servers_tools_in_the_order_of_the_servers() -> None:
    async with world({"notes": listing("b", "a"), "files": listing("x")}) as there:
        result = await there.result("tools/list")
        assert named(result) == ["weather__get_weather", "weather__delete_all", "notes__b", "notes__a", "files__x"]
        assert result == {
            "tools": result["tools"],
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "private",
        }


@pytest.mark.parametrize(
    ("method", "member", "field", "here"),
    [
        ("prompts/list", "prompts", "name", "notes__file:///a"),
        ("resources/list", "resources", "uri", "counterseal:notes/file:///a"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", "counterseal:notes/file:///a"),
    ],
)
async def test_the_other_lists_are_made_the_same_way(method: str, member: str, field: str, here: str) -> None:
    answer = answering(**{method.replace("/", "_"): {member: [{field: "file:///a", "title": "A"}]}})
    async with world({"notes": answer}) as there:
        assert (await there.result(method))[member] == [{field: here, "title": "A"}]


async def test_each_server_is_asked_by_a_call_of_the_callers_that_belongs_to_his() -> None:
    async with world({"notes": listing("a")}) as there:
        await there.result("tools/list")
        (outer,) = there.entries("gather")
        assert (outer["method"], outer["server"], outer["caller"]["subject"]) == ("tools/list", "", "alice")
        intents = there.entries("intent")
        assert {each["server"] for each in intents} == {"weather", "notes"}
        assert {each["part_of"] for each in intents} == {outer["record"]}
        assert {each["peer"] for each in intents} == {"gateway"}
        assert len({each["jti"] for each in intents}) == 2
        ends = [each["record"] for each in there.entries("outcome")]
        assert sorted(ends) == sorted([outer["record"], *(each["record"] for each in intents)])
        for name, server in there.servers.items():
            (heard,) = server.seen
            assert verified(heard, server.url)["scope"] == "mcp:tools/list"
            about = {"io.modelcontextprotocol/clientInfo": {"name": "counterseal", "version": "1"}}
            assert heard.call["params"]["_meta"] == {**META, **about}, name


async def test_what_a_caller_may_not_use_is_not_shown() -> None:
    policy = Policy(
        (
            Rule("policy[0]", permits=True, servers=Patterns.of(["weather"]), tools=Patterns.of(["get_*"])),
            Rule("policy[1]", permits=True, servers=Patterns.of(["notes"])),
        ),
        {},
    )
    async with world({"notes": listing("a"), "files": listing("x")}, policy=policy) as there:
        result = await there.result("tools/list")
        assert named(result) == ["weather__get_weather", "notes__a"]
        assert UNAVAILABLE not in result.get("_meta", {}), "a server that is not for the caller is named"
        assert there.calls()["files"] == 0


async def test_a_key_sees_its_own_servers_and_tools_only() -> None:
    async with world({"notes": listing("get_a", "put_a"), "files": listing("x")}) as there:
        mine = replace(ALICE, servers=Patterns.of(["notes", "weather"]), tools=Patterns.of(["get_*"]))
        there.gateway.known._callers = {**there.gateway.known._callers, b"key-of-alice": mine}
        assert named(await there.result("tools/list")) == ["weather__get_weather", "notes__get_a"]


# ---- servers that fail ------------------------------------------------------------------------------------------------


def resets(heard: Heard, line: Line) -> None:
    line.reset()


def hangs(heard: Heard, line: Line) -> None:
    line.gone()


def no_json(heard: Heard, line: Line) -> None:
    line.send(whole(b'{"jsonrpc": "2.0", "id"'))


def another_id(heard: Heard, line: Line) -> None:
    line.send(whole(response(heard, id="somebody-elses")))


def too_large(heard: Heard, line: Line) -> None:
    line.send(whole(b" " * (LIMITS.server_answer_bytes + 1)))


def endless(heard: Heard, line: Line) -> None:
    line.send(chunked(end=False))
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 1000}}
    piece = event(note)
    while not line.ended:
        line.send(b"%x\r\n%s\r\n" % (len(piece), piece))


def refuses(heard: Heard, line: Line) -> None:
    error = {"code": -32603, "message": "no"}
    line.send(whole(json.dumps({"jsonrpc": "2.0", "id": heard.call["id"], "error": error}).encode()))


def pages_without_end(heard: Heard, line: Line) -> None:
    answering(tools_list={"tools": [], "nextCursor": "again"})(heard, line)


def unlisted(heard: Heard, line: Line) -> None:
    answering(tools_list={"tools": [1]})(heard, line)


FAULTS: list[tuple[Callable[[Heard, Line], None], str]] = [
    (resets, "server_unreachable"),
    (hangs, "server_timeout"),
    (no_json, "server_answer_invalid"),
    (another_id, "server_answer_invalid"),
    (too_large, "server_answer_too_large"),
    (endless, "server_answer_too_large"),
    (refuses, "server_refused"),
    (pages_without_end, "server_answer_invalid"),
    (unlisted, "server_answer_invalid"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
async def test_a_server_that_fails_is_named_and_costs_the_others_nothing(
    fault: Callable[[Heard, Line], None], reason: str
) -> None:
    limits = replace(LIMITS, gather_seconds=2.0 if reason == "server_timeout" else 10)
    async with world({"broken": fault, "notes": listing("a")}, limits=limits) as there:
        result = await there.result("tools/list")
        assert named(result)[-1] == "notes__a"
        (one,) = result["_meta"][UNAVAILABLE]
        assert (one["server"], one["reason"]) == ("broken", reason)
        assert result["ttlMs"] == 0
        records = [each["record"] for each in there.entries("intent", server="broken")]
        assert one.get("record", records[-1]) in records
        assert there.servers["broken"].calls >= 1


async def test_a_list_with_no_end_in_sight_is_bounded() -> None:
    limits = replace(LIMITS, gather_list_count=2)
    async with world({"notes": listing("a", "b", "c"), "files": listing("a", "b")}, limits=limits) as there:
        result = await there.result("tools/list")
        assert [one["server"] for one in result["_meta"][UNAVAILABLE]] == ["notes"]
        assert named(result)[-2:] == ["files__a", "files__b"]


async def test_a_server_without_such_things_is_no_failure() -> None:
    async with world({"notes": answering(prompts_list=None)}) as there:
        there.servers["weather"].answer = answering(prompts_list={"prompts": [{"name": "greet"}]})
        result = await there.result("prompts/list")
        assert result["prompts"] == [{"name": "weather__greet"}]
        assert "_meta" not in result


async def test_nobody_answers_is_an_answer() -> None:
    async with world({"notes": resets}) as there:
        there.servers["weather"].answer = resets
        result = await there.result("tools/list")
        assert result["tools"] == []
        assert [one["server"] for one in result["_meta"][UNAVAILABLE]] == ["weather", "notes"]


async def test_without_a_record_no_server_is_asked() -> None:
    """U-01."""
    async with world() as there:
        there.gateway.sink.problem = "the disk is full"
        with pytest.raises(Exception, match="record") as told:
            await there.reply(modern("tools/list", {}, server=ALL))
        assert told.value.reason.status == 503  # type: ignore[attr-defined]
        assert there.calls() == {"weather": 0}


# ---- pages ------------------------------------------------------------------------------------------------------------


def paged(params: Any) -> dict[str, Any]:
    after = int(params.get("cursor", 0))
    more = {"nextCursor": str(after + 2)} if after < 4 else {}
    return {"tools": tools(*(f"t{n}" for n in range(after, after + 2))), **more}


async def test_pages_of_one_server_are_put_together() -> None:
    async with world({"notes": answering(tools_list=paged)}) as there:
        assert named(await there.result("tools/list"))[2:] == [f"notes__t{n}" for n in range(6)]


async def test_pages_of_all_follow_one_another_without_a_gap() -> None:
    limits = replace(LIMITS, gather_page_count=3)
    async with world({"notes": answering(tools_list=paged), "files": listing("x")}, limits=limits) as there:
        whole_list, cursor, pages = [], None, []
        while True:
            result = await there.result("tools/list", {} if cursor is None else {"cursor": cursor})
            whole_list += named(result)
            pages.append(len(result["tools"]))
            cursor = result.get("nextCursor")
            if cursor is None:
                break
        assert whole_list == [
            "weather__get_weather",
            "weather__delete_all",
            *(f"notes__t{n}" for n in range(6)),
            "files__x",
        ]
        assert pages == [3, 3, 3]


async def test_only_servers_that_are_still_to_come_are_asked_for_a_page() -> None:
    async with world({"notes": listing("a"), "files": listing("x")}) as there:
        result = await there.result("tools/list", {"cursor": cursor_of("notes", "a")})
        assert named(result) == ["files__x"]
        assert there.calls() == {"weather": 0, "notes": 1, "files": 1}


async def test_a_page_goes_on_although_its_server_has_gone() -> None:
    async with world({"notes": resets, "files": listing("x")}) as there:
        result = await there.result("tools/list", {"cursor": cursor_of("notes", "a")})
        assert named(result) == ["files__x"]


@pytest.mark.parametrize("cursor", ["", "made up", 7, None, cursor_of("nowhere", "a"), cursor_of("weather", "nothing")])
async def test_a_cursor_that_no_page_gave_is_refused(cursor: Any) -> None:
    async with world() as there:
        if cursor is None:
            assert len((await there.result("tools/list", {"cursor": None}))["tools"]) == 2
            return
        with pytest.raises(Exception, match="there is no such cursor") as told:
            await there.reply(modern("tools/list", {"cursor": cursor}, server=ALL))
        assert told.value.reason.code == "invalid_params"  # type: ignore[attr-defined]


async def test_a_cursor_tells_nobody_that_a_server_or_tool_is_there() -> None:
    """M-17, A-10."""
    policy = Policy(
        (Rule("policy[0]", permits=True, servers=Patterns.of(["weather"]), tools=Patterns.of(["get_*"])),), {}
    )
    async with world({"notes": listing("a")}, policy=policy) as there:
        for cursor in (cursor_of("notes", "a"), cursor_of("weather", "delete_all")):
            with pytest.raises(Exception, match="there is no such cursor"):
                await there.reply(modern("tools/list", {"cursor": cursor}, server=ALL))
        assert (await there.result("tools/list", {"cursor": cursor_of("weather", "get_weather")}))["tools"] == []


# ---- what is kept -----------------------------------------------------------------------------------------------------


async def listed(there: World, times: int = 1, **changes: Any) -> Any:
    for _ in range(times):
        result = await there.result("tools/list", **changes)
    return result


async def test_a_public_list_is_asked_for_once_for_everybody() -> None:
    async with world({"notes": listing("a", **PUBLIC)}) as there:
        there.servers["weather"].answer = listing("w", **PUBLIC)
        first = await listed(there)
        assert await listed(there) == first
        assert named(await listed(there, key=b"key-of-bob")) == named(first)
        assert there.calls() == {"weather": 1, "notes": 1}
        assert 0 < first["ttlMs"] <= 60_000
        assert first["cacheScope"] == "private"
        assert len(there.entries("gather")) == 3, "every call of a caller leaves a record"


async def test_a_private_list_is_kept_for_its_caller_alone() -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", **PRIVATE)
        await listed(there, 2)
        assert there.calls() == {"weather": 1}
        await listed(there, 2, key=b"key-of-bob")
        assert there.calls() == {"weather": 2}


async def test_a_caller_whose_credential_says_something_else_is_asked_for_anew() -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", **PRIVATE)
        known = there.gateway.known
        await listed(there)
        known._callers = {**known._callers, b"key-of-alice": replace(ALICE)}
        await listed(there)
        assert there.calls() == {"weather": 1}, "the same caller, read anew"
        known._callers = {**known._callers, b"key-of-alice": replace(ALICE, roles=("admin",))}
        await listed(there)
        assert there.calls() == {"weather": 2}


async def test_of_a_shared_list_each_caller_is_shown_what_is_his() -> None:
    policy = Policy(
        (
            Rule(
                "policy[0]", permits=False, callers=(("subject", Patterns.of(["bob"])),), tools=Patterns.of(["put_*"])
            ),
            Rule("policy[1]", permits=True),
        ),
        {},
    )
    async with world(policy=policy) as there:
        there.servers["weather"].answer = listing("get_a", "put_a", **PUBLIC)
        assert named(await listed(there, key=b"key-of-bob")) == ["weather__get_a"]
        assert named(await listed(there)) == ["weather__get_a", "weather__put_a"]
        assert named(await listed(there, key=b"key-of-bob")) == ["weather__get_a"]
        assert there.calls() == {"weather": 1}


async def test_a_list_is_not_kept_longer_than_its_server_says() -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", ttlMs=5_000, cacheScope="public")
        await listed(there)
        there.gateway.clock.advance(4.9)
        await listed(there)
        assert there.calls() == {"weather": 1}
        there.gateway.clock.advance(0.2)
        await listed(there)
        assert there.calls() == {"weather": 2}


async def test_a_list_is_not_kept_longer_than_the_ceiling() -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", ttlMs=10**9, cacheScope="public")
        assert (await listed(there))["ttlMs"] == LIMITS.kept_lists_seconds * 1000
        there.gateway.clock.advance(LIMITS.kept_lists_seconds - 1)
        await listed(there)
        assert there.calls() == {"weather": 1}
        there.gateway.clock.advance(2)
        await listed(there)
        assert there.calls() == {"weather": 2}


@pytest.mark.parametrize("more", [{}, {"ttlMs": 0, "cacheScope": "public"}, {"cacheScope": "public"}])
async def test_what_its_server_does_not_let_keep_is_not_kept(more: Any) -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", **more)
        await listed(there, 2)
        assert there.calls() == {"weather": 2}


async def test_clients_that_can_do_other_things_may_be_told_other_things() -> None:
    async with world() as there:
        there.servers["weather"].answer = listing("w", **PUBLIC)
        await listed(there)
        inbound = modern("tools/list", {}, server=ALL)
        other = json.loads(inbound.body)
        other["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"sampling": {}}
        await there.ask(inbound.with_body(json.dumps(other).encode()))
        assert there.calls() == {"weather": 2}


async def test_m_17_a_client_has_no_say_in_what_is_kept_for_others() -> None:
    def answer(params: Any) -> dict[str, Any]:
        return {"tools": tools("w", json.dumps(params["_meta"]), str(params.get("x"))), **PUBLIC}

    async with world() as there:
        there.servers["weather"].answer = answering(tools_list=answer)
        inbound = modern("tools/list", {"x": "evil"}, server=ALL)
        other = json.loads(inbound.body)
        other["params"]["_meta"] |= {
            "io.modelcontextprotocol/clientInfo": {"name": "evil", "version": "1"},
            "x": "evil",
        }
        await there.ask(inbound.with_body(json.dumps(other).encode()))
        assert "evil" not in json.dumps(await listed(there, key=b"key-of-bob"))
        assert there.calls() == {"weather": 1}


async def test_what_a_hook_denies_is_denied_although_it_is_kept() -> None:
    made = Says(Pass())
    async with world(hooks=[hook(made)]) as there:
        there.servers["weather"].answer = listing("w", **PUBLIC)
        assert named(await listed(there, 2)) == ["weather__w"]
        made.said = Deny("not now")
        denied = await listed(there)
        assert named(denied) == []
        assert denied["_meta"][UNAVAILABLE] == [{"server": "weather", "reason": "hook_denied"}]
        assert there.calls() == {"weather": 1}
        assert len(made.seen) == 3


@pytest.mark.parametrize("what", ["tools/list", "server/discover"])
async def test_who_lacks_what_a_server_asks_of_credentials_is_told_nothing_that_is_kept(what: str) -> None:
    """The direct call is 403, and so is what another caller's call has left here."""
    agent = Required(steps_of("agent_id"), where="servers.weather.signer.required_claims")
    async with world() as there:
        signers = there.gateway.pipeline.signers
        signers["weather"] = replace(signers["weather"], required=(agent,))  # type: ignore[index]
        there.servers["weather"].answer = answering(
            tools_list={"tools": tools("w"), **PUBLIC},
            **introducing({"tools": {}}, instructions="for agents", **PUBLIC),
        )
        for _ in range(2):
            assert UNAVAILABLE not in (await there.result(what)).get("_meta", {})
        assert there.calls() == {"weather": 1}
        told = await there.result(what, key=b"key-of-bob")
        assert told["_meta"][UNAVAILABLE] == [{"server": "weather", "reason": "required_claim_missing"}]
        assert "for agents" not in json.dumps(told)
        assert "weather__w" not in json.dumps(told)
        assert there.calls() == {"weather": 1}
        direct = await there.refused(modern(what, server="weather", key=b"key-of-bob"))
        assert direct.reason.code == "required_claim_missing"


async def test_a_change_that_a_server_tells_of_makes_its_list_be_asked_for_anew() -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

    def answer(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/call":
            line.send(chunked(event(note), event(response(heard))))
        else:
            listing("w", **PUBLIC)(heard, line)

    async with world({"notes": listing("a", **PUBLIC)}) as there:
        there.servers["weather"].answer = answer
        await listed(there, 2)
        reply = await there.reply(modern("tools/call", {"name": "weather__w"}, server=ALL))
        assert not isinstance(reply.body, bytes)
        assert b"list_changed" in b"".join([piece async for piece in reply.body])
        await listed(there, 2)
        assert there.calls("tools/list") == {"weather": 2, "notes": 1}


async def test_twenty_servers_of_fifty_tools_are_listed_without_asking_any() -> None:
    many = {f"s{n}": listing(*(f"tool_{m}" for m in range(50)), **PUBLIC) for n in range(19)}
    async with world(many) as there:
        there.servers["weather"].answer = listing(*(f"tool_{m}" for m in range(50)), **PUBLIC)
        first = await listed(there)
        assert len(first["tools"]) == 1000
        before = there.calls()
        assert set(before.values()) == {1}
        assert named(await listed(there)) == named(first)
        assert there.calls() == before


# ---- what all servers say of themselves -------------------------------------------------------------------------------


async def test_capabilities_and_instructions_of_all_servers() -> None:
    notes = answering(**introducing({"tools": {"listChanged": True}, "x": {}}, instructions="Be brief.", **PUBLIC))
    async with world({"notes": notes, "files": answering(**introducing({"resources": {}}))}) as there:
        result = await there.result("server/discover")
        assert result["capabilities"] == {"tools": {"listChanged": True}, "resources": {}}
        assert "# notes\n\nBe brief." in result["instructions"]
        assert "2026-07-28" in result["supportedVersions"]
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "counterseal"
        assert result["cacheScope"] == "private"
        await there.result("server/discover")
        assert there.calls("server/discover") == {"weather": 2, "notes": 1, "files": 2}


async def test_what_only_servers_of_others_can_do_is_not_promised() -> None:
    policy = Policy((Rule("policy[0]", permits=True, servers=Patterns.of(["weather"])),), {})
    async with world({"notes": answering(**introducing({"prompts": {}}))}, policy=policy) as there:
        there.servers["weather"].answer = answering(**introducing({"tools": {}}))
        result = await there.result("server/discover")
        assert result["capabilities"] == {"tools": {}}
        assert "notes" not in json.dumps(result)


async def test_a_server_that_does_not_introduce_itself_is_named() -> None:
    async with world({"notes": resets}) as there:
        there.servers["weather"].answer = plain
        result = await there.result("server/discover")
        assert [one["server"] for one in result["_meta"][UNAVAILABLE]] == ["notes"]
        assert result["ttlMs"] == 0


async def test_a_narrower_choice_of_servers_is_an_argument() -> None:
    async with world({"notes": listing("a"), "files": listing("x")}) as there:
        aggregate = there.gateway.handler._pipeline
        reply = await aggregate.handle(modern("tools/list", {}, server=ALL), ("files", "notes"))  # type: ignore[call-arg]
        assert named(msgspec.json.decode(reply.body)["result"]) == ["files__x", "notes__a"]
        refused = modern("tools/call", {"name": "weather__x"}, server=ALL)
        with pytest.raises(Exception, match="there is nothing of this name"):
            await aggregate.handle(refused, ("files", "notes"))  # type: ignore[call-arg]
        assert there.calls() == {"weather": 0, "notes": 1, "files": 1}


async def test_what_is_kept_is_bounded_in_bytes() -> None:
    limits = replace(LIMITS, kept_lists_bytes=3000)
    async with world(
        {"notes": listing(*"ab", **PUBLIC), "files": listing(*"c" * 60, **PUBLIC)}, limits=limits
    ) as there:
        there.servers["weather"].answer = listing("w", **PUBLIC)
        kept = there.gateway.handler._pipeline._lists._kept  # type: ignore[attr-defined]
        for _ in range(3):
            await listed(there)
            assert 0 < kept.size <= 3000
        assert there.calls() == {"weather": 1, "notes": 1, "files": 3}, "what is too large for the ceiling is not kept"


@pytest.mark.parametrize(("most", "whole_list"), [(2, True), (1, False)])
async def test_a_servers_list_has_a_ceiling(most: int, whole_list: bool) -> None:
    for limits in (
        replace(LIMITS, gather_list_count=most),
        replace(LIMITS, gather_list_bytes=ITEM * most),
    ):
        async with world({"notes": listing("a", "b")}, limits=limits) as there:
            there.servers["weather"].answer = listing()
            assert len((await listed(there))["tools"]) == (2 if whole_list else 0)


@pytest.mark.parametrize(("most", "first"), [(2, 2), (1, 1)])
async def test_a_page_has_a_ceiling(most: int, first: int) -> None:
    for limits in (
        replace(LIMITS, gather_page_count=most),
        replace(LIMITS, gather_page_bytes=ITEM * most),
    ):
        async with world({"notes": listing("a", "b")}, limits=limits) as there:
            there.servers["weather"].answer = listing()
            result = await listed(there)
            assert len(result["tools"]) == first
            assert ("nextCursor" in result) == (first < 2)
