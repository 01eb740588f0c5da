"""Callers with a handshake at the address of all servers: one sealed session here, one at each server, and the ways between."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.methods import END_SESSION, REPLY, STREAM
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from counterseal.core.reply import Reply
from tests.contracts.http import until
from tests.gateway.aggregate.test_who_calls import HERE
from tests.gateway.aggregate.world import ALL, World, answering, introducing, tools, world
from tests.gateway.building import BOB, legacy, posted, verified
from tests.gateway.test_spoken_for import through
from tests.identity.channels import claims, rules
from tests.servers.permits import read
from tests.support.hostile import SESSION, Heard, Line, chunk, chunked, event, plain, response, result, whole
from tests.support.tokens import token

UNAVAILABLE = "io.counterseal/unavailable"


def listing(*names: str) -> Any:
    return answering(tools_list={"tools": tools(*names)}, **introducing({"tools": {}}))


def tool(name: str, session: bytes, id: Any = 1, **changes: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"n": 1}}}
    return posted(message, (b"mcp-session-id", session), server=ALL, **changes)


def posting(message: dict[str, Any], session: bytes, **changes: Any) -> Any:
    return posted({"jsonrpc": "2.0", **message}, (b"mcp-session-id", session), server=ALL, **changes)


def sessions_of(there: World, server: str) -> list[str]:
    """The session ids that a server was sent."""
    return [each for heard in there.servers[server].seen for each in heard.all("mcp-session-id")]


async def test_initialize_tells_what_servers_can_do_and_opens_one_session() -> None:
    notes = answering(**introducing({"tools": {}, "logging": {}, "experimental": {}}, instructions="Be brief."))
    async with world({"notes": notes}) as there:
        there.servers["weather"].answer = answering(**introducing({"resources": {"subscribe": True}}))
        session, result = await there.open()
        assert result["capabilities"] == {"tools": {}, "resources": {"subscribe": True}, "logging": {}}
        assert result["protocolVersion"] == "2025-11-25"
        assert result["serverInfo"]["name"] == "counterseal"
        assert "# notes\n\nBe brief." in result["instructions"]
        assert "_meta" not in result
        assert SESSION.encode() not in session
        for server in there.servers.values():
            opening, initialized = server.seen
            client = legacy("initialize").body
            assert opening.call["params"] == json.loads(client)["params"], "the client's own words"
            assert initialized.call["method"] == "notifications/initialized"
            assert verified(opening, server.url)["scope"] == "mcp:initialize"


async def test_a_session_with_a_server_is_opened_once_and_used_for_everything() -> None:
    async with world({"notes": listing("a", "b")}) as there:
        session, _ = await there.open()
        listed = await there.ask(legacy("tools/list", session=session, server=ALL))
        assert [each["name"] for each in listed["result"]["tools"]][-2:] == ["notes__a", "notes__b"]
        assert listed["result"].keys() == {"tools"}, "only what the era has"
        told = await there.ask(tool("notes__a", session, id="mine"))
        assert told["id"] == "mine"
        heard = there.servers["notes"].seen[-1]
        assert heard.call["params"]["name"] == "a"
        assert heard.call["id"] == "mine"
        assert len(set(sessions_of(there, "notes"))) == 1
        assert there.calls("initialize") == {"weather": 1, "notes": 1}
        intents = there.entries("intent", server="notes", method="tools/call")
        assert [each["name"] for each in intents] == ["a"]


async def test_a_server_that_was_out_of_reach_gets_its_session_when_it_is_back() -> None:
    def out(heard: Heard, line: Line) -> None:
        line.reset()

    async with world({"notes": out}) as there:
        session, result = await there.open()
        assert [each["server"] for each in result["_meta"][UNAVAILABLE]] == ["notes"]
        there.servers["notes"].answer = listing("a")
        await there.ask(tool("notes__a", session))
        assert [(heard.call or {}).get("method") for heard in there.servers["notes"].seen[-3:]] == [
            "initialize",
            "notifications/initialized",
            "tools/call",
        ]


async def test_a_session_that_a_server_has_ended_is_opened_again_and_the_others_are_untouched() -> None:
    """Lists ask again by themselves; a call says so, because nobody knows whether it may be made twice."""
    ended = []

    def answer(heard: Heard, line: Line) -> None:
        if heard.all("mcp-session-id") and heard.all("mcp-session-id")[0] in ended:
            line.send(whole(b"", "404 Not Found", content_type=""))
        else:
            listing("a")(heard, line)

    async with world({"notes": answer}) as there:
        session, _ = await there.open()
        ended.append(sessions_of(there, "notes")[0])
        listed = await there.ask(legacy("tools/list", session=session, server=ALL))
        assert [each["name"] for each in listed["result"]["tools"]][-1] == "notes__a"
        ended.append(sessions_of(there, "notes")[-1])
        with pytest.raises(Exception, match="send the call again") as told:
            await there.reply(tool("notes__a", session))
        assert told.value.reason.code == "server_unreachable"  # type: ignore[attr-defined]
        await there.ask(tool("notes__a", session))
        await there.ask(tool("weather__x", session))
        assert there.calls("initialize") == {"weather": 1, "notes": 3}


# ---- whose session it is ----------------------------------------------------------------------------------------------


async def test_a_session_is_its_callers_alone() -> None:
    """M-09, M-10: 404, as for one that was made up."""
    async with world({"notes": listing("a")}) as there:
        session, _ = await there.open()
        for other in (tool("notes__a", session, key=b"key-of-bob"), tool("notes__a", b"made-up")):
            error = await there.refused(other)
            assert (error.reason.code, error.reason.status) == ("session_unknown", 404)
        await there.ask(tool("notes__a", session))


async def test_without_a_session_there_is_only_the_handshake() -> None:
    async with world() as there:
        for method in ("tools/list", "tools/call", "notifications/initialized"):
            inbound = legacy(method, server=ALL)
            if method == "tools/call":
                message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "weather__x"}}
                inbound = posted(message, server=ALL)
            assert (await there.refused(inbound)).reason.code == "invalid_request"
        assert (await there.ask(legacy("ping", server=ALL)))["result"] == {}


async def test_policy_comes_before_any_session() -> None:
    policy = Policy((Rule("policy[0]", permits=True, servers=Patterns.of(["weather"])),), {})
    async with world({"notes": listing("a")}, policy=policy) as there:
        session, result = await there.open()
        assert "_meta" not in result
        assert there.calls()["notes"] == 0
        assert (await there.refused(tool("notes__a", session))).reason.code == "policy_denied"
        await there.ask(tool("weather__x", session))


async def test_delete_ends_it_here_and_at_every_server() -> None:
    async with world({"notes": listing("a")}) as there:
        session, _ = await there.open()
        opened = {name: sessions_of(there, name)[0] for name in there.servers}
        assert (await there.reply(legacy(END_SESSION, session=session, server=ALL))).status == 200
        await until(lambda: all(server.seen[-1].verb == "DELETE" for server in there.servers.values()))
        for name, server in there.servers.items():
            assert server.seen[-1].all("mcp-session-id") == [opened[name]]
        error = await there.refused(tool("notes__a", session))
        assert error.reason.code == "session_unknown"


async def test_an_end_that_the_gateways_own_end_comes_before_leaves_nothing_behind() -> None:
    """What is left is cancelled then, before its first step, too: Python complains of a coroutine that nobody ever awaits."""
    async with world({"notes": listing("a")}) as there:
        session, _ = await there.open()
        before = asyncio.all_tasks()
        assert (await there.reply(legacy(END_SESSION, session=session, server=ALL))).status == 200
        begun = asyncio.all_tasks() - before
        assert len(begun) == len(there.servers)
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)
            begun.clear()
            gc.collect()
        assert [str(one.message) for one in complaints if "never awaited" in str(one.message)] == []


async def test_an_idle_session_ends_by_itself() -> None:
    limits = replace(LIMITS, visit_idle_seconds=0.5)
    async with world({"notes": listing("a")}, limits=limits) as there:
        session, _ = await there.open()
        await until(lambda: there.servers["notes"].seen[-1].verb == "DELETE")
        assert (await there.refused(tool("notes__a", session))).reason.code == "session_unknown"


async def test_one_caller_has_so_many_sessions_and_no_more() -> None:
    limits = replace(LIMITS, visits_per_caller=2)
    async with world(limits=limits) as there:
        first, _ = await there.open()
        second, _ = await there.open()
        others, _ = await there.open(key=b"key-of-bob")
        third, _ = await there.open()
        assert (await there.refused(tool("weather__x", first))).reason.code == "session_unknown"
        for session in (second, third):
            await there.ask(tool("weather__x", session))
        await there.ask(tool("weather__x", others, key=b"key-of-bob"))


# ---- what servers ask and tell ----------------------------------------------------------------------------------------


class Asks:
    """A server whose tool asks the client a question, always under the same id, and answers with the answer."""

    def __init__(self, says: str) -> None:
        self.says = says
        self.answers: list[Any] = []
        self._heard = threading.Event()

    def __call__(self, heard: Heard, line: Line) -> None:
        call = heard.call or {}
        if heard.verb == "POST" and "method" not in call:
            self.answers.append(call)
            self._heard.set()
            line.send(whole(b"", "202 Accepted", content_type=""))
        elif call.get("method") == "tools/call":
            asked = {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {"message": self.says}}
            line.send(chunked(event(asked), end=False))
            self._heard.wait(60)
            text = {"type": "text", "text": json.dumps(self.answers[-1]["result"])}
            line.send(chunk(event(response(heard, {"content": [text]}))) + b"0\r\n\r\n")
        else:
            answering(**introducing({"tools": {}}))(heard, line)


@asynccontextmanager
async def events(reply: Reply) -> AsyncIterator[Any]:
    """The messages of a stream, as they come."""
    body = reply.body
    assert not isinstance(body, bytes)

    async def messages() -> AsyncIterator[Any]:
        async for piece in body:
            for line in piece.decode().split("\n"):
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    made = messages()
    try:
        yield made
    finally:
        await made.aclose()  # type: ignore[attr-defined]
        await body.aclose()


async def test_the_answer_to_a_question_goes_to_the_server_that_asked_it() -> None:
    """Two servers ask under one id, and each gets its own answer."""
    one, two = Asks("one?"), Asks("two?")
    async with world({"one": one, "two": two}) as there:
        session, _ = await there.open()
        replies = [await there.reply(tool(f"{name}__x", session, id=name)) for name in ("one", "two")]
        async with events(replies[0]) as of_one, events(replies[1]) as of_two:
            asked = [await anext(of_one), await anext(of_two)]
            assert [each["params"]["message"] for each in asked] == ["one?", "two?"]
            assert len({each["id"] for each in asked}) == 2
            assert 1 not in {each["id"] for each in asked}
            for each, say in reversed(list(zip(asked, ("1", "2"), strict=True))):
                reply = await there.reply(posting({"id": each["id"], "result": {"say": say}}, session))
                assert reply.status == 202
            assert json.loads((await anext(of_one))["result"]["content"][0]["text"]) == {"say": "1"}
            assert json.loads((await anext(of_two))["result"]["content"][0]["text"]) == {"say": "2"}
        assert [each["id"] for each in one.answers + two.answers] == [1, 1]
        for name, server in (("one", there.servers["one"]), ("two", there.servers["two"])):
            (heard,) = [each for each in server.seen if each.verb == "POST" and "method" not in each.call]
            assert verified(heard, server.url)["scope"] == f"mcp:{REPLY}", name


async def test_nobody_answers_what_he_was_not_asked() -> None:
    one = Asks("one?")
    async with world({"one": one, "two": Asks("two?")}) as there:
        session, _ = await there.open()
        others, _ = await there.open(key=b"key-of-bob")
        mine, _ = await there.open()
        reply = await there.reply(tool("one__x", session))
        async with events(reply) as told:
            asked = await anext(told)
            for where, changes in ((others, {"key": b"key-of-bob"}), (mine, {})):
                answer = posting({"id": asked["id"], "result": {"say": "forged"}}, where, **changes)
                assert (await there.reply(answer)).status == 202
            for made_up in (1, "own-1", "q"):
                await there.reply(posting({"id": made_up, "result": {"say": "forged"}}, session))
            assert one.answers == []
            await there.reply(posting({"id": asked["id"], "result": {"say": "right"}}, session))
            await anext(told)
            await there.reply(posting({"id": asked["id"], "result": {"say": "again"}}, session))
        assert [each["result"]["say"] for each in one.answers] == ["right"]
        assert BOB.subject == "bob"


async def test_a_server_that_asks_without_end_pushes_out_no_question_of_another() -> None:
    def floods(heard: Heard, line: Line) -> None:
        if (heard.call or {}).get("method") == "tools/call":
            asked = [{"jsonrpc": "2.0", "id": n, "method": "elicitation/create", "params": {}} for n in range(1500)]
            line.send(chunked(*map(event, asked), event(response(heard))))
        else:
            listing("x")(heard, line)

    one = Asks("one?")
    async with world({"one": one, "hostile": floods}) as there:
        session, _ = await there.open()
        reply = await there.reply(tool("one__x", session))
        async with events(reply) as told:
            asked = await anext(told)
            got = (await read(await there.reply(tool("hostile__x", session, id=2)))).count(b"elicitation/create")
            assert got == 1500
            await there.reply(posting({"id": asked["id"], "result": {"say": "right"}}, session))
            assert json.loads((await anext(told))["result"]["content"][0]["text"]) == {"say": "right"}


async def test_a_call_is_cancelled_at_the_server_that_it_is_at() -> None:
    waiting = threading.Event()

    def answer(heard: Heard, line: Line) -> None:
        if (heard.call or {}).get("method") == "tools/call":
            line.send(chunked(end=False))
            waiting.wait(60)
            line.send(chunk(event(result_bytes(heard))) + b"0\r\n\r\n")
        else:
            plain(heard, line)

    def result_bytes(heard: Heard) -> bytes:
        return json.dumps(result(heard)).encode()

    async with world({"notes": answer, "files": plain}) as there:
        session, _ = await there.open()
        reply = await there.reply(tool("notes__x", session, id=9))
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 9}}
        assert (await there.reply(posting(cancel, session))).status == 202
        assert there.calls("notifications/cancelled") == {"weather": 0, "notes": 1, "files": 0}
        assert there.servers["notes"].seen[-1].call["params"] == {"requestId": 9}
        waiting.set()
        await read(reply)
        await there.reply(posting(cancel, session))
        assert there.calls("notifications/cancelled")["notes"] == 1, "it is over"


async def test_every_server_is_told_what_is_for_all_and_later_ones_when_they_come() -> None:
    def out(heard: Heard, line: Line) -> None:
        line.reset()

    logs = answering(**introducing({"logging": {}}))
    async with world({"notes": logs, "files": listing("a"), "late": out}) as there:
        session, _ = await there.open()
        level = {"id": 3, "method": "logging/setLevel", "params": {"level": "debug"}}
        assert (await there.ask(posting(level, session)))["result"] == {}
        assert there.calls("logging/setLevel") == {"weather": 0, "notes": 1, "files": 0, "late": 0}
        there.servers["late"].answer = logs
        await there.ask(tool("late__x", session))
        assert there.servers["late"].seen[-2].call["params"] == {"level": "debug"}
        await there.reply(posting({"method": "notifications/roots/list_changed"}, session))
        assert there.calls("notifications/roots/list_changed") == {"weather": 1, "notes": 1, "files": 1, "late": 1}


async def test_one_stream_has_what_all_servers_say_by_themselves() -> None:
    def says(server: str) -> Any:
        def answer(heard: Heard, line: Line) -> None:
            if heard.verb == "GET":
                note = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"}}
                line.send(chunked(b"id: 5\n" + event(note), end=False))
                line.gone()
            else:
                listing("a")(heard, line)

        return answer

    def has_none(heard: Heard, line: Line) -> None:
        if heard.verb == "GET":
            line.send(whole(b"", "405 Method Not Allowed", content_type=""))
        else:
            listing("a")(heard, line)

    async with world({"notes": says("notes"), "files": says("files"), "none": has_none}) as there:
        there.servers["weather"].answer = has_none
        session, _ = await there.open()
        reply = await there.reply(legacy(STREAM, session=session, server=ALL))
        assert (reply.status, dict(reply.headers)[b"mcp-session-id"]) == (200, session)
        body = reply.body
        assert not isinstance(body, bytes)
        got = b""
        async for piece in body:
            got += piece
            if got.count(b"data:") == 2:
                break
        await body.aclose()
        for server in ("notes", "files"):
            assert f'"uri":"counterseal:{server}/file:///a"'.encode() in got
            assert f"id: {server}__5\n".encode() in got
        await until(
            lambda: len(there.entries("outcome")) == len(there.entries("intent")) + len(there.entries("gather"))
        )
        resumed = legacy(STREAM, (b"last-event-id", b"notes__5"), session=session, server=ALL)
        reply = await there.reply(resumed)
        assert not isinstance(reply.body, bytes)
        got = b""
        async for piece in reply.body:  # until both servers were asked
            got += piece
            if got.count(b"data:") == 2:
                break
        await reply.body.aclose()
        gets = {name: [each for each in server.seen if each.verb == "GET"] for name, server in there.servers.items()}
        assert gets["notes"][-1].all("last-event-id") == ["5"]
        assert gets["files"][-1].all("last-event-id") == []


async def test_s_04_no_server_answers_what_another_one_was_asked() -> None:
    """A stream that goes on may hold answers to calls: those of the server that it is of."""
    forged = [{"jsonrpc": "2.0", "id": id, "result": {"says": "two", "of": id}} for id in ("at-one", "at-two", "never")]
    failed = [{"jsonrpc": "2.0", "id": None, "error": {"code": -32603, "message": "two"}}]
    note = {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
    odd = {"jsonrpc": "2.0", "id": 1.5, "method": "ping"}

    def two(heard: Heard, line: Line) -> None:
        if heard.verb == "GET":
            line.send(chunked(b"".join(map(event, [*forged, *failed, odd, note])), end=False))
            line.gone()
        else:
            listing("a")(heard, line)

    one = Asks("one?")
    async with world({"one": one, "two": two}) as there:
        session, _ = await there.open()
        await there.ask(tool("two__a", session, id="at-two"))
        reply = await there.reply(tool("one__x", session, id="at-one"))
        async with events(reply) as of_one:
            await anext(of_one)
            follow = legacy(STREAM, (b"last-event-id", b"two__5"), session=session, server=ALL)
            async with events(await there.reply(follow)) as stream:
                got = []
                while note not in got:
                    got.append(await anext(stream))
            assert [each for each in got if "method" not in each] == [forged[1]]
            one.answers.append({"result": {}})
            one._heard.set()
            assert (await anext(of_one))["id"] == "at-one"


async def test_m_09_a_stream_has_the_sessions_of_whom_it_was_opened_for() -> None:
    """One key, and a proxy that says for whom it calls: a session's id is worth nothing to the next person."""

    def says(heard: Heard, line: Line) -> None:
        if heard.verb == "GET":
            note = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
            line.send(chunked(event(note), end=False))
            line.gone()
        else:
            listing("a")(heard, line)

    channel = rules(required=True, audience=HERE)
    async with world({"notes": says}, channel=channel) as there:
        there.servers["weather"].answer = says
        one, other = (token(claims(aud=HERE, sub=line)) for line in ("line-1", "line-2"))
        reply = await there.reply(through(legacy("initialize", server=ALL), one))
        session = dict(reply.headers)[b"mcp-session-id"]
        for who, gets in ((other, 0), (one, 1)):
            async with events(await there.reply(through(legacy(STREAM, session=session, server=ALL), who))) as stream:
                await anext(stream)  # of the server that asks for no channel
                if gets:
                    await anext(stream)
            heard = [each for each in there.servers["weather"].seen if each.verb == "GET"]
            assert len(heard) == gets


