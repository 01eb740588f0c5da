"""What goes to a server and what comes back, as long as the server does what it should."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era
from counterseal.core.limits import LIMITS
from counterseal.core.methods import END_SESSION, METHODS, REPLY, STREAM
from counterseal.errors import BadCall
from counterseal.servers.session import Sessions
from counterseal.wire.headers import decode_value
from tests.contracts.http import until
from tests.servers.permits import ALICE, OUR_ID, SESSION, TOKEN, call, permit, read, rows, sending
from tests.support.hostile import SESSION as SERVER_SESSION
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, plain, response, whole
from tests.support.tokens import NOW, FixedClock

ALWAYS = {"host", "authorization", "user-agent", "accept-encoding", "accept"}
WITH_BODY = {"content-length", "content-type"}


async def sent(server: HostileServer, **changes: Any) -> Heard:
    """What the server hears of a call."""
    async with sending(server) as room:
        await read(await room.send(permit(**changes)))
    return server.seen[-1]


# ---- the request: an allow-list, and nothing of the caller's ----------------------------------------------------------


@pytest.mark.parametrize("method", rows(Era.MODERN))
async def test_a_modern_request_has_exactly_these_headers(server: HostileServer, method: str) -> None:
    """Invariant 5, H-02."""
    heard = await sent(server, method=method)
    named = {"mcp-name"} if METHODS[method].name_field else set()
    assert heard.names == ALWAYS | WITH_BODY | {"mcp-protocol-version", "mcp-method"} | named
    assert len(heard.headers) == len(heard.names)
    assert heard.all("authorization") == [f"Bearer {TOKEN}"]
    assert heard.all("mcp-protocol-version") == ["2026-07-28"]
    assert heard.all("mcp-method") == [method] == [heard.call["method"]]
    if named:
        (name,) = heard.all("mcp-name")
        assert decode_value(name) == heard.call["params"][METHODS[method].name_field or ""]


@pytest.mark.parametrize("with_session", [True, False])
@pytest.mark.parametrize("method", rows(Era.LEGACY))
async def test_a_legacy_request_has_exactly_these_headers(
    server: HostileServer, method: str, with_session: bool
) -> None:
    session = SESSION if with_session else None
    heard = await sent(server, method=method, era=Era.LEGACY, session=session)
    expected = set(ALWAYS)
    if method == END_SESSION:
        expected.discard("accept")
    elif method != STREAM:
        expected |= WITH_BODY
    if method != "initialize":
        expected.add("mcp-protocol-version")
    if session:
        expected.add("mcp-session-id")
    assert heard.names == expected
    assert len(heard.headers) == len(heard.names)
    assert heard.all("mcp-session-id") == (["server-1"] if session else [])
    assert heard.verb == {STREAM: "GET", END_SESSION: "DELETE"}.get(method, "POST")


@pytest.mark.parametrize("name", ["get_weather", " a", "ünï", "a\nb", "=?base64?YQ==?=", "a\0", ""])
async def test_a_name_that_no_header_can_hold_is_encoded(server: HostileServer, name: str) -> None:
    heard = await sent(server, params={"name": name})
    (value,) = heard.all("mcp-name")
    assert value.isascii()
    assert decode_value(value) == name
    assert heard.call["params"]["name"] == name


async def test_m_07_a_modern_request_goes_out_under_an_id_of_ours(server: HostileServer) -> None:
    asked = call(id="callers")
    heard = await sent(server, id="callers")
    assert heard.call == {**dict(asked.message or {}), "id": OUR_ID}
    assert list(heard.call) == ["jsonrpc", "id", "method", "params"]


async def test_a_subscription_keeps_the_id_that_its_messages_carry(server: HostileServer) -> None:
    heard = await sent(server, method="subscriptions/listen", id="callers")
    assert heard.call["id"] == "callers"


@pytest.mark.parametrize("id", [1, 0, -5, "1", "", "ü"])
async def test_a_legacy_request_keeps_its_id(server: HostileServer, id: Any) -> None:
    assert (await sent(server, era=Era.LEGACY, session=SESSION, id=id)).call["id"] == id


async def test_a_callers_reply_keeps_the_id_of_the_servers_request(server: HostileServer) -> None:
    heard = await sent(server, method=REPLY, era=Era.LEGACY, session=SESSION)
    assert heard.call == {"jsonrpc": "2.0", "id": "of-the-server", "result": {}}


async def test_where_a_stream_is_resumed_is_passed_on(server: HostileServer) -> None:
    heard = await sent(server, method=STREAM, era=Era.LEGACY, session=SESSION, last_event_id="e-7")
    assert heard.all("last-event-id") == ["e-7"]


async def test_a_server_may_want_its_token_in_a_header_of_its_own(server: HostileServer) -> None:
    async with sending(server, header="X-Call-Token", static=(("Authorization", "Bearer static"),)) as room:
        await room.send(permit())
    assert server.seen[0].all("x-call-token") == [TOKEN]
    assert server.seen[0].all("authorization") == ["Bearer static"]


async def test_mirrored_parameters_go_along(server: HostileServer) -> None:
    heard = await sent(server, param_headers=(("mcp-param-city", "Oslo"),))
    assert heard.all("mcp-param-city") == ["Oslo"]


async def test_a_modern_notification_is_taken_and_dropped(server: HostileServer) -> None:
    """M-08: it could end another caller's call."""
    asked = call("notifications/cancelled", {"requestId": 1})
    async with sending(server) as room:
        reply = await room.send(permit(asked))
        assert (reply.status, reply.body, server.calls) == (202, b"", 0)
        assert reply.note
        await room.send(permit(replace(asked, era=Era.LEGACY, session=SESSION)))
        assert server.calls == 1


