"""Which era a streamable HTTP server has, and modern callers of one that has only the legacy one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era, Shape
from counterseal.core.methods import END_SESSION, REPLY
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.either_era import EitherEra
from tests.contracts.http import until
from tests.contracts.server import (
    LIMITS,
    META,
    Client,
    Countersign,
    ServerContract,
    caller,
    permit,
    said,
)
from tests.servers.eras import room_of
from tests.servers.permits import ALICE, call, read
from tests.servers.test_streamable_http_contract import ScriptedServer
from tests.support.hostile import SESSION, Heard, HostileServer, Line, chunked, event, plain, response, whole
from tests.support.old_server import NO_SESSION, OldServer, refusal
from tests.support.tokens import NOW, FixedClock

OPENING = ["server/discover", "initialize", "notifications/initialized"]


@pytest.fixture
def old() -> Iterator[OldServer]:
    with OldServer() as running:
        yield running


@pytest.fixture
async def room(old: OldServer, countersign: Countersign) -> AsyncIterator[EitherEra]:
    async with room_of(old, countersign) as made:
        yield made


def modern(room: EitherEra, name: str = "alice") -> Client:
    return Client(room, Era.MODERN, caller(name))


class TestServerOfBothEras(ServerContract):
    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        with ScriptedServer() as running:
            yield running

    @pytest.fixture
    async def room(self, server: ScriptedServer) -> AsyncIterator[EitherEra]:
        async with room_of(server) as made:
            yield made


class TestServerOfTheOldEra(ServerContract):
    @pytest.fixture
    async def room(self, old: OldServer) -> AsyncIterator[EitherEra]:
        async with room_of(old) as made:
            yield made


# ---- a server that has the caller's era -------------------------------------------------------------------------------


async def test_a_call_in_the_servers_own_era_is_one_request_and_nothing_else(countersign: Countersign) -> None:
    with HostileServer() as server:
        async with room_of(server, countersign) as room:
            for method in ("tools/list", "server/discover", "tools/list"):
                await modern(room).ask(method)
            await modern(room).call("get_weather")
            await Client(room, Era.LEGACY).begin()
        assert [heard.call["method"] for heard in server.seen] == [
            "tools/list",
            "server/discover",
            "tools/list",
            "tools/call",
            "initialize",
            "notifications/initialized",
        ]
        assert countersign.made == []


@pytest.mark.parametrize(
    ("status", "code"),
    [("400 No", -32020), ("400 No", -32021), ("400 No", -32022), ("404 No", -32601)],
)
async def test_a_refusal_that_only_the_new_revision_has_is_passed_on(
    countersign: Countersign, status: str, code: int
) -> None:
    with HostileServer(lambda heard, line: line.send(refusal({"code": code, "message": "no"}, status))) as server:
        async with room_of(server, countersign) as room:
            reply = await modern(room).send("tools/list")
            assert (reply.status, json.loads(await read(reply))["error"]["code"]) == (int(status[:3]), code)
        assert (server.calls, countersign.made) == (1, [])


@pytest.mark.parametrize("status", ["401 No", "403 No", "429 No", "500 No", "503 No"])
async def test_a_status_that_says_nothing_of_eras_asks_for_none(countersign: Countersign, status: str) -> None:
    with HostileServer(lambda heard, line: line.send(whole(b"", status, content_type="text/plain"))) as server:
        async with room_of(server, countersign) as room:
            assert await modern(room).fails("echo") == "server_refused"
        assert (server.calls, countersign.made) == (1, [])


async def test_a_refusal_that_might_be_of_either_era_is_passed_on_where_the_server_has_the_new_one(
    countersign: Countersign,
) -> None:
    """-32602 under 400: a cursor that is none, or a server that knows no `_meta`."""

    def picky(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "server/discover":
            line.send(whole(response(heard)))
        else:
            line.send(refusal({"code": -32602, "message": "no such cursor"}))

    with HostileServer(picky) as server:
        async with room_of(server, countersign) as room:
            for _ in range(3):
                reply = await modern(room).send("tools/list", {"cursor": "x"})
                assert (reply.status, reply.is_error) == (400, True)
        # It was asked once, and what it said is remembered.
        assert [heard.call["method"] for heard in server.seen] == [
            "tools/list",
            "server/discover",
            "tools/list",
            "tools/list",
        ]
        assert [one.call.method for one in countersign.made] == ["server/discover"]


# ---- no caller says for others which era a server has -----------------------------------------------------------------


def both(heard: Heard, line: Line) -> None:
    """A server of both eras that looks at what it is sent, as the official one does."""
    call, error = heard.call or {}, {"code": -32602, "message": "Invalid request parameters"}
    broken, failed = refusal(error), json.dumps({"jsonrpc": "2.0", "id": call.get("id"), "error": error}).encode()
    sent = heard.all("mcp-session-id")
    if sent and call.get("method") == "initialize":
        line.send(refusal({"code": -32600, "message": "Session not found"}, "404 Not Found"))
    elif call.get("params", {}).get("_meta", {}).get("progressToken") == {}:
        line.send(broken if call["params"].get("status", 400) == 400 else whole(failed))
    elif call.get("method") == "initialize" and not call["params"].get("clientInfo"):
        line.send(broken)
    else:
        plain(heard, line)


@pytest.mark.parametrize("status", [400, 200])
async def test_a_discovery_that_is_wrong_in_itself_says_nothing_of_the_server(
    countersign: Countersign, status: int
) -> None:
    with HostileServer(both) as server:
        async with room_of(server, countersign) as room:
            for _ in range(2):
                reply = await modern(room, "mallory").send(
                    "server/discover", {"_meta": {"progressToken": {}}, "status": status}
                )
                assert (reply.status, reply.is_error) == (status, True)
            before = server.calls
            await modern(room).call("get_weather")
        heard = server.seen[before:]
        assert [one.call["method"] for one in heard] == ["tools/call"], "in the era of its caller, as one request"
        assert heard[0].all("mcp-protocol-version") == ["2026-07-28"]
        assert "initialize" not in [one.call["method"] for one in server.seen]


@pytest.mark.parametrize("params", [{}, {"protocolVersion": "2099-01-01"}], ids=["broken", "unknown revision"])
async def test_a_handshake_that_is_wrong_in_itself_says_nothing_of_the_server(
    countersign: Countersign, params: dict[str, Any]
) -> None:
    def answer(heard: Heard, line: Line) -> None:
        if (heard.call or {}).get("params", {}).get("protocolVersion") == "2099-01-01":
            line.send(refusal({"code": -32022, "message": "unsupported version"}))
        else:
            both(heard, line)

    with HostileServer(answer) as server:
        async with room_of(server, countersign) as room:
            mallory = Client(room, Era.LEGACY, caller("mallory"))
            asked = {"protocolVersion": "2025-11-25", "capabilities": {}, **params}
            made = call("initialize", asked, era=Era.LEGACY, id=1, revision="2025-11-25")
            reply = await room.send(permit(made, mallory.who))
            assert (reply.status, reply.is_error) == (400, True)
            before = server.calls
            await Client(room, Era.LEGACY).begin()
        assert [one.call["method"] for one in server.seen[before:]] == ["initialize", "notifications/initialized"]
        assert server.seen[-1].all("mcp-session-id") == [SESSION]


async def test_a_handshake_in_a_session_that_has_ended_says_nothing_of_the_server(countersign: Countersign) -> None:
    with HostileServer(both) as server:
        async with room_of(server, countersign) as room:
            mallory = await Client(room, Era.LEGACY, caller("mallory")).begin()
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
            with pytest.raises(BadCall) as refused:
                await mallory.send("initialize", params)
            assert refused.value.reason.code == "session_unknown"
            before = server.calls
            await Client(room, Era.LEGACY).begin()
        assert [one.call["method"] for one in server.seen[before:]] == ["initialize", "notifications/initialized"]
        assert "server/discover" not in [one.call["method"] for one in server.seen]


# ---- a server that has only sessions ----------------------------------------------------------------------------------


async def test_a_modern_call_of_an_old_server_goes_through_a_session_of_the_gateways(
    old: OldServer, room: EitherEra, countersign: Countersign
) -> None:
    client = modern(room)
    (listed,) = await client.ask("tools/list")
    assert listed["result"]["tools"] == [{"name": "echo", "inputSchema": {"type": "object"}}]
    assert (listed["result"]["resultType"], listed["result"]["cacheScope"]) == ("complete", "private")
    assert old.methods() == ["tools/list", *OPENING, "tools/list"]
    assert said(await client.call("echo", text="hi")) == "hi"
    assert old.methods()[5:] == ["tools/call"]
    # Everything that the gateway said of itself, and what it had to say again, was countersigned with a token of its own.
    tokens = [heard.token for heard in old.seen]
    assert len(set(tokens)) == len(tokens)
    assert [one.call.method for one in countersign.made] == [*OPENING, "tools/list"]


async def test_in_the_session_a_call_has_the_form_of_its_revision(old: OldServer, room: EitherEra) -> None:
    await modern(room).call("echo", id="mine", meta={"progressToken": "p", "traceparent": "00-x"}, text="hi")
    (_, heard) = old.heard_of("tools/call")
    assert heard.all("mcp-protocol-version") == ["2025-11-25"]
    assert heard.all("mcp-session-id") == ["theirs-1"]
    assert not heard.names & {"mcp-method", "mcp-name"}
    assert heard.call["id"].startswith("our-own-id-")
    assert heard.call["params"]["_meta"] == {"progressToken": heard.call["id"], "traceparent": "00-x"}
    opening = old.heard_of("initialize")[0].call["params"]
    assert opening == {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "counterseal", "version": "test"},
    }


async def test_what_is_tried_once_more_is_the_same_transaction_with_another_token(
    old: OldServer, room: EitherEra, countersign: Countersign
) -> None:
    sent = []
    send = room.send

    async def noting(permit: Any) -> Any:
        sent.append(permit)
        return await send(permit)

    room.send = noting  # type: ignore[method-assign]
    await modern(room).ask("tools/list")
    again = countersign.made[-1]
    assert again.call == sent[0].call
    assert again.claims["txn"] == sent[0].claims["txn"]
    assert again.claims["jti"] != sent[0].claims["jti"]


async def test_discovery_is_answered_from_the_session(old: OldServer, room: EitherEra) -> None:
    (found,) = await modern(room).ask("server/discover", id=7)
    assert found["id"] == 7
    assert found["result"] == {
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}, "resources": {}},
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}},
    }
    assert old.methods() == ["server/discover", *OPENING]


async def test_m_09_every_caller_has_a_session_of_his_own(old: OldServer, room: EitherEra) -> None:
    await asyncio.gather(*(modern(room, name).call("echo", text=name) for name in ("alice", "bob", "alice", "bob")))
    assert len(old.heard_of("initialize")) == 2
    calls = [heard for heard in old.heard_of("tools/call") if heard.all("mcp-session-id")]
    by_session = {(heard.all("mcp-session-id")[0], heard.call["params"]["arguments"]["text"]) for heard in calls}
    assert len(by_session) == 2


@pytest.mark.parametrize("method", ["subscriptions/listen"])
async def test_what_sessions_have_no_word_for_is_refused_with_the_reason(
    old: OldServer, room: EitherEra, method: str
) -> None:
    await modern(room).ask("tools/list")
    before = old.calls
    with pytest.raises(BadCall, match="only revisions before 2026-07-28") as refused:
        await modern(room).send(method)
    assert refused.value.reason.code == "method_not_found"
    assert old.calls == before
    await modern(room).ask("tools/list")
    assert old.calls == before + 1


async def test_an_error_gets_the_status_that_the_new_revision_gives_it(room: EitherEra) -> None:
    assert (await modern(room).send("prompts/list")).status == 404
    assert (await modern(room).send("tools/call", {"name": "fail"})).status == 400
    assert (await modern(room).send("tools/call", {"name": "echo", "arguments": {"text": "x"}})).status == 200


# ---- a call of a tool is made once ------------------------------------------------------------------------------------


async def test_a_first_call_of_a_tool_is_sent_again_where_the_refusal_is_the_one_for_any_request(
    old: OldServer, room: EitherEra
) -> None:
    assert said(await modern(room).call("echo", text="hi")) == "hi"
    assert old.ran("echo") == 1
    assert old.methods() == ["tools/call", *OPENING, "tools/call"]


@pytest.mark.parametrize(
    "refuses",
    [
        refusal({"code": -32000, "message": "no such city"}),
        refusal(NO_SESSION, "404 Not Found"),
        whole(b"", "400 Bad Request", content_type="text/plain"),
        whole(b"", "404 Not Found", content_type="text/plain"),
    ],
    ids=["another error", "another status", "no error", "not found"],
)
async def test_a_call_of_a_tool_that_may_have_run_is_not_made_again(
    old: OldServer, room: EitherEra, refuses: bytes
) -> None:
    """A server that runs tools without a session, and says no afterwards."""
    usual = old.answer
    ran = 0

    def running(heard: Heard, line: Line) -> None:
        nonlocal ran
        if heard.call and heard.call.get("method") == "tools/call" and not heard.all("mcp-session-id"):
            ran += 1
            line.send(refuses)
        else:
            usual(heard, line)

    old.answer = running
    with pytest.raises(ServerError, match="may have begun it"):
        await modern(room).call("echo", text="hi")
    assert (ran, old.ran("echo")) == (1, 0)
    assert said(await modern(room).call("echo", text="hi")) == "hi"  # now its era is known
    assert (ran, old.ran("echo")) == (1, 1)


async def test_a_session_that_the_server_has_forgotten_is_opened_again_once(old: OldServer, room: EitherEra) -> None:
    client = modern(room)
    await client.ask("tools/list")
    old.sessions.clear()
    before = old.calls
    assert said(await client.call("echo", text="hi")) == "hi"
    assert old.ran("echo") == 1
    assert old.methods()[before:] == [
        "tools/call",
        "ping",
        *OPENING[1:],
        "tools/call",
    ]


async def test_where_404_is_said_of_a_session_that_the_server_knows_the_call_is_not_made_again(
    old: OldServer, room: EitherEra
) -> None:
    client = modern(room)
    await client.ask("tools/list")
    usual = old.answer
    ran = 0

    def running(heard: Heard, line: Line) -> None:
        nonlocal ran
        if heard.call and heard.call.get("method") == "tools/call":
            ran += 1
            line.send(refusal({"code": -32001, "message": "no such city"}, "404 Not Found"))
        else:
            usual(heard, line)

    old.answer = running
    assert await client.fails("echo", text="hi") == "server_refused"
    assert ran == 1
    assert len(old.heard_of("initialize")) == 1


async def test_a_session_that_is_refused_with_400_is_opened_again_but_no_tool_is_called_again(
    old: OldServer, room: EitherEra
) -> None:
    client = modern(room)
    old.unknown = refusal({"code": -32000, "message": "Bad Request: No valid session ID provided"})
    await client.ask("tools/list")
    old.sessions.clear()
    with pytest.raises(ServerError, match="call again"):
        await client.call("echo", text="hi")
    assert old.ran("echo") == 0
    assert said(await client.call("echo", text="hi")) == "hi"
    old.sessions.clear()
    (listed,) = await client.ask("tools/list")
    assert "result" in listed


async def test_a_server_that_forgets_every_session_is_given_up(old: OldServer, room: EitherEra) -> None:
    client = modern(room)
    await client.ask("tools/list")
    usual = old.answer

    def forgetful(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") in ("tools/call", "tools/list", "ping"):
            old.sessions.clear()
        usual(heard, line)

    old.answer = forgetful
    before = old.calls
    assert await client.fails("echo", text="hi") == "server_refused"
    assert old.methods()[before:] == ["tools/call", "ping", *OPENING[1:], "tools/call"]


# ---- what the server says besides -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list"])
async def test_a_question_of_the_server_is_refused_with_the_reason(
    old: OldServer, room: EitherEra, countersign: Countersign, method: str
) -> None:
    answer = json.loads(said(await modern(room).call("ask", method=method)))
    assert answer["code"] == -32601
    assert "declared no capabilities" in answer["message"]
    (reply,) = [one for one in countersign.made if one.call.method == REPLY]
    assert reply.call.session is not None


async def test_a_ping_of_the_server_is_answered(room: EitherEra) -> None:
    assert json.loads(said(await modern(room).call("ask", method="ping"))) == {}


@pytest.mark.parametrize(
    "method", ["notifications/message", "notifications/tools/list_changed", "notifications/resources/updated"]
)
async def test_what_is_about_no_call_reaches_nobody(room: EitherEra, method: str) -> None:
    params = {"name": "tell", "arguments": {"method": method}, "_meta": {"progressToken": 1}}
    (answer,) = await modern(room).ask("tools/call", params)
    assert said(answer) == "told"


async def test_progress_that_nobody_asked_for_reaches_nobody(room: EitherEra) -> None:
    arguments = {"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
    (answer,) = await modern(room).ask("tools/call", {"name": "tell", "arguments": arguments})
    assert said(answer) == "told"


async def test_a_caller_who_leaves_has_cancelled(old: OldServer, room: EitherEra, countersign: Countersign) -> None:
    client = modern(room)
    await client.ask("tools/list")
    leaves = asyncio.create_task(client.call("hang"))
    await until(lambda: bool(old.ran("hang")))
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    await until(lambda: bool(old.heard_of("notifications/cancelled")))
    (cancelled,) = old.heard_of("notifications/cancelled")
    assert cancelled.call["params"] == {"requestId": old.heard_of("tools/call")[-1].call["id"]}


async def test_a_caller_who_leaves_a_stream_has_cancelled_too(old: OldServer, room: EitherEra) -> None:
    client = modern(room)
    await client.ask("tools/list")
    params = {"name": "ask", "arguments": {"method": "sampling/createMessage"}}
    usual = old.answer

    def streaming(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") == "tools/call":
            line.send(chunked(event({"jsonrpc": "2.0", "method": "notifications/message"}), end=False))
        else:
            usual(heard, line)

    old.answer = streaming
    reply = await client.send("tools/call", params)
    assert not isinstance(reply.body, bytes)
    await reply.body.aclose()
    await until(lambda: bool(old.heard_of("notifications/cancelled")))


# ---- the life of a session --------------------------------------------------------------------------------------------


async def test_a_session_ends_with_the_gateway(old: OldServer, countersign: Countersign) -> None:
    async with room_of(old, countersign) as room:
        await modern(room).ask("tools/list")
        await modern(room, "bob").ask("tools/list")
        assert len(old.sessions) == 2
    assert old.sessions == set()
    ends = [one for one in countersign.made if one.call.method == END_SESSION]
    assert {one.caller.subject for one in ends} == {"alice", "bob"}
    assert all(one.call.shape is Shape.END for one in ends)


async def test_a_server_that_does_not_take_the_end_does_not_hold_up_the_gateways(old: OldServer) -> None:
    usual = old.answer
    old.answer = lambda heard, line: None if heard.verb == "DELETE" else usual(heard, line)
    async with asyncio.timeout(60):
        async with room_of(old) as room:
            await modern(room).ask("tools/list")
    assert old.methods()[-1] == "DELETE"


async def test_an_idle_session_ends(old: OldServer, countersign: Countersign) -> None:
    limits = dataclasses.replace(LIMITS, own_session_idle_seconds=0.2)
    async with room_of(old, countersign, limits=limits) as room:
        await modern(room).ask("tools/list")
        await until(lambda: not old.sessions)
        await modern(room).ask("tools/list")
        assert len(old.heard_of("initialize")) == 2


async def test_the_longest_idle_session_makes_room(old: OldServer) -> None:
    limits = dataclasses.replace(LIMITS, own_session_count=2)
    async with room_of(old, limits=limits) as room:
        for name in ("alice", "bob", "carol"):
            await modern(room, name).ask("tools/list")
        await until(lambda: old.sessions == {"theirs-2", "theirs-3"})


@pytest.mark.parametrize("ended", [False, True])
async def test_i_09_a_session_does_not_outlive_the_credential_that_opened_it(
    old: OldServer, countersign: Countersign, ended: bool
) -> None:
    """ended: the clock says that the credential is over by then, so nobody may end the session in the caller's name."""
    clock = FixedClock()
    who = dataclasses.replace(ALICE, expires=NOW + 1.5)
    async with room_of(old, countersign, clock=clock) as room:
        client = Client(room, Era.MODERN, who)
        await client.ask("tools/list")
        if ended:
            clock.advance(2)
        refreshed = Client(room, Era.MODERN, dataclasses.replace(ALICE, expires=NOW + 1000))

        async def opened_anew() -> bool:
            await refreshed.ask("tools/list")
            return len(old.heard_of("initialize")) == 2

        async with asyncio.timeout(60):
            while not await opened_anew():
                await asyncio.sleep(0.05)
        assert [one.call.method for one in countersign.made].count(END_SESSION) == (0 if ended else 1)