async def test_a_batch_is_taken_apart_here_too() -> None:
    async with world({"notes": listing("a")}) as there:
        opening = json.loads(legacy("initialize").body)
        opening["params"]["protocolVersion"] = "2025-03-26"
        reply = await there.reply(posted(opening, server=ALL))
        session = dict(reply.headers)[b"mcp-session-id"]
        messages = [json.loads(tool(name, session, id=id).body) for id, name in enumerate(("notes__a", "weather__b"))]
        reply = await there.reply(posted(messages, (b"mcp-session-id", session), server=ALL))
        told = [json.loads(each.removeprefix("data: ")) for each in (await read(reply)).decode().split("\n\n")[:-1]]
        assert [each["id"] for each in told] == [0, 1]
        assert [each["server"] for each in there.entries("intent", method="tools/call")] == ["notes", "weather"]


# ---- several workers --------------------------------------------------------------------------------------------------


async def test_with_several_workers_servers_are_told_of_nothing_that_they_could_ask() -> None:
    notes = answering(**introducing({"tools": {"listChanged": True}, "logging": {}, "resources": {"subscribe": True}}))
    async with world({"notes": notes}, alone=False) as there:
        session, result = await there.open()
        assert result["capabilities"] == {"tools": {}, "resources": {}}
        for server in there.servers.values():
            assert server.seen[0].call["params"]["capabilities"] == {}
            assert server.seen[0].call["params"]["clientInfo"]["name"] == "counterseal"
        assert (await there.refused_after(legacy(STREAM, session=session, server=ALL))) == "http_method_refused"
        level = {"id": 3, "method": "logging/setLevel", "params": {"level": "debug"}}
        assert (await there.refused_after(posting(level, session))) == "method_unknown"