# ---- the answer -------------------------------------------------------------------------------------------------------


async def test_an_answer_comes_back_under_the_callers_id(server: HostileServer) -> None:
    async with sending(server) as room:
        for id in (1, "1", 0, "x"):
            reply = await room.send(permit(id=id))
            assert isinstance(reply.body, bytes)
            assert json.loads(reply.body)["id"] == id
            assert (reply.status, reply.headers, reply.is_error) == (
                200,
                ((b"content-type", b"application/json"),),
                False,
            )


async def test_m_19_no_header_of_the_server_reaches_the_caller(server: HostileServer) -> None:
    more = {"set_cookie": "a=b", "www_authenticate": "Basic", "location": "https://evil.example", "x_token": "canary"}
    async with sending(server) as room:
        server.answer = lambda heard, line: line.send(whole(response(heard), mcp_session_id="s", **more))
        assert (await room.send(permit())).headers == ((b"content-type", b"application/json"),)
        server.answer = lambda heard, line: line.send(chunked(event(response(heard)), mcp_session_id="s", **more))
        reply = await room.send(permit())
        assert dict(reply.headers) == {
            b"content-type": b"text/event-stream",
            b"cache-control": b"no-cache, no-transform",
            b"x-accel-buffering": b"no",
        }
        await read(reply)


async def test_a_json_rpc_error_is_an_answer(server: HostileServer) -> None:
    error = {"code": -32602, "message": "no such city"}

    def failing(heard: Heard, line: Line) -> None:
        line.send(whole(json.dumps({"jsonrpc": "2.0", "id": heard.call["id"], "error": error}).encode()))

    server.answer = failing
    async with sending(server) as room:
        reply = await room.send(permit())
        assert isinstance(reply.body, bytes)
        assert json.loads(reply.body) == {"jsonrpc": "2.0", "id": 1, "error": error}
        assert (reply.status, reply.is_error) == (200, True)


@pytest.mark.parametrize(
    ("status", "passed"),
    [(400, 400), (404, 404), (409, 409), (422, 422), (429, 429), (500, 502), (503, 502), (599, 502)],
)
async def test_a_json_rpc_error_under_an_error_status_is_passed_on(
    server: HostileServer, status: int, passed: int
) -> None:
    body = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no"}}'
    server.answer = lambda heard, line: line.send(whole(body, f"{status} No"))
    async with sending(server) as room:
        reply = await room.send(permit(id="x"))
        assert (reply.status, reply.is_error, reply.headers) == (
            passed,
            True,
            ((b"content-type", b"application/json"),),
        )
        assert isinstance(reply.body, bytes)
        assert json.loads(reply.body)["id"] == "x"


