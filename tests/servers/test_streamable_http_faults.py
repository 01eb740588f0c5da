"""A server that lies, falls silent, floods or attacks: the caller gets a clean error, and the next call is as good as any."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Era
from counterseal.core.limits import LIMITS
from counterseal.core.methods import STREAM
from counterseal.errors import ServerError
from tests.contracts.http import MALFORMED, until
from tests.servers.permits import OUR_ID, SESSION, permit, read, sending
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, plain, response, whole

QUICK = dataclasses.replace(LIMITS, server_idle_seconds=0.3, server_stream_seconds=2.0)
"""For servers that fall silent, and for nothing that should be answered: a machine that stands still is silent, too."""
Saying = Callable[[Heard], bytes]
ASKING = {"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {}}
NOTE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}


def answering(say: Saying, then: Callable[[Line], object] = lambda line: None) -> Callable[[Heard, Line], None]:
    def answer(heard: Heard, line: Line) -> None:
        line.send(say(heard))
        then(line)

    return answer


async def fault(server: HostileServer, *, limits: Any = LIMITS, **changes: Any) -> ServerError:
    """The error with which a call ends; the server was asked once, and the next call is answered, where there is time for it."""
    async with sending(server, limits=limits) as room, sending(server) as patient:
        with pytest.raises(ServerError) as failed:
            await read(await room.send(permit(**changes)))
        assert server.calls == 1, "it was asked again"
        server.answer = plain
        assert b'"ok"' in await read(await (patient if limits is QUICK else room).send(permit()))
    error = failed.value
    assert error.reason.fault == "server"
    assert error.headers == ()
    return error


def json_with(**members: Any) -> Saying:
    """An answer with members changed; None leaves one out."""

    def say(heard: Heard) -> bytes:
        body = {**json.loads(response(heard)), **members}
        return whole(json.dumps({name: value for name, value in body.items() if value is not None}).encode())

    return say


def body(text: bytes, **headers: str) -> Saying:
    return lambda heard: whole(text, **headers)


def as_events(say: Saying) -> Saying:
    """The same body as one event."""
    return lambda heard: chunked(event(say(heard).partition(b"\r\n\r\n")[2]))


# ---- what is no answer to this call -----------------------------------------------------------------------------------

BODIES: dict[str, Saying] = {
    "wrong id": json_with(id="another"),
    "the caller's id": json_with(id=1),
    "null id": json_with(id="null"),
    "id as a list": json_with(id=[OUR_ID]),
    "no id": json_with(id=None),
    "wrong version": json_with(jsonrpc="1.0"),
    "no version": json_with(jsonrpc=None),
    "result and error": json_with(error={"code": 1, "message": "x"}),
    "neither": json_with(result=None),
    "result is a list": json_with(result=[]),
    "result is a string": json_with(result="ok"),
    "error is a string": json_with(result=None, error="no"),
    "a request": lambda heard: whole(json.dumps({**ASKING, "id": OUR_ID}).encode()),
    "a request and a response": json_with(method="tools/call"),
    "a batch": lambda heard: whole(b"[" + response(heard) + b"]"),
    "two texts": lambda heard: whole(response(heard) + response(heard)),
    "cut": lambda heard: whole(response(heard)[:-1]),
    "trailing": lambda heard: whole(response(heard) + b"x"),
    "BOM": lambda heard: whole(b"\xef\xbb\xbf" + response(heard)),
    "UTF-16": lambda heard: whole(response(heard).decode().encode("utf-16")),
    "not UTF-8": lambda heard: whole(response(heard).replace(b'"ok"', b'"\xff"')),
    "NaN": lambda heard: whole(response(heard).replace(b'"ok"', b"NaN")),
    "deep": lambda heard: whole(response(heard).replace(b'"ok"', b"[" * 100_000 + b"]" * 100_000)),
    "a number": body(b"1"),
    "null": body(b"null"),
    "an empty object": body(b"{}"),
}


@pytest.mark.parametrize("say", BODIES.values(), ids=BODIES.keys())
async def test_m_24_what_is_no_answer_to_the_call_is_not_passed_on(server: HostileServer, say: Saying) -> None:
    server.answer = answering(say)
    assert (await fault(server)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("say", BODIES.values(), ids=BODIES.keys())
async def test_m_24_what_is_no_answer_to_the_call_is_none_as_an_event_either(
    server: HostileServer, say: Saying
) -> None:
    server.answer = answering(as_events(say))
    if say is BODIES["BOM"]:
        # At the start of a stream it is a mark of the encoding; inside the data it is not JSON.
        server.answer = answering(lambda heard: chunked(b"data: \xef\xbb\xbf" + response(heard) + b"\n\n"))
    assert (await fault(server)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("media", ["", "text/html", "text/plain", "application/jsonx", "application/octet-stream", "a"])
async def test_an_answer_of_another_type_is_not_passed_on(server: HostileServer, media: str) -> None:
    server.answer = answering(lambda heard: whole(response(heard), content_type=media))
    assert (await fault(server)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=utf-8", "application/json ;a=b"])
async def test_an_answer_of_the_type_is_passed_on_whatever_its_parameters(server: HostileServer, media: str) -> None:
    server.answer = answering(lambda heard: whole(response(heard), content_type=media))
    async with sending(server) as room:
        assert b'"ok"' in await read(await room.send(permit()))


async def test_a_type_that_was_sent_twice_is_none(server: HostileServer) -> None:
    server.answer = answering(
        lambda heard: whole(response(heard)).replace(b"\r\n", b"\r\nContent-Type: text/html\r\n", 1)
    )
    assert (await fault(server)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP", "x"])
@pytest.mark.parametrize("streams", [False, True])
async def test_h_11_a_coding_that_was_not_asked_for_is_not_unpacked(
    server: HostileServer, coding: str, streams: bool
) -> None:
    def say(heard: Heard) -> bytes:
        packed = gzip.compress(b" " * 1_000_000 + response(heard))
        return chunked(packed, content_encoding=coding) if streams else whole(packed, content_encoding=coding)

    server.answer = answering(say)
    assert (await fault(server)).reason.code == "server_answer_invalid"
    assert server.seen[0].all("accept-encoding") == ["identity"]


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "204 No Content", "206 Partial Content"])
async def test_a_success_without_an_answer_is_none(server: HostileServer, status: str) -> None:
    bare = status.startswith("204")
    server.answer = answering(lambda heard: whole(b"", status, **({"content_length": ""} if bare else {})))
    assert (await fault(server)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("bytes_sent", MALFORMED.values(), ids=MALFORMED.keys())
async def test_h_11_what_is_not_plain_http_is_the_servers_failure(server: HostileServer, bytes_sent: bytes) -> None:
    server.answer = answering(lambda heard: bytes_sent, Line.close)
    assert (await fault(server)).reason.code in ("server_unreachable", "server_answer_invalid")


# ---- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
async def test_m_20_a_redirect_is_a_failure_and_nobody_follows_it(server: HostileServer, status: int) -> None:
    with HostileServer() as elsewhere:
        bare = {"content_length": ""} if status == 304 else {}
        server.answer = answering(lambda heard: whole(b"", f"{status} Go", location=elsewhere.url, **bare))
        error = await fault(server)
        assert elsewhere.lines == 0
    assert error.reason.code == "server_refused"
    assert "the server sent the call elsewhere" in error.message
    assert elsewhere.url not in f"{error.message} {error.detail}"


@pytest.mark.parametrize("status", [401, 403, 407])
@pytest.mark.parametrize("as_json", [True, False])
async def test_m_20_a_challenge_of_the_server_is_its_failure_and_never_the_callers(
    server: HostileServer, status: int, as_json: bool
) -> None:
    challenge = 'Bearer resource_metadata="https://evil.example/.well-known/oauth-protected-resource"'
    text = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32001, "message": "canary"}}' if as_json else b"canary"
    media = "application/json" if as_json else "text/plain"
    server.answer = answering(lambda heard: whole(text, f"{status} No", www_authenticate=challenge, content_type=media))
    error = await fault(server)
    assert (error.reason.code, error.reason.status) == ("server_refused", 502)
    assert error.message == "the server refused the call token"
    assert "evil" not in f"{error.message} {error.detail} {error.data} {error.headers}"
    assert "canary" not in f"{error.message} {error.detail}"


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 502, 503])
@pytest.mark.parametrize("text", [b"", b"<h1>canary</h1>", b'{"error": "canary"}', b"{"])
async def test_an_error_status_without_a_json_rpc_error_is_a_failure(
    server: HostileServer, status: int, text: bytes
) -> None:
    server.answer = answering(lambda heard: whole(text, f"{status} No", retry_after="1"))
    error = await fault(server)
    assert error.reason.status == 502
    assert "canary" not in f"{error.message} {error.detail}"


# ---- event streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        lambda heard: [event(response(heard)), event(response(heard))],
        lambda heard: [event(response(heard)), event(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode())],
        lambda heard: [event(ASKING), event(response(heard))],
        lambda heard: [event(b"garbage"), event(response(heard))],
        lambda heard: [event(NOTE)],
        lambda heard: [],
        lambda heard: [b": comment\n\n"],
        lambda heard: [event(response(heard))[:-2]],
        lambda heard: [b"event: other\n" + event(response(heard))],
        lambda heard: [event(b"[" + response(heard) + b"]")],
    ],
    ids=[
        *(
            "answers twice",
            "answers another",
            "asks",
            "garbage",
            "no answer",
            "nothing",
            "comments",
            "cut",
            "other event",
        ),
        "batch",
    ],
)
async def test_m_24_m_21_a_stream_that_is_not_one_answer_is_a_failure(
    server: HostileServer, parts: Callable[[Heard], list[bytes]]
) -> None:
    server.answer = answering(lambda heard: chunked(*parts(heard)))
    assert (await fault(server)).reason.code == "server_answer_invalid"


async def test_m_25_framing_is_ours_whatever_stands_in_the_data(server: HostileServer) -> None:
    """The server ends its lines with CR alone, and spreads the message over one line for each of its members."""
    text = "a\r\ndata: evil\n\nevent: x\u2028\u2029\x85\ufeff"

    def say(heard: Heard) -> bytes:
        lines = json.dumps({"jsonrpc": "2.0", "id": OUR_ID, "result": {"t": text}}, ensure_ascii=False, indent=1)
        return chunked(b"".join(b"data: " + line.encode() + b"\r" for line in lines.split("\n")) + b"\r")

    server.answer = answering(say)
    async with sending(server) as room:
        out = await read(await room.send(permit()))
    assert out.endswith(b"\n\n")
    lines = out[:-2].split(b"\n")
    assert all(line.startswith(b"data: ") for line in lines)
    assert b"\r" not in out
    told = json.loads(b"\n".join(line.removeprefix(b"data: ") for line in lines))
    assert (told["id"], told["result"]["t"]) == (1, text)


async def test_m_21_a_modern_server_asks_nobody_anything(server: HostileServer) -> None:
    """The same stream is good in the era that has requests of servers."""
    server.answer = answering(lambda heard: chunked(event(ASKING), event(response(heard))))
    async with sending(server) as room:
        with pytest.raises(ServerError):
            await read(await room.send(permit()))
        assert b"sampling" in await read(await room.send(permit(era=Era.LEGACY, session=SESSION)))


async def test_an_error_in_the_middle_of_a_stream_passes_on_what_came_before(server: HostileServer) -> None:
    server.answer = answering(lambda heard: chunked(event(NOTE), event(b"garbage")))
    async with sending(server) as room:
        reply = await room.send(permit())
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        with pytest.raises(ServerError):
            assert b"progress" in await anext(stream)
            await anext(stream)


# ---- ceilings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
async def test_m_24_an_answer_of_16_mib_is_passed_on_and_one_byte_more_is_not(
    server: HostileServer, streams: bool
) -> None:
    def sized(size: int) -> Saying:
        def say(heard: Heard) -> bytes:
            small = response(heard, {"t": ""})
            filled = response(heard, {"t": "x" * (size - len(small) - (8 if streams else 0))})
            made = event(filled) if streams else filled
            assert len(made) == size
            return chunked(made) if streams else whole(made)

        return say

    server.answer = answering(sized(LIMITS.server_answer_bytes))
    async with sending(server) as room:
        assert len(await read(await room.send(permit()))) > LIMITS.server_answer_bytes - 100
    server.seen.clear()
    server.answer = answering(sized(LIMITS.server_answer_bytes + 1))
    assert (await fault(server, limits=LIMITS)).reason.code == "server_answer_too_large"


async def test_m_24_a_stream_may_hold_so_many_events_and_no_more(server: HostileServer) -> None:
    few = dataclasses.replace(LIMITS, server_events=50)
    server.answer = answering(lambda heard: chunked(*[event(NOTE)] * 49, event(response(heard))))
    async with sending(server, limits=few) as room:
        assert (await read(await room.send(permit()))).count(b"progressToken") == 49
    server.seen.clear()
    server.answer = answering(lambda heard: chunked(*[event(NOTE)] * 50, event(response(heard))))
    assert (await fault(server, limits=few)).reason.code == "server_answer_too_large"


@pytest.mark.parametrize(
    "piece",
    [b"data: " + b"x" * 1000, event(NOTE), b": c\n", b"data: x\n", b"x" * 1000, b"id: 1\n"],
    ids=["one line", "events", "comments", "data lines", "no field", "fields"],
)
async def test_m_24_a_stream_without_an_end_is_cut_at_the_ceiling(server: HostileServer, piece: bytes) -> None:
    small = dataclasses.replace(LIMITS, server_answer_bytes=100_000, server_event_bytes=100_000)
    gone = threading.Event()

    def flood(line: Line) -> None:
        while not line.ended:
            line.send(chunk(piece * 10))
        gone.set()

    server.answer = answering(lambda heard: chunked(end=False), flood)
    assert (await fault(server, limits=small)).reason.code == "server_answer_too_large"
    assert await until(gone.is_set)


async def test_m_24_nor_may_a_stream_hold_more_lines_than_so_many_events_have(server: HostileServer) -> None:
    few = dataclasses.replace(LIMITS, server_events=50)
    for lines, is_good in ((490, True), (501, False)):
        server.seen.clear()
        server.answer = answering(lambda heard, lines=lines: chunked(b"x\n" * lines + event(response(heard))))  # type: ignore[misc]
        if is_good:
            async with sending(server, limits=few) as room:
                assert b'"ok"' in await read(await room.send(permit()))
        else:
            assert (await fault(server, limits=few)).reason.code == "server_answer_too_large"


async def test_m_24_while_many_lines_are_read_others_have_their_turn(server: HostileServer) -> None:
    """A worker that reads 16 MiB of line ends answered nobody for a minute, and then knew no API key any more."""
    server.answer = answering(lambda heard: chunked(b"x\n" * 400_000 + event(response(heard))))
    loop = asyncio.get_running_loop()
    longest, before = 0.0, loop.time()

    async def turns() -> None:
        nonlocal longest, before
        while True:
            await asyncio.sleep(0)
            longest, before = max(longest, loop.time() - before), loop.time()

    async with sending(server) as room:
        turning = asyncio.ensure_future(turns())
        began = loop.time()
        assert b'"ok"' in await read(await room.send(permit()))
        took = loop.time() - began
        turning.cancel()
    assert longest < took / 3


async def test_m_24_a_subscription_may_go_on_past_the_ceiling_for_answers(server: HostileServer) -> None:
    small = dataclasses.replace(LIMITS, server_answer_bytes=1000, server_events=10)
    server.answer = answering(lambda heard: chunked(*[event(NOTE)] * 100))
    async with sending(server, limits=small) as room:
        out = await read(await room.send(permit(method=STREAM, era=Era.LEGACY, session=SESSION)))
        assert out.count(b"progressToken") == 100


# ---- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        whole(b"", content_length="100"),
        chunked(end=False),
        chunked(event(NOTE), end=False),
    ],
    ids=["nothing", "half a head", "no body", "no event", "one event"],
)
async def test_m_24_a_server_that_falls_silent_is_given_up(server: HostileServer, start: bytes) -> None:
    gone: list[bool] = []
    server.answer = answering(lambda heard: start, lambda line: gone.append(line.gone(60)))
    error = await fault(server, limits=QUICK)
    assert (error.reason.code, error.reason.status) == ("server_timeout", 504)
    assert await until(lambda: gone == [True])


async def test_a_stream_that_listens_ends_in_time_without_an_error(server: HostileServer) -> None:
    server.answer = answering(lambda heard: chunked(event(NOTE), end=False), lambda line: line.gone(60))
    async with sending(server, limits=QUICK) as room:
        out = await read(await room.send(permit(method=STREAM, era=Era.LEGACY, session=SESSION)))
        assert out.count(b"progressToken") == 1


# ---- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session_id", ["a b", "a\tb", "\x01", "\xe9", "a" * 1025, "a\x7f"])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_session_id_that_is_no_visible_ascii_opens_no_session(
    server: HostileServer, session_id: str, streams: bool
) -> None:
    def say(heard: Heard) -> bytes:
        if streams:
            return chunked(event(response(heard)), mcp_session_id=session_id)
        return whole(response(heard), mcp_session_id=session_id)

    server.answer = answering(say)
    error = await fault(server, method="initialize", era=Era.LEGACY)
    assert error.reason.code in ("server_answer_invalid", "server_unreachable")


async def test_two_session_ids_open_no_session(server: HostileServer) -> None:
    server.answer = answering(
        lambda heard: whole(response(heard), mcp_session_id="a").replace(b"\r\n", b"\r\nMcp-Session-Id: b\r\n", 1)
    )
    assert (await fault(server, method="initialize", era=Era.LEGACY)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("revision", ["2024-11-05", "2026-07-28", "1.0", 7, None, ["2025-11-25"]])
async def test_a_handshake_that_negotiates_what_is_not_carried_opens_no_session(
    server: HostileServer, revision: Any
) -> None:
    negotiated = {"protocolVersion": revision, "capabilities": {}}
    server.answer = answering(lambda heard: whole(response(heard, negotiated), mcp_session_id="s-1"))
    assert (await fault(server, method="initialize", era=Era.LEGACY)).reason.code == "server_answer_invalid"


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
@pytest.mark.parametrize("items", [None, 7, {}, [7], ["x"], [[]]], ids=str)
async def test_m_17_a_list_that_cannot_be_filtered_is_not_passed_on(
    server: HostileServer, method: str, items: Any
) -> None:
    member = {"resources/templates/list": "resourceTemplates"}.get(method, method.partition("/")[0])
    server.answer = answering(lambda heard: whole(response(heard, {member: items})))
    assert (await fault(server, method=method)).reason.code == "server_answer_invalid"