async def test_with_several_workers_any_of_them_goes_on_with_a_session() -> None:
    async with world({"notes": listing("a")}, alone=False) as one, world({"notes": listing("a")}, alone=False) as other:
        session, _ = await one.open()
        told = await other.ask(tool("notes__a", session))
        assert "result" in told
        assert other.calls("initialize") == {"weather": 0, "notes": 1}
        error = await other.refused(tool("notes__a", session, key=b"key-of-bob"))
        assert error.reason.code == "session_unknown"


async def test_questions_that_nobody_was_to_ask_reach_nobody() -> None:
    async with world({"one": Asks("one?")}, alone=False) as there:
        session, _ = await there.open()
        reply = await there.reply(tool("one__x", session))
        async with events(reply) as told:
            answered = asyncio.ensure_future(anext(told))
            await asyncio.sleep(0)
            there.servers["one"].answer._heard.set()  # type: ignore[attr-defined]
            there.servers["one"].answer.answers.append({"result": {}})  # type: ignore[attr-defined]
            assert "result" in await answered


async def test_one_worker_has_so_many_sessions_and_no_more() -> None:
    limits = replace(LIMITS, visit_count=2)
    async with world(limits=limits) as there:
        first, _ = await there.open()
        second, _ = await there.open(key=b"key-of-bob")
        third, _ = await there.open()
        assert (await there.refused(tool("weather__x", first))).reason.code == "session_unknown"
        await there.ask(tool("weather__x", second, key=b"key-of-bob"))
        await there.ask(tool("weather__x", third))