async def test_events_reach_the_caller_as_soon_as_they_are_whole(server: HostileServer) -> None:
    step = threading.Event()
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}

    def answer(heard: Heard, line: Line) -> None:
        whole_event = event(progress)
        line.send(chunked(whole_event[:20], end=False))
        line.send(chunk(whole_event[20:]))
        step.wait(60)
        line.send(chunk(event(response(heard))) + b"0\r\n\r\n")

    server.answer = answer
    async with sending(server) as room:
        reply = await room.send(permit())
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        assert json.loads((await anext(stream)).removeprefix(b"data: ")) == progress
        assert reply.body.is_error is None
        step.set()
        assert json.loads((await anext(stream)).removeprefix(b"data: "))["id"] == 1
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert reply.body.is_error is False


async def test_an_event_may_be_of_any_size(server: HostileServer) -> None:
    text = "x" * 3_000_000
    server.answer = lambda heard, line: line.send(chunked(event(response(heard, {"content": [text]}))))
    async with sending(server) as room:
        assert text.encode() in await read(await room.send(permit()))


async def test_a_servers_keep_alive_keeps_the_caller_alive_too(server: HostileServer) -> None:
    server.answer = lambda heard, line: line.send(chunked(b": ping\r\n\r\n", event(response(heard))))
    async with sending(server) as room:
        assert (await read(await room.send(permit()))).count(b"\n\n") >= 1


async def test_a_legacy_stream_keeps_what_its_client_resumes_by(server: HostileServer) -> None:
    prime = b"id: e-1\nretry: 500\ndata:\n\n"
    server.answer = lambda heard, line: line.send(chunked(prime))
    async with sending(server) as room:
        legacy = await read(await room.send(permit(era=Era.LEGACY, session=SESSION)))
        assert b"id: e-1\n" in legacy
        assert b"retry: 500\n" in legacy
        server.answer = lambda heard, line: line.send(chunked(prime, b"id: e-2\n" + event(response(heard))))
        modern = await read(await room.send(permit()))
        assert b"id:" not in modern
        assert b"retry" not in modern


async def test_a_legacy_servers_own_requests_reach_the_caller(server: HostileServer) -> None:
    asking = {"jsonrpc": "2.0", "id": "q-1", "method": "sampling/createMessage", "params": {}}
    server.answer = lambda heard, line: line.send(chunked(event(asking), event(response(heard))))
    async with sending(server) as room:
        assert b'"id":"q-1"' in (await read(await room.send(permit(era=Era.LEGACY, session=SESSION)))).replace(
            b" ", b""
        )


# ---- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
async def test_m_09_the_callers_session_id_is_ours(server: HostileServer, streams: bool) -> None:
    def answer(heard: Heard, line: Line) -> None:
        if streams:
            line.send(chunked(event(response(heard)), mcp_session_id=SERVER_SESSION))
        else:
            plain(heard, line)

    server.answer = answer
    async with sending(server) as room:
        reply = await room.send(permit(method="initialize", era=Era.LEGACY))
        sealed = dict(reply.headers)[b"mcp-session-id"].decode()
        assert SERVER_SESSION not in sealed
        assert b"2025-11-25" in await read(reply)
    session = Sessions(bytes(32), FixedClock(), LIMITS).open(ALICE, "weather", sealed)
    assert (session.server_id, session.revision) == (SERVER_SESSION, "2025-11-25")


async def test_a_later_answer_repeats_the_callers_own_id_and_never_the_servers(server: HostileServer) -> None:
    server.answer = lambda heard, line: line.send(whole(response(heard), mcp_session_id="new-server-id"))
    async with sending(server) as room:
        reply = await room.send(permit(era=Era.LEGACY, session=SESSION))
        assert dict(reply.headers).get(b"mcp-session-id", SESSION.sealed.encode()) == SESSION.sealed.encode()


@pytest.mark.parametrize("method", [STREAM, END_SESSION, "tools/call", "notifications/initialized", REPLY])
async def test_where_the_server_ended_the_session_the_callers_is_404(server: HostileServer, method: str) -> None:
    server.answer = lambda heard, line: line.send(whole(b"", "404 Not Found"))
    async with sending(server) as room:
        with pytest.raises(BadCall) as told:
            await room.send(permit(method=method, era=Era.LEGACY, session=SESSION))
        assert told.value.reason.code == "session_unknown"


@pytest.mark.parametrize("method", [STREAM, END_SESSION])
async def test_a_server_without_a_stream_or_an_end_says_so(server: HostileServer, method: str) -> None:
    server.answer = lambda heard, line: line.send(whole(b"", "405 Method Not Allowed", allow="POST, EVIL"))
    async with sending(server) as room:
        with pytest.raises(BadCall) as told:
            await room.send(permit(method=method, era=Era.LEGACY, session=SESSION))
        assert (told.value.reason.code, told.value.headers) == ("http_method_refused", ((b"allow", b"POST"),))


