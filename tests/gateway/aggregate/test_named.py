"""A call to all servers that names something is its server's call: decided, signed, recorded and sent in that server's words."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from counterseal.core.call import Era
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from counterseal.errors import CallError
from counterseal.hooks.protocols import Replace
from tests.gateway.aggregate.world import ALL, World, answering, introducing, tools, world
from tests.gateway.building import ALICE, legacy, modern, posted, verified
from tests.hooks.making import Says, hook
from tests.servers.permits import read
from tests.support.hostile import Heard, Line, chunked, event, response
from tests.support.tokens import digest

CALL = {"name": "notes__get_note", "arguments": {"id": 7}}


def only(**selects: Any) -> Policy:
    return Policy((Rule("policy[0]", permits=True, **{k: Patterns.of(v) for k, v in selects.items()}),), {})


async def sent(there: World, server: str, inbound: Any) -> Heard:
    """The one request that a call makes, to this server."""
    await read(await there.reply(inbound))
    assert {name: count for name, count in there.calls().items() if count} == {server: 1}
    (heard,) = there.servers[server].seen
    return heard


async def test_a_call_reaches_its_server_in_the_servers_words() -> None:
    """Token, headers, body and record."""
    async with world({"notes": answering()}) as there:
        heard = await sent(there, "notes", modern("tools/call", CALL, server=ALL))
        url = there.servers["notes"].url
        claims = verified(heard, url)
        assert heard.call["params"]["name"] == "get_note"
        assert heard.all("mcp-name") == ["get_note"]
        assert claims["aud"] == url
        assert claims["scope"] == "mcp:tools/call:get_note"
        assert claims["authorization_details"] == [
            {
                "type": "mcp_call",
                "locations": [url],
                "actions": ["tools/call"],
                "identifier": "get_note",
                "arguments_digest": digest({"id": 7}),
            }
        ]
        intent, outcome = there.gateway.entries
        assert (intent["event"], intent["server"], intent["name"]) == ("intent", "notes", "get_note")
        assert "part_of" not in intent
        assert (outcome["outcome"], outcome["record"]) == ("answered", intent["record"])


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("prompts/get", {"name": "notes__greet"}, "greet"),
        ("resources/read", {"uri": "counterseal:notes/file:///a b"}, "file:///a b"),
    ],
)
async def test_prompts_and_resources_go_the_same_way(method: str, params: dict[str, Any], name: str) -> None:
    async with world({"notes": answering()}) as there:
        heard = await sent(there, "notes", modern(method, params, server=ALL))
        assert heard.call["params"]["name" if method == "prompts/get" else "uri"] == name
        assert verified(heard, there.servers["notes"].url)["authorization_details"][0]["identifier"] == name
        assert heard.all("mcp-name") == [name]


async def test_a_completion_is_for_the_server_of_what_it_is_for() -> None:
    ref = {"type": "ref/resource", "uri": "counterseal:notes/file:///{p}"}
    params = {"ref": ref, "argument": {"name": "p", "value": "x"}}
    async with world({"notes": answering()}) as there:
        heard = await sent(there, "notes", modern("completion/complete", params, server=ALL))
        assert heard.call["params"]["ref"] == {"type": "ref/resource", "uri": "file:///{p}"}


async def test_the_callers_routing_headers_are_checked_against_what_he_sent() -> None:
    async with world({"notes": answering()}) as there:
        wrong = modern("tools/call", CALL, server=ALL)
        headers = tuple((k, b"get_note" if k == b"mcp-name" else v) for k, v in wrong.headers)
        wrong = type(wrong)(wrong.verb, wrong.server, headers, wrong.body, wrong.peer)
        assert (await there.refused(wrong)).reason.code == "header_mismatch"
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


async def test_parameter_headers_are_made_anew_from_what_the_servers_list_says() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer", "x-mcp-header": "Id"}}}
    listed = answering(tools_list={"tools": [{"name": "get_note", "inputSchema": schema}]})
    async with world({"notes": listed}) as there:
        await there.result("tools/list")
        right = modern("tools/call", CALL, (b"mcp-param-id", b"7.0"), server=ALL)
        await read(await there.reply(right))
        assert there.servers["notes"].seen[-1].all("mcp-param-id") == ["7"]
        wrong = modern("tools/call", CALL, (b"mcp-param-id", b"8"), server=ALL)
        assert (await there.refused(wrong)).reason.code == "header_mismatch"


async def test_m_17_no_header_tells_a_caller_of_a_tool_that_others_see() -> None:
    """Alice's list taught what `get_note` mirrors. Bob may not call it, and is told that alone, whatever he sends."""
    schema = {"type": "object", "properties": {"id": {"type": "integer", "x-mcp-header": "Id"}}}
    listed = answering(tools_list={"tools": [{"name": "get_note", "inputSchema": schema}]})
    alone = Policy((Rule("policy[0]", permits=True, callers=(("subject", Patterns.of(["alice"])),)),), {})
    async with world({"notes": listed}, policy=alone) as there:
        await there.result("tools/list")
        calls, bob = there.calls(), b"key-of-bob"

        async def refused(key: bytes, *more: tuple[bytes, bytes], name: str = "notes__get_note") -> tuple[str, str]:
            error = await there.refused(modern("tools/call", {**CALL, "name": name}, *more, server=ALL, key=key))
            return error.reason.code, error.message.replace(name.removeprefix("notes__"), "it")

        assert (await refused(b"key-of-alice"))[0] == "header_mismatch"
        same = {
            await refused(bob),
            await refused(bob, (b"mcp-param-id", b"8")),
            await refused(bob, (b"mcp-param-id", b"7")),
            await refused(bob, name="notes__no_such_tool"),
        }
        assert [code for code, _ in same] == ["policy_denied"]
        assert there.calls() == calls
        assert [(entry["event"], entry["name"]) for entry in there.gateway.entries[-1:]] == [
            ("refusal", "no_such_tool")
        ]
        await read(await there.reply(modern("tools/call", CALL, (b"mcp-param-id", b"7"), server=ALL)))