async def test_a_session_that_is_used_at_this_moment_does_not_make_room() -> None:
    limits = replace(LIMITS, visits_per_caller=1)
    async with world(limits=limits) as there:
        there.servers["weather"].answer = Asks("?")
        session, _ = await there.open()
        reply = await there.reply(tool("weather__x", session))
        with pytest.raises(Exception, match="1 sessions of this caller are busy") as told:
            await there.open()
        assert told.value.reason.code == "too_many"  # type: ignore[attr-defined]
        assert not isinstance(reply.body, bytes)
        await reply.body.aclose()
        there.servers["weather"].answer._heard.set()  # type: ignore[attr-defined]
        there.servers["weather"].answer.answers.append({"result": {}})  # type: ignore[attr-defined]
        await there.open()


async def test_a_second_stream_takes_the_place_of_the_first() -> None:
    async with world() as there:
        session, _ = await there.open()
        first = await there.reply(legacy(STREAM, session=session, server=ALL))
        ended = asyncio.ensure_future(read(first))
        await until(lambda: there.calls()["weather"] == 3)
        second = await there.reply(legacy(STREAM, session=session, server=ALL))
        await asyncio.wait_for(ended, 60)
        assert not isinstance(second.body, bytes)
        await second.body.aclose()
        await until(lambda: len(there.entries("outcome")) == len(there.entries("intent") + there.entries("gather")))