async def test_a_server_without_session_ids_is_served_too(countersign: Countersign) -> None:
    """It takes the old handshake, and names no session."""

    def stateless(heard: Heard, line: Line) -> None:
        if heard.verb == "DELETE":
            line.send(whole(b"", "405 No"))
        elif "id" not in heard.call:
            line.send(whole(b"", "202 Accepted", content_type=""))
        elif heard.call["method"] == "server/discover":
            error = {"code": -32601, "message": "Method not found"}
            line.send(whole(json.dumps({"jsonrpc": "2.0", "id": heard.call["id"], "error": error}).encode()))
        else:
            line.send(whole(response(heard)))

    with HostileServer(stateless) as server:
        async with room_of(server, countersign) as room:
            (found,) = await modern(room).ask("server/discover")
            assert found["result"]["supportedVersions"] == ["2026-07-28"]
            assert said(await modern(room).call("get_weather")) == "ok"
        assert [heard.call["method"] for heard in server.seen] == ["server/discover", *OPENING, "tools/call"]
        assert not any(heard.all("mcp-session-id") for heard in server.seen)


# ---- a server that changes --------------------------------------------------------------------------------------------


async def test_a_server_that_was_brought_up_to_date_is_asked_again(old: OldServer, room: EitherEra) -> None:
    await modern(room).ask("tools/list")

    def new(heard: Heard, line: Line) -> None:
        if heard.all("mcp-protocol-version") != ["2026-07-28"]:
            line.send(refusal({"code": -32022, "message": "no such version"}))
        else:
            line.send(whole(response(heard)))

    old.answer = new
    assert await modern(room, "bob").fails("echo", text="hi") == "server_refused"
    assert said(await modern(room, "bob").call("echo", text="hi")) == "ok"