# ---- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["get_note", "__get_note", "nowhere__get_note", "Notes__get_note", "note__s__x"])
async def test_a_name_that_no_server_has_is_refused_and_reaches_none(name: str) -> None:
    """S-04: looked up, never guessed from how a name begins."""
    async with world({"notes": answering()}) as there:
        error = await there.refused(modern("tools/call", {**CALL, "name": name}, server=ALL))
        assert (error.reason.code, error.reason.status) == ("invalid_params", 400)
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


async def test_s_04_whatever_a_name_is_made_of_it_reaches_the_server_that_it_begins_with_or_none() -> None:
    rng = random.Random(4)
    pieces = ["weather", "notes", "note-s", "_", "__", "__", "a", "-", "get", ":", "/", " "]
    async with world({"notes": answering(), "note-s": answering()}) as there:
        reached = 0
        for _ in range(500):
            name = "".join(rng.choices(pieces, k=rng.randint(1, 6))).strip() or "x"
            before = there.calls()
            head, separator, own = name.partition("__")
            try:
                await read(await there.reply(modern("tools/call", {"name": name}, server=ALL)))
            except CallError as error:
                assert error.reason.code == "invalid_params"  # noqa: PT017
                assert not (separator and head in there.servers), name
                assert there.calls() == before
                continue
            reached += 1
            assert there.calls() == {**before, head: before[head] + 1}
            assert there.servers[head].seen[-1].call["params"]["name"] == own
        assert reached > 10


async def test_a_server_that_is_not_for_the_caller_is_refused_like_one_that_is_not_there() -> None:
    """A-10."""
    async with world({"notes": answering()}) as there:
        known = there.gateway.known._callers
        there.gateway.known._callers = {**known, b"key-of-alice": replace(ALICE, servers=Patterns.of(["weather"]))}
        hidden = await there.refused(modern("tools/call", CALL, server=ALL))
        missing = await there.refused(modern("tools/call", {**CALL, "name": "nowhere__get_note"}, server=ALL))
        assert (hidden.message, hidden.reason) == (missing.message, missing.reason)
        there.gateway.known._callers = known
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


async def test_policy_reads_the_servers_own_name() -> None:
    async with world({"notes": answering()}, policy=only(servers=["notes"], tools=["get_*"])) as there:
        for name in ("notes__delete_note", "weather__get_note"):
            error = await there.refused(modern("tools/call", {**CALL, "name": name}, server=ALL))
            assert error.reason.code == "policy_denied"
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


async def test_a_keys_own_tools_are_the_servers_own_names() -> None:
    async with world({"notes": answering()}) as there:
        known = there.gateway.known._callers
        there.gateway.known._callers = {**known, b"key-of-alice": replace(ALICE, tools=Patterns.of(["get_*"]))}
        error = await there.refused(modern("tools/call", {**CALL, "name": "notes__delete"}, server=ALL))
        assert error.reason.code == "tool_not_allowed"
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


async def test_a_hook_sees_the_servers_own_call_and_may_replace_its_arguments() -> None:
    made = Says(Replace({"id": 8}))
    async with world({"notes": answering()}, hooks=[hook(made)]) as there:
        heard = await sent(there, "notes", modern("tools/call", CALL, server=ALL))
        (view,) = made.seen
        assert (view.call.server, view.call.name) == ("notes", "get_note")
        assert heard.call["params"] == {**heard.call["params"], "name": "get_note", "arguments": {"id": 8}}


