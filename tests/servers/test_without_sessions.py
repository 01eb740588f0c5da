"""Legacy callers of a streamable HTTP server that has revision 2026-07-28 alone."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from counterseal.core.call import Era
from counterseal.core.methods import END_SESSION, REPLY, STREAM
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.either_era import EitherEra
from counterseal.servers.without_sessions import OURS
from tests.contracts.http import until
from tests.contracts.server import LIMITS, SESSIONS, Client, Countersign, ServerContract, caller, said
from tests.servers import permits
from tests.servers.eras import room_of
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, response, whole
from tests.support.new_server import NO_VERSION, NewServer
from tests.support.old_server import OldServer, refusal


@pytest.fixture
def new() -> Iterator[NewServer]:
    with NewServer() as running:
        yield running


@pytest.fixture
async def room(new: NewServer, countersign: Countersign) -> AsyncIterator[EitherEra]:
    async with room_of(new, countersign) as made:
        yield made


def legacy(room: EitherEra, name: str = "alice") -> Client:
    return Client(room, Era.LEGACY, caller(name))


def answering(new: NewServer, tool: str, answer: Any) -> None:
    """The server answers calls of a tool with a result of its own."""
    usual = new.answer

    def respond(heard: Heard, line: Line) -> None:
        if heard.call and heard.call["params"].get("name") == tool:
            line.send(whole(response(heard, answer)))
        else:
            usual(heard, line)

    new.answer = respond


class TestServerOfTheNewEra(ServerContract):
    @pytest.fixture
    async def room(self, new: NewServer) -> AsyncIterator[EitherEra]:
        async with room_of(new) as made:
            yield made


# ---- the handshake ----------------------------------------------------------------------------------------------------


async def test_the_gateway_shakes_hands_in_place_of_the_server(
    new: NewServer, room: EitherEra, countersign: Countersign
) -> None:
    client = await legacy(room).begin("2025-06-18")
    assert client.result == {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "weather", "version": "unknown"},
    }
    assert client.session is not None
    assert (client.session.server_id, client.session.revision) == (OURS, "2025-06-18")
    # The caller's own `initialize` is refused once; then it is known what the server has. `initialized` is taken and dropped.
    assert new.methods() == ["initialize", "server/discover"]
    await legacy(room, "bob").begin()
    assert new.methods() == ["initialize", "server/discover", "server/discover"]
    assert [(one.call.method, one.caller.subject) for one in countersign.made] == [
        ("server/discover", "alice"),
        ("server/discover", "bob"),
    ]


async def test_what_the_server_says_of_itself_is_told(new: NewServer, room: EitherEra) -> None:
    found = {
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "extensions": {"x/y": {}}},
        "instructions": "be kind",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "theirs", "version": "7"}},
        "resultType": "complete",
        "ttlMs": 1,
        "cacheScope": "public",
    }
    usual = new.answer

    def discovered(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "server/discover":
            line.send(whole(response(heard, found)))
        else:
            usual(heard, line)

    new.answer = discovered
    client = await legacy(room).begin()
    assert client.result == {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "resources": {}},
        "serverInfo": {"name": "theirs", "version": "7"},
        "instructions": "be kind",
    }


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 No", NO_VERSION),
        ("400 No", {"code": -32602, "message": "no _meta"}),
        ("400 No", {"code": -32020, "message": "no header"}),
        ("404 No", {"code": -32601, "message": "no such method"}),
    ],
)
async def test_whatever_way_it_says_that_it_has_no_handshake(
    new: NewServer, room: EitherEra, status: str, error: dict[str, Any]
) -> None:
    usual = new.answer

    def strict(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "initialize":
            line.send(refusal(error, status))
        else:
            usual(heard, line)

    new.answer = strict
    client = await legacy(room).begin()
    assert said(await client.call("echo", text="hi")) == "hi"


async def test_a_server_that_refuses_initialize_for_another_reason_is_told_from_it(countersign: Countersign) -> None:
    with OldServer() as old:
        old.answer = lambda heard, line: line.send(refusal({"code": -32000, "message": "not today"}))
        async with room_of(old, countersign) as room:
            reply = await legacy(room).send("initialize", permits.PARAMS["initialize"])
            assert (reply.status, json.loads(await read(reply))["error"]["message"]) == (400, "not today")
        assert old.methods() == ["initialize", "server/discover"]


@pytest.mark.parametrize("status", ["401 No", "403 No", "500 No"])
async def test_a_status_that_says_nothing_of_eras_asks_for_none(countersign: Countersign, status: str) -> None:
    with HostileServer(lambda heard, line: line.send(whole(b"", status, content_type="text/plain"))) as server:
        async with room_of(server, countersign) as room:
            with pytest.raises(ServerError):
                await legacy(room).begin()
        assert (server.calls, countersign.made) == (1, [])


# ---- a call -----------------------------------------------------------------------------------------------------------


async def test_a_call_is_one_request_of_the_new_revision(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    before = new.calls
    answer = await client.call("echo", id="mine", meta={"progressToken": "p", "traceparent": "t"}, text="hi")
    assert (answer["id"], answer["result"]) == ("mine", {"content": [{"type": "text", "text": "hi"}]})
    (heard,) = new.seen[before:]
    assert heard.all("mcp-protocol-version") == ["2026-07-28"]
    assert (heard.all("mcp-method"), heard.all("mcp-name")) == (["tools/call"], ["echo"])
    assert not heard.names & {"mcp-session-id", "last-event-id"}
    assert heard.call["id"].startswith("our-own-id-")
    assert heard.call["params"]["_meta"] == {
        "progressToken": "p",
        "traceparent": "t",
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "counterseal", "version": "test"},
    }


async def test_no_caller_can_say_who_sends_it_or_what_he_is_capable_of(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    await client.call("echo", meta={"io.modelcontextprotocol/clientCapabilities": {"sampling": {}}}, text="hi")
    (heard,) = new.heard_of("tools/call")
    assert heard.call["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}


async def test_m_09_a_session_is_of_use_to_its_caller_alone(room: EitherEra) -> None:
    client = await legacy(room).begin()
    assert client.session is not None
    with pytest.raises(BadCall) as refused:
        SESSIONS.open(caller("bob"), "weather", client.session.sealed)
    assert refused.value.reason.code == "session_unknown"
    assert SESSIONS.open(caller("alice"), "weather", client.session.sealed) == client.session


async def test_a_session_needs_no_state_of_the_gateway(new: NewServer, room: EitherEra) -> None:
    """Another worker, or the same gateway after it was started again."""
    client = await legacy(room).begin()
    async with room_of(new) as other:
        client.room = other
        assert said(await client.call("echo", text="hi")) == "hi"


async def test_an_error_of_the_new_revision_is_an_answer(room: EitherEra) -> None:
    client = await legacy(room).begin()
    reply = await client.send("prompts/list")
    assert (reply.status, reply.is_error) == (200, True)
    assert json.loads(await read(reply))["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"resultType": "input_required", "inputRequests": {}}, "asks the caller for more"),
        ({"resultType": "task", "taskId": "t"}, "answers with a task"),
    ],
)
async def test_what_an_older_revision_has_no_words_for_is_refused_with_the_reason(
    new: NewServer, room: EitherEra, result: dict[str, Any], kind: str
) -> None:
    client = await legacy(room).begin()
    answering(new, "asks", result)
    with pytest.raises(BadCall, match=kind) as refused:
        await client.call("asks")
    assert refused.value.reason.code == "revision_too_old"
    answering(new, "asks", {"resultType": "complete", "content": [{"type": "text", "text": "ok"}]})
    assert said(await client.call("asks")) == "ok"


async def test_a_result_of_a_kind_that_nobody_knows_is_none(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    answering(new, "odd", {"resultType": "odd"})
    assert await client.fails("odd") == "server_answer_invalid"


async def test_a_request_of_the_server_is_none_that_its_revision_has(room: EitherEra) -> None:
    client = await legacy(room).begin()
    reply = await client.send("tools/call", {"name": "ask", "arguments": {"method": "sampling/createMessage"}})
    with pytest.raises(ServerError) as failed:
        await read(reply)
    assert failed.value.reason.code == "server_answer_invalid"


@pytest.mark.parametrize("method", ["notifications/message", "notifications/tools/list_changed"])
async def test_what_was_not_asked_for_reaches_nobody(room: EitherEra, method: str) -> None:
    client = await legacy(room).begin()
    (answer,) = await client.ask("tools/call", {"name": "tell", "arguments": {"method": method}})
    assert said(answer) == "told"


# ---- what a tool mirrors into headers ---------------------------------------------------------------------------------


async def test_what_a_tool_wants_mirrored_is_mirrored_for_a_caller_who_knows_nothing_of_it(
    new: NewServer, room: EitherEra, countersign: Countersign
) -> None:
    client = await legacy(room).begin()
    usual = new.answer
    city = {"type": "string", "x-mcp-header": "City"}
    tool = {"name": "get_weather", "inputSchema": {"type": "object", "properties": {"city": city}}}
    ran = []

    def mirroring(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/list":
            line.send(whole(response(heard, {"tools": [tool], "resultType": "complete"})))
        elif heard.call["method"] == "tools/call" and heard.all("mcp-param-city") != ["Oslo"]:
            line.send(refusal({"code": -32020, "message": "Mcp-Param-City"}))
        else:
            ran.append(heard)
            usual(heard, line)

    new.answer = mirroring
    before = new.calls
    await client.call("get_weather", city="Oslo")
    assert new.methods()[before:] == ["tools/call", "tools/list", "tools/call"]
    assert len(ran) == 1
    assert len({heard.token for heard in new.seen}) == new.calls
    assert [one.call.method for one in countersign.made][-2:] == ["tools/list", "tools/call"]
    await client.call("get_weather", city="Oslo")
    assert new.methods()[before + 3 :] == ["tools/call"]
    assert (await client.call("get_weather", city="Rome"))["error"]["code"] == -32020  # and is not tried for ever
    assert new.methods()[before + 4 :] == ["tools/call", "tools/list"]


# ---- what belongs to a session ----------------------------------------------------------------------------------------


async def test_the_gateway_answers_ping(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    before = new.calls
    assert await client.ask("ping", id=9) == [{"jsonrpc": "2.0", "id": 9, "result": {}}]
    assert new.calls == before


@pytest.mark.parametrize("method", ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"])
async def test_what_has_no_counterpart_is_refused_with_the_reason(new: NewServer, room: EitherEra, method: str) -> None:
    client = await legacy(room).begin()
    before = new.calls
    with pytest.raises(BadCall, match="revision 2026-07-28 alone") as refused:
        await client.send(method, permits.PARAMS.get(method))
    assert refused.value.reason.code == "method_unknown"
    assert new.calls == before


@pytest.mark.parametrize("method", [STREAM, END_SESSION])
async def test_there_is_no_stream_and_no_end(new: NewServer, room: EitherEra, method: str) -> None:
    client = await legacy(room).begin()
    before = new.calls
    with pytest.raises(BadCall) as refused:
        await room.send(permits.permit(permits.call(method, era=Era.LEGACY, session=client.session), caller=client.who))
    assert refused.value.reason.code == "http_method_refused"
    assert new.calls == before


@pytest.mark.parametrize(
    "method", [REPLY, "notifications/initialized", "notifications/progress", "notifications/roots/list_changed"]
)
async def test_what_no_server_of_its_revision_is_told_is_taken_and_dropped(
    new: NewServer, room: EitherEra, method: str
) -> None:
    client = await legacy(room).begin()
    before = new.calls
    call = permits.call(method, era=Era.LEGACY, session=client.session)
    reply = await room.send(permits.permit(call, caller=client.who))
    assert (reply.status, reply.body) == (202, b"")
    assert new.calls == before


# ---- cancellation -----------------------------------------------------------------------------------------------------


async def test_a_cancelled_call_ends_at_the_server(new: NewServer, room: EitherEra) -> None:
    client, other = await legacy(room).begin(), await legacy(room, "bob").begin()
    usual, left = new.answer, []

    def hanging(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/call":
            left.append(line.gone())
        else:
            usual(heard, line)

    new.answer = hanging
    hangs = asyncio.create_task(client.ask("tools/call", {"name": "hang"}, id=7))
    await until(lambda: len(new.heard_of("tools/call")) == 1)
    for who, identity in ((other, 7), (client, 8), (client, None), (client, [7])):
        await read(await who.send("notifications/cancelled", {"requestId": identity}))
    assert not left
    await read(await client.send("notifications/cancelled", {"requestId": 7}))
    assert await hangs == []
    await until(lambda: left == [True])


async def test_a_cancelled_call_ends_its_stream_without_a_response(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    usual, left = new.answer, []

    def streaming(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/call":
            progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1}}
            line.send(chunked(end=False) + chunk(event(progress)))
            left.append(line.gone())
        else:
            usual(heard, line)

    new.answer = streaming
    reply = await client.send("tools/call", {"name": "slow", "_meta": {"progressToken": 1}}, id=7)
    assert not isinstance(reply.body, bytes)
    body = aiter(reply.body)
    assert b"notifications/progress" in await anext(body)
    await read(await client.send("notifications/cancelled", {"requestId": 7}))
    assert [piece async for piece in body] == []
    await until(lambda: left == [True])


async def test_a_caller_who_leaves_ends_the_servers_request(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    usual, left = new.answer, []

    def hanging(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/call":
            left.append(line.gone())
        else:
            usual(heard, line)

    new.answer = hanging
    hangs = asyncio.create_task(client.call("hang"))
    await until(lambda: len(new.heard_of("tools/call")) == 1)
    hangs.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hangs
    await until(lambda: left == [True])


@pytest.mark.parametrize("how", ["left", "cancelled", None])
async def test_a_call_that_ends_as_its_stream_begins_ends_at_the_server(
    new: NewServer, monkeypatch: pytest.MonkeyPatch, how: str | None
) -> None:
    """The stream is there, and whoever waits for it is not awake yet. how: None for a caller who wants it."""
    usual, left = new.answer, []

    def streaming(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/call":
            line.send(chunked(end=False))
            if how is None:
                line.send(chunk(event(response(heard))) + b"0\r\n\r\n")
            else:
                left.append(line.gone())
        else:
            usual(heard, line)

    patient = dataclasses.replace(LIMITS, server_idle_seconds=60.0, server_total_seconds=60.0)
    async with room_of(new, limits=patient) as room, asyncio.timeout(50):
        client = await legacy(room).begin()
        new.answer = streaming
        crossings = room._without_sessions
        exchange = crossings._http.exchange

        async def just_now(*arguments: Any) -> Any:
            outcome = await exchange(*arguments)
            if how == "left":
                asyncio.get_running_loop().call_soon(calling.cancel)
            elif how == "cancelled":
                (under_way,) = crossings._under_way.values()
                asyncio.get_running_loop().call_soon(under_way.cancel)
            return outcome

        monkeypatch.setattr(crossings._http, "exchange", just_now)
        calling = asyncio.create_task(client.ask("tools/call", {"name": "slow"}, id=7))
        if how == "left":
            with pytest.raises(asyncio.CancelledError):
                await calling
        else:
            assert len(await calling) == (how is None)
        assert crossings._under_way == {}
        if how is not None:
            await until(lambda: left == [True])


# ---- a server that changes --------------------------------------------------------------------------------------------


async def test_a_server_that_gets_sessions_is_found_out_and_callers_begin_anew(new: NewServer, room: EitherEra) -> None:
    client = await legacy(room).begin()
    with OldServer() as old:
        new.answer = old.answer
        new.answer = lambda heard, line: line.send(whole(b"", "400 Bad Request", content_type="text/plain"))
        assert await client.fails("echo", text="hi") == "server_refused"
        new.answer = old.answer
        await legacy(room, "bob").begin()
        with pytest.raises(BadCall) as refused:
            await client.call("echo", text="hi")
        assert refused.value.reason.code == "session_unknown"
        assert said(await (await client.begin()).call("echo", text="hi")) == "hi"


async def test_a_server_that_can_no_longer_be_asked_opens_no_session(new: NewServer, room: EitherEra) -> None:
    await legacy(room).begin()
    usual = new.answer
    new.answer = lambda heard, line: line.send(whole(b"", "404 Not Found", content_type="text/plain"))
    for _ in range(2):
        with pytest.raises(CallError):
            await legacy(room).begin()
    new.answer = usual
    assert said(await (await legacy(room).begin()).call("echo", text="hi")) == "hi"


async def test_no_server_can_give_a_session_id_that_is_the_gateways(room: EitherEra, new: NewServer) -> None:
    def posing(heard: Heard, line: Line) -> None:
        line.send(whole(response(heard), mcp_session_id=OURS))

    new.answer = posing
    with pytest.raises(ServerError) as failed:
        await legacy(room).begin()
    assert failed.value.reason.code == "server_answer_invalid"