# ---- lists ------------------------------------------------------------------------------------------------------------


def listing(*tools: dict[str, Any], streams: bool = False) -> Any:
    def answer(heard: Heard, line: Line) -> None:
        body = response(heard, {"tools": list(tools), "cacheScope": "public", "resultType": "complete"})
        line.send(chunked(event(body)) if streams else whole(body))

    return answer


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


@pytest.mark.parametrize("streams", [False, True])
async def test_m_17_a_list_shows_what_may_be_used_and_no_more(server: HostileServer, streams: bool) -> None:
    asked: list[tuple[str, str, str]] = []

    def decide(_: Any, call: Any, method: str, name: str, item: Any) -> bool:
        asked.append((call.server, method, name))
        return name.startswith("get_")

    server.answer = listing(tool("get_a"), tool("delete_b"), tool("get_c"), streams=streams)
    async with sending(server, decide=decide) as room:
        text = await read(await room.send(permit(method="tools/list")))
        shown = json.loads(text.removeprefix(b"data: "))["result"]
    assert [each["name"] for each in shown["tools"]] == ["get_a", "get_c"]
    assert shown["cacheScope"] == "private"
    assert asked == [("weather", "tools/call", name) for name in ("get_a", "delete_b", "get_c")]


@pytest.mark.parametrize("streams", [False, True])
async def test_m_03_what_tools_mirror_into_headers_is_learned_from_lists(server: HostileServer, streams: bool) -> None:
    city = {"type": "string", "x-mcp-header": "City"}
    server.answer = listing(tool("get_a", city=city), tool("get_b"), tool("get_bad", x={**city, "type": "object"}))
    async with sending(server) as room:
        assert room.schema("get_a") is None
        shown = await read(await room.send(permit(method="tools/list")))
        assert room.schema("get_a") == {("city",): "mcp-param-city"}
        assert room.schema("get_b") == {}
        assert room.schema("get_bad") is None
        assert b"get_bad" not in shown


async def test_what_is_learned_is_bounded(server: HostileServer) -> None:
    async with sending(server) as room:
        for start in (0, 6000):
            server.answer = listing(*(tool(f"get_{number}") for number in range(start, start + 6000)))
            await read(await room.send(permit(method="tools/list")))
        assert room.schema("get_11999") == {}
        assert room.schema("get_0") is None


# ---- the end ----------------------------------------------------------------------------------------------------------


async def test_m_29_closing_a_stream_ends_the_servers_request(server: HostileServer) -> None:
    gone: list[bool] = []

    def answer(_: Heard, line: Line) -> None:
        line.send(chunked(event({"jsonrpc": "2.0", "method": "notifications/message"}), end=False))
        gone.append(line.gone(60))

    server.answer = answer
    async with sending(server) as room:
        reply = await room.send(permit())
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        await anext(stream)
        await reply.body.aclose()
        await reply.body.aclose()
        assert await until(lambda: gone == [True])
        del stream  # held until here: it is not its end that ended the request


async def test_m_29_a_caller_who_leaves_before_the_answer_ends_the_servers_request(server: HostileServer) -> None:
    gone: list[bool] = []
    server.answer = lambda heard, line: gone.append(line.gone(60))
    async with sending(server) as room:
        asking = asyncio.ensure_future(room.send(permit()))
        assert await until(lambda: server.calls == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await until(lambda: gone == [True])


@pytest.mark.parametrize("method", ["subscriptions/listen", STREAM])
async def test_a_stream_ends_with_the_credential_that_opened_it(server: HostileServer, method: str) -> None:
    gone: list[bool] = []

    def answer(_: Heard, line: Line) -> None:
        line.send(chunked(b": quiet\n\n", end=False))
        gone.append(line.gone(60))

    server.answer = answer
    era = Era.LEGACY if method == STREAM else Era.MODERN
    async with sending(server) as room:
        caller = dataclasses.replace(ALICE, expires=NOW + 0.3)
        asked = call(method, era=era, session=SESSION if era is Era.LEGACY else None)
        await read(await room.send(permit(asked, caller=caller)))  # ends, and is no error
        assert await until(lambda: gone == [True])
