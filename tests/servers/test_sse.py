"""Servers of the old HTTP+SSE transport: the contract of every server, and what only they have."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.duplex_server import DuplexServer
from tests.contracts.http import until
from tests.contracts.server import LIMITS, Client, Countersign, ServerContract, caller, messages, permit, said
from tests.servers import permits
from tests.servers.duplexes import sse
from tests.servers.permits import ALICE, read
from tests.support.hostile import Heard, HostileServer, Line, chunked, whole
from tests.support.sse_server import SseServer
from tests.support.tokens import NOW

BOB: Final = caller("bob")
eras = pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY], ids=["modern", "legacy"])


@pytest.fixture
def server() -> Iterator[SseServer]:
    with SseServer() as running:
        yield running


class TestSse(ServerContract):
    @pytest.fixture
    async def room(self, server: SseServer) -> AsyncIterator[DuplexServer]:
        async with sse(server) as room:
            yield room


async def fault(server: HostileServer, era: Era = Era.MODERN, **changes: Any) -> CallError:
    """The error with which a first call ends; no message was posted."""
    async with sse(server, **changes) as room:
        with pytest.raises(CallError) as failed:
            await (await Client(room, era).begin()).call("echo", text="x")
    assert [heard.verb for heard in server.seen] == ["GET"]
    return failed.value


# ---- what is sent ---------------------------------------------------------------------------------------------------


@eras
async def test_s6_the_stream_and_each_post_carry_a_token_of_their_own(server: SseServer, era: Era) -> None:
    countersign = Countersign()
    async with sse(server, countersign=countersign) as room:
        client = await Client(room, era).begin()
        for text in "ab":
            assert said(await client.call("echo", text=text)) == text
    tokens = [heard.token for heard in server.seen]
    assert len(set(tokens)) == len(tokens)
    assert all(token.startswith("token.of.") for token in tokens)
    own = [made.call.method for made in countersign.made]
    handshake = ["initialize", "notifications/initialized"] if era is Era.MODERN else []
    assert own == ["io.counterseal/stream", *handshake]
    assert all(made.caller == ALICE for made in countersign.made)
    assert [heard.verb for heard in server.seen] == ["GET"] + ["POST"] * 4


async def test_a_request_has_exactly_these_headers(server: SseServer) -> None:
    """Invariant 5, H-02."""
    static = (("X-Key", "static"),)
    async with sse(server, header="X-Call-Token", static=static) as room:
        await (await Client(room, Era.LEGACY).begin()).call("echo", text="x")
    always = {"host", "x-call-token", "x-key", "user-agent", "accept-encoding", "accept"}
    for heard in server.seen:
        assert heard.names == always | (
            {"cache-control"} if heard.verb == "GET" else {"content-type", "content-length"}
        )
        assert len(heard.headers) == len(heard.names)
        assert heard.all("x-call-token")[0].startswith("token.of.")


async def test_a_session_has_a_stream_of_its_own_and_a_modern_caller_one_for_all_calls(server: SseServer) -> None:
    async with sse(server) as room:
        for _ in range(3):
            await Client(room, Era.MODERN).call("echo", text="x")
        assert len(server.streams) == 1
        await Client(room, Era.MODERN, BOB).call("echo", text="x")
        assert len(server.streams) == 2
        for _ in range(2):
            await Client(room, Era.LEGACY).begin()
        assert len(server.streams) == 4


async def test_the_oldest_revision_is_told_as_the_next_one(server: SseServer) -> None:
    async with sse(server) as room:
        client = await Client(room, Era.LEGACY).begin()
        assert client.result["protocolVersion"] == "2025-03-26"
        assert client.session is not None
        assert client.session.revision == "2025-03-26"


async def test_what_a_legacy_session_does_not_know_is_refused(server: SseServer) -> None:
    async with sse(server) as room:
        (found,) = await Client(room, Era.MODERN).ask("server/discover")
        assert found["result"]["supportedVersions"] == ["2026-07-28"]
        with pytest.raises(BadCall) as refused:
            await Client(room, Era.MODERN).send("subscriptions/listen")
        assert (refused.value.reason.status, refused.value.reason.rpc) == (404, -32601)


# ---- where posts go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said_endpoint",
    [
        b"https://evil.example/m",
        b"//evil.example/m",
        b"http://127.0.0.1:1/m",
        b"http://localhost/m",
        b"",
        b"a b",
        b"\xff",
    ],
)
async def test_m_20_posts_go_nowhere_but_to_the_servers_own_origin(server: SseServer, said_endpoint: bytes) -> None:
    server.endpoint = said_endpoint or b" "
    assert (await fault(server)).reason.code == "server_answer_invalid"


async def test_an_absolute_address_of_the_same_origin_is_good(server: SseServer) -> None:
    server.endpoint = f"http://127.0.0.1:{server.port}/messages?session_id=1".encode()
    async with sse(server) as room:
        assert said(await Client(room, Era.MODERN).call("echo", text="x")) == "x"


async def test_only_the_first_address_counts(server: SseServer) -> None:
    server.endpoint = b"/messages?session_id=1\n\nevent: endpoint\ndata: /elsewhere"
    async with sse(server) as room:
        await Client(room, Era.MODERN).call("echo", text="x")
    assert {heard.target for heard in server.seen if heard.verb == "POST"} == {"/messages?session_id=1"}


# ---- a server that is none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (whole(b"", "401 Unauthorized", www_authenticate="Bearer"), "server_refused"),
        (whole(b"", "302 Found", location="https://evil.example/sse"), "server_refused"),
        (whole(b"", "404 Not Found"), "server_refused"),
        (whole(b"", "500 Oops"), "server_refused"),
        (whole(b"{}"), "server_answer_invalid"),
        (chunked(b"event: endpoint\ndata: /m\n\n", end=False, content_encoding="gzip"), "server_answer_invalid"),
        (chunked(), "server_unreachable"),
        (chunked(b"event: message\ndata: {}\n\n"), "server_unreachable"),
        (chunked(b": nothing\n\n", end=False), "server_timeout"),
        (chunked(b"data: " + b"x" * 400_000 + b"\n\n", end=False), "server_answer_too_large"),
    ],
    ids=str,
)
async def test_m_20_m_24_a_stream_that_is_none_opens_nothing(reply: bytes, code: str) -> None:
    def answer(_: Heard, line: Line) -> None:
        line.send(reply)

    with HostileServer(answer) as server:
        assert (await fault(server)).reason.code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("401 Unauthorized", "server_refused"),
        ("307 Temporary Redirect", "server_refused"),
        ("500 Oops", "server_refused"),
    ],
)
async def test_a_post_that_is_refused_ends_its_call(server: SseServer, status: str, code: str) -> None:
    async with sse(server) as room:
        client = Client(room, Era.MODERN)
        await client.call("echo", text="x")
        usual = server.answer
        server.answer = lambda heard, line: line.send(whole(b"", status, location="https://evil.example/"))
        assert await client.fails("echo", text="x") == code
        server.answer = usual
        assert said(await client.call("echo", text="y")) == "y"


@eras
async def test_a_session_that_the_server_does_not_know_any_more_is_opened_anew(server: SseServer, era: Era) -> None:
    async with sse(server) as room:
        client = await Client(room, era).begin()
        await client.call("echo", text="x")
        gone = server.streams.pop("1")
        with pytest.raises(CallError) as failed:
            await client.call("echo", text="x")
        assert failed.value.reason.code == ("server_unreachable" if era is Era.MODERN else "session_unknown")
        gone.close()
        await client.works_again()


async def test_a_stream_that_ends_is_the_end_of_its_session(server: SseServer) -> None:
    async with sse(server) as room:
        client, other = await Client(room, Era.LEGACY).begin(), await Client(room, Era.LEGACY, BOB).begin()
        hangs = asyncio.create_task(client.fails("hang"))
        assert await until(lambda: server.script.heard[-1].get("params", {}).get("name") == "hang")
        server.streams["1"].close()
        assert await hangs == "server_unreachable"
        with pytest.raises(BadCall) as refused:
            await client.call("echo", text="x")
        assert refused.value.reason.code == "session_unknown"
        assert said(await other.call("echo", text="x")) == "x"


async def test_a_stream_lasts_no_longer_than_the_credential_that_opened_it(server: SseServer) -> None:
    limits = dataclasses.replace(LIMITS, server_stream_seconds=60.0)
    short = dataclasses.replace(ALICE, expires=NOW + 0.3)
    async with sse(server, limits=limits) as room:
        client = await Client(room, Era.LEGACY, short).begin()
        key = next(iter(room._pool._places))
        assert await until(lambda: room._pool.find(key) is None)
        with pytest.raises(BadCall):
            await client.call("echo", text="x")


# ---- what the server says by itself ---------------------------------------------------------------------------------


async def test_a_question_of_the_server_reaches_its_caller_and_the_answer_goes_back(server: SseServer) -> None:
    async with sse(server) as room:
        client = await Client(room, Era.LEGACY).begin()
        reply = await client.send("tools/call", {"name": "ask", "arguments": {"method": "roots/list"}})
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        assert messages(await anext(stream))[0]["method"] == "roots/list"
        call = permits.call("io.counterseal/reply", era=Era.LEGACY, session=client.session)
        message = {"jsonrpc": "2.0", "id": "q-1", "result": {"roots": []}}
        await room.send(permit(replace(call, message=message)))
        assert json.loads(said(messages(await anext(stream))[0])) == {"roots": []}
        await reply.body.aclose()


@pytest.mark.parametrize("method", ["ping", "sampling/createMessage"])
async def test_s6_an_answer_of_the_gateway_itself_carries_a_token_too(server: SseServer, method: str) -> None:
    countersign = Countersign()
    async with sse(server, countersign=countersign) as room:
        client = Client(room, Era.MODERN)
        answer = json.loads(said(await client.call("ask", method=method)))
        assert answer == {} if method == "ping" else answer["code"] == -32601
    assert countersign.made[-1].call.method == "io.counterseal/reply"
    assert countersign.made[-1].token in {heard.token for heard in server.seen}


async def test_m_08_what_a_server_says_on_one_session_reaches_no_other(server: SseServer) -> None:
    async with sse(server) as room:
        alice, bob = await Client(room, Era.LEGACY).begin(), await Client(room, Era.LEGACY, BOB).begin()
        streams = [await client.send("io.counterseal/stream") for client in (alice, bob)]
        server.say("1", {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "for alice"}})
        server.say("2", {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "for bob"}})
        for name, reply in zip(("alice", "bob"), streams, strict=True):
            body = await read(reply)  # to its end, which comes by itself
            assert [message["params"]["data"] for message in messages(body)] == [f"for {name}"]


async def test_a_caller_who_is_denied_the_handshake_opens_nothing(server: SseServer) -> None:
    """A denial of the gateway's own call is that of the call that needs it."""

    class Denying(Countersign):
        def __call__(self, who: Any, call: Any) -> Any:
            if who == BOB:
                raise BadCall("policy_denied", "no")
            return super().__call__(who, call)

    async with sse(server, countersign=Denying()) as room:
        with pytest.raises(BadCall) as refused:
            await Client(room, Era.MODERN, BOB).call("echo", text="x")
        assert refused.value.reason.code == "policy_denied"
        assert server.calls == 0
        assert said(await Client(room, Era.MODERN).call("echo", text="x")) == "x"


async def test_a_server_that_is_not_there_is_told(server: SseServer) -> None:
    async with sse(server, url="http://127.0.0.1:1/sse") as room:
        with pytest.raises(ServerError) as failed:
            await Client(room, Era.MODERN).call("echo", text="x")
        assert failed.value.reason.code == "server_unreachable"