async def test_a_server_that_was_set_back_is_asked_again(old: OldServer, room: EitherEra) -> None:
    usual = old.answer
    old.answer = lambda heard, line: line.send(refusal({"code": -32022, "message": "no"}))
    await modern(room).ask("tools/list")  # it has the new revision
    old.answer = lambda heard, line: line.send(whole(b"", "404 Not Found", content_type="text/plain"))
    assert await modern(room).fails("echo", text="hi") == "server_refused"
    old.answer = usual
    assert said(await modern(room).call("echo", text="hi")) == "hi"


@pytest.mark.parametrize("status", ["401 No", "403 No"])
async def test_a_server_that_refuses_the_token_of_initialize_opens_no_session(
    old: OldServer, room: EitherEra, status: str
) -> None:
    usual = old.answer

    def refusing(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") == "initialize":
            line.send(whole(b"", status, content_type="text/plain"))
        else:
            usual(heard, line)

    old.answer = refusing
    with pytest.raises(CallError, match="refused the call token"):
        await modern(room).ask("tools/list")
    old.answer = usual
    assert "result" in (await modern(room).ask("tools/list"))[0]


@pytest.mark.parametrize("session_id", ["a b", "ü", "x" * 1025])
async def test_a_session_id_that_no_header_can_hold_opens_no_session(
    old: OldServer, room: EitherEra, session_id: str
) -> None:
    usual = old.answer

    def odd(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") == "initialize":
            line.send(whole(response(heard), mcp_session_id=session_id))
        else:
            usual(heard, line)

    old.answer = odd
    with pytest.raises(ServerError) as failed:
        await modern(room).ask("tools/list")
    assert failed.value.reason.code == "server_answer_invalid"


# ---- what a tool mirrors into headers ---------------------------------------------------------------------------------


async def test_what_a_tool_mirrors_is_learned_in_a_session_and_no_such_header_is_sent_there(
    old: OldServer, room: EitherEra
) -> None:
    """The caller's headers are checked against it like anywhere; a server of before knows none."""
    usual = old.answer
    city = {"type": "string", "x-mcp-header": "City"}
    tools = [
        {"name": "echo", "inputSchema": {"type": "object", "properties": {"city": city}}},
        {"name": "bad", "inputSchema": {"type": "object", "properties": {"city": {**city, "x-mcp-header": ""}}}},
    ]

    def listing(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") == "tools/list" and heard.all("mcp-session-id"):
            line.send(whole(response(heard, {"tools": tools})))
        else:
            usual(heard, line)

    old.answer = listing
    (listed,) = await modern(room).ask("tools/list")
    assert [tool["name"] for tool in listed["result"]["tools"]] == ["echo"]
    assert room.schema("echo") == {("city",): "mcp-param-city"}
    asked = call("tools/call", {"name": "echo", "arguments": {"text": "hi", "city": "Oslo"}, "_meta": META})
    asked = replace(asked, param_headers=(("mcp-param-city", "Oslo"),))
    await read(await room.send(permit(asked, caller("alice"))))
    assert not {name for heard in old.seen[-1:] for name in heard.names if name.startswith("mcp-param")}


# ---- a stream that the server closes before the response --------------------------------------------------------------


def polling(old: OldServer, *rest: bytes, first: bytes = b"id: e-1\nretry: 10\ndata: \n\n") -> None:
    """The server closes the stream of a call at once, and of each `GET` after it has said one more of `rest`."""
    usual, said, asked = old.answer, list(rest), []

    def answer(heard: Heard, line: Line) -> None:
        if heard.call and heard.call.get("method") == "tools/call" and heard.all("mcp-session-id"):
            asked.append(heard.call["id"])
            line.send(chunked(first))
        elif heard.verb == "GET":
            line.send(chunked(said.pop(0).replace(b"THE-ID", asked[-1].encode())) if said else whole(b"", "405 No"))
        else:
            usual(heard, line)

    old.answer = answer


DONE = b'id: e-9\ndata: {"jsonrpc":"2.0","id":"THE-ID","result":{"content":[{"type":"text","text":"done"}]}}\n\n'


async def test_a_stream_that_the_server_closes_before_the_response_is_followed(
    old: OldServer, room: EitherEra, countersign: Countersign
) -> None:
    client = modern(room)
    await client.ask("tools/list")
    polling(old, b"id: e-2\ndata: \n\n", DONE)
    answer = await client.call("echo", id=5, text="hi")
    assert (answer["id"], said(answer)) == (5, "done")
    follows = [heard for heard in old.seen if heard.verb == "GET"]
    assert [heard.all("last-event-id") for heard in follows] == [["e-1"], ["e-2"]]
    assert all(heard.all("mcp-session-id") == ["theirs-1"] for heard in follows)
    assert len({heard.token for heard in old.seen}) == old.calls
    assert len(old.heard_of("tools/call")) == 1


@pytest.mark.parametrize("ended", [False, True])
async def test_i_09_nothing_is_followed_in_the_name_of_a_caller_whose_credential_has_ended(
    old: OldServer, countersign: Countersign, ended: bool
) -> None:
    clock = FixedClock()
    async with room_of(old, countersign, clock=clock) as room:
        client = Client(room, Era.MODERN, dataclasses.replace(ALICE, expires=NOW + 1000))
        await client.ask("tools/list")
        polling(old, DONE)
        polled = old.answer

        def meanwhile(heard: Heard, line: Line) -> None:
            clock.advance(2000 if ended and heard.call and heard.call.get("method") == "tools/call" else 0)
            polled(heard, line)

        old.answer = meanwhile
        if ended:
            assert await client.fails("echo", text="hi") == "server_unreachable"
        else:
            assert said(await client.call("echo", text="hi")) == "done"
        assert len([heard for heard in old.seen if heard.verb == "GET"]) == (0 if ended else 1)


@pytest.mark.parametrize(
    "first", [b"data: \n\n", b"id: \ndata: \n\n", b"id: \xc3\xbc\ndata: \n\n", b"retry: 1\n\n"], ids=repr
)
async def test_a_stream_that_nobody_can_follow_is_no_answer(old: OldServer, room: EitherEra, first: bytes) -> None:
    client = modern(room)
    await client.ask("tools/list")
    polling(old, DONE, first=first)
    assert await client.fails("echo", text="hi") == "server_answer_invalid"
    assert not [heard for heard in old.seen if heard.verb == "GET"]


async def test_a_server_that_does_not_go_on_has_failed(old: OldServer, room: EitherEra) -> None:
    client = modern(room)
    await client.ask("tools/list")
    polling(old)
    assert await client.fails("echo", text="hi") == "server_answer_invalid"
    assert len(old.heard_of("tools/call")) == 1


async def test_a_server_that_goes_on_for_ever_is_given_up(old: OldServer) -> None:
    limits = dataclasses.replace(LIMITS, server_total_seconds=2.0)
    async with room_of(old, limits=limits) as room:
        client = modern(room)
        await client.ask("tools/list")
        polling(old, *[b"id: e-2\nretry: 10\ndata: \n\n"] * 500)
        async with asyncio.timeout(60):
            assert await client.fails("echo", text="hi") in ("server_timeout", "server_answer_invalid")