async def test_one_caller_is_counted_once_for_a_call() -> None:
    async with world({"notes": answering()}) as there:
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))
        assert there.gateway.pipeline.admission._calls == {}


async def test_a_caller_who_may_make_no_more_calls_makes_none_here() -> None:
    async with world({"notes": answering()}) as there:
        leave = [there.gateway.pipeline.admission.enter(ALICE) for _ in range(1024)]
        assert (await there.refused(modern("tools/call", CALL, server=ALL))).reason.code == "too_many"
        leave[0]()
        await sent(there, "notes", modern("tools/call", CALL, server=ALL))


# ---- the way back -----------------------------------------------------------------------------------------------------

LINK = {"type": "resource_link", "name": "a", "uri": "file:///a"}


def told(content: Any, *, stream: bool) -> Any:
    def answer(heard: Heard, line: Line) -> None:
        if not stream:
            answering(tools_call={"content": content})(heard, line)
            return
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
        line.send(chunked(event(progress), event(response(heard, {"content": content, "resultType": "complete"}))))

    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_result_links_to_can_be_read_here(stream: bool) -> None:
    async with world({"notes": told([LINK], stream=stream)}) as there:
        reply = await there.reply(modern("tools/call", CALL, server=ALL))
        text = (await read(reply)).decode()
        message = json.loads(text.split("data: ")[-1])
        assert message["id"] == 1
        (link,) = message["result"]["content"]
        assert link["uri"] == "counterseal:notes/file:///a"
        heard = await sent_again(there, link["uri"])
        assert heard.call["params"]["uri"] == "file:///a"
        assert "progress" not in text, "nobody asked this server for any"


async def sent_again(there: World, uri: str) -> Heard:
    await read(await there.reply(modern("resources/read", {"uri": uri}, server=ALL)))
    return there.servers["notes"].seen[-1]


@pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY])
async def test_s_04_a_server_tells_of_the_progress_of_its_own_calls_alone(era: Era) -> None:
    def answer(heard: Heard, line: Line) -> None:
        is_call = (heard.call or {}).get("method") == "tools/call"
        (told([], stream=True) if is_call else answering(**introducing({"tools": {}})))(heard, line)

    async with world({"notes": answer, "files": answer}) as there:
        session = (await there.open())[0] if era is Era.LEGACY else b""

        async def says(server: str, token: int) -> bool:
            params: dict[str, Any] = {"name": f"{server}__x", "arguments": {}}
            if era is Era.LEGACY:
                params["_meta"] = {"progressToken": token}
                message = {"jsonrpc": "2.0", "id": token, "method": "tools/call", "params": params}
                asked = posted(message, (b"mcp-session-id", session), server=ALL)
            else:
                asked = modern("tools/call", params, server=ALL)
                whole = json.loads(asked.body)
                whole["params"]["_meta"]["progressToken"] = token
                asked = asked.with_body(json.dumps(whole).encode())
            return "notifications/progress" in (await read(await there.reply(asked))).decode()

        assert await says("notes", 1)  # what either server tells of is always 1
        assert not await says("files", 2)
        assert await says("files", 1)


async def test_the_ids_of_callers_at_all_servers_never_cross() -> None:
    """M-07."""

    def answer(heard: Heard, line: Line) -> None:
        text = {"type": "text", "text": str(heard.call["params"]["arguments"]["n"])}
        answering(tools_call={"content": [text]})(heard, line)

    async with world({"notes": answer, "files": answer}) as there:
        calls = [
            modern("tools/call", {"name": f"{server}__x", "arguments": {"n": f"{server}{n}"}}, server=ALL)
            for server in ("notes", "files")
            for n in range(10)
        ]
        told = await asyncio.gather(*(there.ask(each) for each in calls))
        assert [each["result"]["content"][0]["text"] for each in told] == [
            json.loads(each.body)["params"]["arguments"]["n"] for each in calls
        ]


async def test_one_servers_address_is_what_it_was() -> None:
    async with world({"notes": answering(tools_list={"tools": tools("a")})}) as there:
        listed = (await there.ask(modern("tools/list", {}, server="notes")))["result"]
        assert [tool["name"] for tool in listed["tools"]] == ["a"]
        with pytest.raises(Exception, match="there is no server 'nowhere'"):
            await there.reply(modern("tools/list", {}, server="nowhere"))
        assert there.entries("gather") == []


async def test_a_session_of_one_server_is_none_of_all_servers() -> None:
    async with world() as there:
        one = there.gateway.sealed()
        assert (await there.refused(legacy("tools/list", session=one, server=ALL))).reason.code == "session_unknown"
