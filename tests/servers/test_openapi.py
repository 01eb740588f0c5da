"""An HTTP API as an MCP server: what goes out for a permit, and what comes back."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp_types import CallToolResult
from msgspec.structs import replace

from counterseal.core.call import Era
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, REPLY, STREAM
from counterseal.errors import BadCall, ServerError
from counterseal.httpclient import Client
from counterseal.servers.http import ServerHttp
from counterseal.servers.openapi import OpenApi
from counterseal.servers.streamable_http import Decide, Destination
from tests.servers.permits import ALICE, SESSION, TOKEN, call, everything, permit, read
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, whole
from tests.wire.openapi.documents import compiled, document, parameter

ID = parameter("id", "path", required=True)
DOCUMENT = document(path="/things/{id}", parameters=(ID, parameter("q"), parameter("If-Match", "header")))
DOCUMENT["paths"]["/things"] = {
    "post": {
        "operationId": "add_thing",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
    },
    "delete": {"operationId": "delete_things"},
}


def answering(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> Any:
    return lambda heard, line: line.send(whole(body, status, **headers))


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(answering(b'{"id": 7}')) as made:
        yield made


@asynccontextmanager
async def sending(
    server: HostileServer,
    *,
    value: Any = None,
    base: str = "/api/v2",
    header: str = "Authorization",
    static: tuple[tuple[str, str], ...] = (),
    decide: Decide = everything,
    limits: Limits = LIMITS,
) -> AsyncIterator[OpenApi]:
    client = Client()
    destination = Destination("crm", f"http://127.0.0.1:{server.port}{base}", header, static, "counterseal/test")
    try:
        yield OpenApi(
            destination, compiled(value or DOCUMENT), "About things", ServerHttp(client, limits), decide, limits
        )
    finally:
        await client.close()


def asked(name: str = "get_thing", arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    params = {"name": name, "arguments": {"id": "x"} if arguments is None else arguments}
    return permit(params=params, **changes)


async def answered(server: HostileServer, *which: Any, limits: Limits = LIMITS, **changes: Any) -> dict[str, Any]:
    async with sending(server, limits=limits) as room:
        reply = await room.send(asked(*which, **changes))
    assert (reply.status, reply.headers, reply.is_error) == (200, ((b"content-type", b"application/json"),), False)
    message = json.loads(await read(reply))
    assert message.keys() == {"jsonrpc", "id", "result"}
    CallToolResult.model_validate(message["result"])
    result: dict[str, Any] = message["result"]
    return result


async def fails(server: HostileServer, *, limits: Limits = LIMITS, value: Any = None) -> str:
    async with sending(server, limits=limits, value=value) as room:
        with pytest.raises(ServerError) as caught:
            await room.send(asked())
    assert caught.value.reason.status in (502, 504)
    return caught.value.reason.code


def text(result: dict[str, Any]) -> str:
    (block,) = result["content"]
    found: str = block["text"]
    return found


# ---- what goes out


async def test_a_call_is_one_request_with_the_call_token_and_nothing_of_the_callers(server: HostileServer) -> None:
    await answered(server, "get_thing", {"id": "a b", "q": "1&2", "If-Match": '"e"'}, id="callers")
    (heard,) = server.seen
    assert (heard.verb, heard.target, heard.body) == ("GET", "/api/v2/things/a%20b?q=1%262", b"")
    assert heard.headers == (
        ("Host", f"127.0.0.1:{server.port}"),
        ("Authorization", f"Bearer {TOKEN}"),
        ("User-Agent", "counterseal/test"),
        ("Accept-Encoding", "identity"),
        ("Accept", "application/json, text/*;q=0.8, */*;q=0.5"),
        ("If-Match", '"e"'),
    )
    assert b"callers" not in heard.raw


async def test_m_07_a_connection_is_for_requests_of_one_caller(server: HostileServer) -> None:
    """An HTTP API that answers twice has nobody else on the line for its second answer: no answer says whose it is."""
    bob = Caller(kind="api_key", client_id="k-bob", subject="bob")
    async with sending(server) as room:
        for caller in (ALICE, bob, ALICE, bob):
            await read(await room.send(asked(caller=caller)))
    assert [heard.line for heard in server.seen] == [1, 2, 1, 2]


async def test_p_04_headers_of_hooks_go_behind_ours_and_take_the_place_of_none(server: HostileServer) -> None:
    added = (("X-Tenant", "north"), ("if-match", "evil"), ("Authorization", "evil"), ("ACCEPT", "evil"))
    async with sending(server) as room:
        await room.send(replace(asked("get_thing", {"id": "x", "If-Match": '"e"'}), headers=added))
    (heard,) = server.seen
    assert heard.headers[-2:] == (("If-Match", '"e"'), ("X-Tenant", "north"))
    assert b"evil" not in heard.raw


async def test_what_a_tool_takes_is_known_without_a_list(server: HostileServer) -> None:
    async with sending(server) as room:
        taken = json.loads(room.input_schema("get_thing") or b"")
        assert set(taken["properties"]) == {"id", "q", "If-Match"}
        assert room.input_schema("gone") is None


async def test_a_body_goes_out_as_json(server: HostileServer) -> None:
    await answered(server, "add_thing", {"body": {"name": "ü"}})
    (heard,) = server.seen
    assert (heard.verb, heard.target, heard.call) == ("POST", "/api/v2/things", {"name": "ü"})
    assert heard.all("content-type") == ["application/json"]
    assert heard.all("content-length") == [str(len(heard.body))]


@pytest.mark.parametrize(
    ("base", "target"), [("", "/things/x"), ("/", "/things/x"), ("/a/", "/a/things/x"), ("/a%20b", "/a%20b/things/x")]
)
async def test_paths_are_appended_to_the_address_of_the_server(server: HostileServer, base: str, target: str) -> None:
    async with sending(server, base=base) as room:
        await room.send(asked())
    assert server.seen[0].target == target


async def test_k_02_the_document_does_not_say_where_requests_go(server: HostileServer) -> None:
    with HostileServer() as elsewhere:
        value = {**DOCUMENT, "servers": [{"url": elsewhere.url}]}
        value["paths"]["/things/{id}"]["servers"] = [{"url": elsewhere.url}]
        value["paths"]["/things/{id}"]["get"]["servers"] = [{"url": elsewhere.url}]
        async with sending(server, value=value) as room:
            await room.send(asked())
        assert (server.calls, elsewhere.lines) == (1, 0)


async def test_a_server_may_want_its_token_in_a_header_of_its_own(server: HostileServer) -> None:
    async with sending(server, header="X-Call-Token", static=(("Authorization", "Bearer static"),)) as room:
        await room.send(asked())
    assert server.seen[0].all("x-call-token") == [TOKEN]
    assert server.seen[0].all("authorization") == ["Bearer static"]


@pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY])
async def test_s6_no_request_leaves_without_the_call_token(server: HostileServer, era: Era) -> None:
    calls = [
        ("get_thing", {"id": "x"}),
        ("add_thing", {"body": 1}),
        ("delete_things", {}),
        ("get_thing", {"id": "y", "q": "z"}),
    ]
    async with sending(server) as room:
        for name, arguments in calls:
            await room.send(asked(name, arguments, era=era))
    unsigned = [heard for heard in server.seen if heard.all("authorization") != [f"Bearer {TOKEN}"]]
    assert (len(server.seen), unsigned) == (len(calls), [])


# ---- what does not go out


@pytest.mark.parametrize("arguments", [{}, {"id": 5}, {"id": "x", "other": 1}, {"id": "x", "q": ["a"]}, {"id": None}])
async def test_arguments_that_do_not_fit_are_told_to_the_agent_and_not_sent(
    server: HostileServer, arguments: dict[str, Any]
) -> None:
    result = await answered(server, "get_thing", arguments)
    assert result["isError"]
    assert text(result).startswith("The arguments do not fit:\n$")
    assert server.lines == 0
    assert not (await answered(server, "get_thing", {"id": "5"}))["isError"]


@pytest.mark.parametrize("value", ["../admin", "a/b", "..", "", "a%2fb"])
async def test_an_argument_that_would_leave_its_place_is_told_and_not_sent(server: HostileServer, value: str) -> None:
    result = await answered(server, "get_thing", {"id": value})
    assert result["isError"]
    assert "would lead to another place" in text(result)
    assert server.lines == 0


async def test_a_tool_that_there_is_not_is_an_error_of_the_protocol(server: HostileServer) -> None:
    async with sending(server) as room:
        with pytest.raises(BadCall) as caught:
            await room.send(asked("get_thin"))
    assert (caught.value.reason.code, caught.value.reason.rpc) == ("invalid_params", -32602)
    assert server.lines == 0


async def test_mcp_itself_is_answered_without_a_request(server: HostileServer) -> None:
    async with sending(server, decide=lambda caller, name, method, tool, item: tool != "delete_things") as room:
        for method, era in (("server/discover", Era.MODERN), ("initialize", Era.LEGACY), ("ping", Era.LEGACY)):
            assert (await room.send(permit(method=method, era=era))).status == 200
        listed = json.loads(await read(await room.send(permit(method="tools/list"))))["result"]
        with pytest.raises(BadCall) as caught:
            await room.send(permit(method="prompts/list"))
    assert [tool["name"] for tool in listed["tools"]] == ["get_thing", "add_thing"]
    assert caught.value.reason.code == "method_not_found"
    assert server.lines == 0


@pytest.mark.parametrize("method", [STREAM, END_SESSION])
async def test_there_is_no_session_and_no_stream(server: HostileServer, method: str) -> None:
    async with sending(server) as room:
        with pytest.raises(BadCall) as caught:
            await room.send(permit(method=method, era=Era.LEGACY, session=SESSION))
    assert caught.value.reason.code == "http_method_refused"
    assert caught.value.headers == ((b"allow", b"POST"),)


@pytest.mark.parametrize(
    ("method", "era"),
    [
        ("notifications/initialized", Era.LEGACY),
        ("notifications/cancelled", Era.LEGACY),
        ("notifications/cancelled", Era.MODERN),
        (REPLY, Era.LEGACY),
    ],
)
async def test_notifications_and_replies_are_taken_and_dropped(server: HostileServer, method: str, era: Era) -> None:
    async with sending(server) as room:
        reply = await room.send(permit(method=method, era=era))
    assert (reply.status, reply.body, server.lines) == (202, b"", 0)


async def test_no_tool_mirrors_arguments_into_headers_of_mcp(server: HostileServer) -> None:
    async with sending(server) as room:
        assert room.schema("get_thing") == {}


# ---- what comes back


async def test_an_object_is_text_and_structure_in_both_eras(server: HostileServer) -> None:
    modern = await answered(server)
    assert modern == {
        "content": [{"type": "text", "text": '{"id": 7}'}],
        "isError": False,
        "structuredContent": {"id": 7},
        "resultType": "complete",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "crm", "version": "7", "title": "Things"}},
    }
    legacy = await answered(server, era=Era.LEGACY)
    assert legacy == {name: value for name, value in modern.items() if name not in ("resultType", "_meta")}


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "422 Unprocessable", "500 Internal Server Error", "503 Busy"]
)
async def test_the_servers_own_error_is_told_to_the_agent(server: HostileServer, status: str) -> None:
    server.answer = answering(b'{"detail": "why"}', status)
    result = await answered(server)
    assert result["isError"]
    assert text(result) == f'The server answered with status {status[:3]}.\n{{"detail": "why"}}'
    assert "structuredContent" not in result


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "407 Proxy Authentication Required"])
async def test_m_20_a_refusal_of_the_call_token_is_not_the_callers_to_mend(server: HostileServer, status: str) -> None:
    server.answer = answering(b"c4n4ry", status, www_authenticate='Bearer resource_metadata="https://evil.example.com"')
    async with sending(server) as room:
        with pytest.raises(ServerError) as caught:
            await room.send(asked())
    error = caught.value
    assert (error.reason.code, error.headers) == ("server_refused", ())
    assert "c4n4ry" not in f"{error} {error.detail}"
    assert server.calls == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_m_20_nobody_follows_a_redirect(server: HostileServer, status: int) -> None:
    with HostileServer() as elsewhere:
        server.answer = answering(
            b"", f"{status} Moved", location=elsewhere.url, content_length="" if status == 304 else "0"
        )
        assert await fails(server) == "server_refused"
        assert (server.calls, elsewhere.lines) == (1, 0)


async def test_a_coding_that_was_not_asked_for_is_not_unpacked(server: HostileServer) -> None:
    server.answer = answering(b"\x1f\x8b", content_encoding="gzip")
    assert await fails(server) == "server_answer_invalid"
    server.answer = answering(b"{}", content_encoding="identity")
    assert not (await answered(server))["isError"]


async def test_m_24_an_answer_has_a_ceiling(server: HostileServer) -> None:
    limits = dataclasses.replace(LIMITS, server_answer_bytes=1000)
    server.answer = answering(b"x" * 1000, content_type="text/plain")
    assert len(text(await answered(server, limits=limits))) == 1000
    server.answer = answering(b"x" * 1001, content_type="text/plain")
    assert await fails(server, limits=limits) == "server_answer_too_large"
    server.answer = lambda heard, line: [line.send(chunked(b"x" * 600, end=False)), line.send(chunk(b"x" * 600))]
    assert await fails(server, limits=limits) == "server_answer_too_large"
    server.answer = answering(b"x" * 1001, "500 Oops", content_type="text/plain")
    assert await fails(server, limits=limits) == "server_answer_too_large"


def never(_: Heard, line: Line) -> None:
    line.gone()


async def test_m_24_a_server_that_does_not_answer_ends_in_time(server: HostileServer) -> None:
    limits = dataclasses.replace(LIMITS, server_idle_seconds=0.2, server_total_seconds=0.4)
    server.answer = never
    assert await fails(server, limits=limits) == "server_timeout"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with HostileServer() as gone:
        pass
    assert await fails(gone) == "server_unreachable"


async def test_a_caller_who_leaves_ends_the_servers_request(server: HostileServer) -> None:
    arrived, left = threading.Event(), threading.Event()

    def answer(_: Heard, line: Line) -> None:
        line.send(chunked(b"{", media="application/json", end=False))
        arrived.set()
        if line.gone():
            left.set()

    server.answer = answer
    async with sending(server) as room:
        calling = asyncio.create_task(room.send(asked()))
        assert await asyncio.to_thread(arrived.wait, 60)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await asyncio.to_thread(left.wait, 60)


async def test_a_promise_that_the_server_breaks_is_told_with_its_answer(server: HostileServer) -> None:
    promising = document(answer={"type": "object", "properties": {"id": {"type": "string"}}})
    async with sending(server, value=promising) as room:
        broken = json.loads(await read(await room.send(asked())))["result"]
        server.answer = answering(b'{"id": "7"}')
        kept = json.loads(await read(await room.send(asked())))["result"]
    assert broken["isError"]
    assert "not as its document says" in broken["content"][0]["text"]
    assert broken["content"][1]["text"] == '{"id": 7}'
    assert (kept["isError"], kept["structuredContent"]) == (False, {"id": "7"})


async def test_the_record_hears_what_the_server_said(server: HostileServer) -> None:
    async with sending(server) as room:
        assert (await room.send(asked())).note == "the server answered 200"
        assert "not sent" in ((await room.send(asked("get_thing", {}))).note or "")


def test_the_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(permit(call()))