async def test_a_session_that_ends_while_a_server_is_still_silent_is_unknown_to_who_waits() -> None:
    waiting = threading.Event()

    def slow(heard: Heard, line: Line) -> None:
        waiting.wait(60)
        listing("a")(heard, line)

    async with world({"slow": slow}, limits=replace(LIMITS, gather_seconds=2.0)) as there:
        session, result = await there.open()
        assert [each["server"] for each in result["_meta"][UNAVAILABLE]] == ["slow"]
        call = asyncio.ensure_future(there.reply(tool("slow__a", session)))
        await asyncio.sleep(0)
        await there.reply(legacy(END_SESSION, session=session, server=ALL))
        with pytest.raises(Exception, match="there is no such session"):
            await asyncio.wait_for(call, 60)
        waiting.set()


async def test_what_servers_said_lately_is_not_asked_for_again_and_sessions_are_opened_when_they_are_used() -> None:
    notes = answering(tools_list={"tools": tools("a")}, **introducing({"tools": {}}, instructions="Be brief."))
    async with world({"notes": notes}) as there:
        _, first = await there.open()
        assert there.calls("initialize") == {"weather": 1, "notes": 1}
        session, second = await there.open()
        assert second == first
        assert there.calls("initialize") == {"weather": 1, "notes": 1}
        await there.ask(tool("notes__a", session))
        assert there.calls("initialize") == {"weather": 1, "notes": 2}
        await there.open(key=b"key-of-bob")
        assert there.calls("initialize") == {"weather": 2, "notes": 3}, "another caller may be told something else"
        there.gateway.clock.advance(LIMITS.kept_lists_seconds + 1)
        await there.open()
        assert there.calls("initialize") == {"weather": 3, "notes": 4}


async def test_a_server_that_has_gone_is_found_out_when_it_is_used() -> None:
    def out(heard: Heard, line: Line) -> None:
        line.reset()

    async with world({"notes": listing("a")}) as there:
        await there.open()
        there.servers["notes"].answer = out
        session, result = await there.open()
        assert "_meta" not in result
        with pytest.raises(Exception, match="cannot be reached"):
            await there.reply(tool("notes__a", session))
        _, result = await there.open()
        assert [each["server"] for each in result["_meta"][UNAVAILABLE]] == ["notes"]


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
async def test_what_a_client_says_of_itself_has_a_ceiling(more: int, taken: bool) -> None:
    opening = json.loads(legacy("initialize").body)
    client = {name: opening["params"][name] for name in ("capabilities", "clientInfo")}
    missing = LIMITS.visit_client_bytes - len(json.dumps(client, separators=(",", ":"))) - len(',"x":""')
    opening["params"]["clientInfo"]["x"] = "x" * (missing + more)
    async with world() as there:
        inbound = posted(opening, server=ALL)
        if taken:
            assert "result" in await there.ask(inbound)
        else:
            assert await there.refused_after(inbound) == "too_large"
