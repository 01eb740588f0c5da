"""One record for each call, however it ends: a refusal, or an intent and what became of it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Era, Inbound
from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall, CallError
from counterseal.gateway.pipeline import Pipeline
from tests.contracts.http import until
from tests.gateway.building import Built, built, legacy, modern, posted
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, response, whole

QUICK = dataclasses.replace(LIMITS, server_idle_seconds=1.0)
"""For servers that fall silent."""
NOTE = event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
ERROR = b'{"jsonrpc": "2.0", "id": "%s", "error": {"code": 1, "message": "no"}}'


def say(make: Callable[[Heard], bytes], then: Callable[[Line], object] = lambda line: None) -> Any:
    def answer(heard: Heard, line: Line) -> None:
        line.send(make(heard))
        then(line)

    return answer


def error_of(heard: Heard) -> bytes:
    return ERROR % heard.call["id"].encode()


OUTCOMES: dict[str, tuple[Any, str, int, str | None]] = {
    "a result": (say(lambda heard: whole(response(heard))), "answered", 200, None),
    "a result as an event": (say(lambda heard: chunked(NOTE, event(response(heard)))), "answered", 200, None),
    "an error": (say(lambda heard: whole(error_of(heard))), "error", 200, None),
    "an error as an event": (say(lambda heard: chunked(event(error_of(heard)))), "error", 200, None),
    "an error status": (say(lambda heard: whole(error_of(heard), "400 No")), "error", 400, None),
    "a server error": (say(lambda heard: whole(error_of(heard), "500 No")), "error", 502, None),
    "a redirect": (say(lambda heard: whole(b"", "302 Go")), "failed", 502, "server_refused"),
    "no HTTP": (say(lambda heard: b"x", Line.close), "failed", 502, "server_unreachable"),
    "silence": (say(lambda heard: b"", lambda line: line.gone(60)), "failed", 504, "server_timeout"),
    "another id": (say(lambda heard: whole(response(heard, id="x"))), "failed", 502, "server_answer_invalid"),
    "a stream that breaks": (
        say(lambda heard: chunked(NOTE, end=False), Line.close),
        "failed",
        200,
        "server_unreachable",
    ),
    "a stream that lies": (say(lambda heard: chunked(NOTE, event(b"x"))), "failed", 200, "server_answer_invalid"),
    "a stream without an answer": (say(lambda heard: chunked(NOTE)), "failed", 200, "server_answer_invalid"),
    "a silent stream": (
        say(lambda heard: chunked(NOTE, end=False), lambda line: line.gone(60)),
        "failed",
        200,
        "server_timeout",
    ),
}


@pytest.mark.parametrize(("answer", "outcome", "status", "reason"), OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_a_call_that_was_made_leaves_an_intent_and_one_outcome(
    server: HostileServer, answer: Any, outcome: str, status: int, reason: str | None
) -> None:
    server.answer = answer
    async with built(server, limits=QUICK if reason == "server_timeout" else LIMITS) as gateway:
        size, told = 0, None
        try:
            size = len(await read(await gateway.handler.handle(modern(id="mine"))))
        except CallError as error:
            told = error
        intent, ended = gateway.entries
        assert (intent["event"], ended["event"]) == ("intent", "outcome")
        assert intent["record"] == ended["record"]
        assert (ended["outcome"], ended["status"], ended["reason"]) == (outcome, status, reason)
        assert (told is not None) == (reason is not None)
        if told is not None:
            assert (told.record, told.id) == (intent["record"], "mine")
        else:
            assert ended["bytes"] == size > 0


REFUSALS: dict[str, tuple[Inbound, str]] = {
    "no credential": (modern(key=None), "credential_missing"),
    "bad credential": (modern(key=b"x"), "credential_invalid"),
    "two credentials": (modern("tools/call", None, (b"x-api-key", b"x")), "ambiguous_credentials"),
    "no JSON": (posted(b"{"), "parse_error"),
    "no message": (posted({}), "invalid_request"),
    "wrong version": (posted({"jsonrpc": "2.0", "id": 1, "method": "ping"}, (b"mcp-protocol-version", b"1")), ""),
    "no method": (legacy("no/such"), "method_unknown"),
    "a batch": (posted([]), "batch_not_allowed"),
    "a session": (legacy(session=b"made-up"), "session_unknown"),
    "a server": (modern(server="nowhere"), "server_unknown"),
    "headers": (modern("tools/list", None, (b"mcp-method", b"tools/list")), "header_mismatch"),
    "type": (Inbound("POST", "weather", ((b"authorization", b"Bearer key-of-alice"),), b"{}", ""), ""),
    "arguments": (modern(params={"name": "get_weather", "arguments": {"n": 2**60}}), "invalid_params"),
}


@pytest.mark.parametrize(("inbound", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_call_that_was_refused_leaves_one_refusal(server: HostileServer, inbound: Inbound, reason: str) -> None:
    async with built(server) as gateway:
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(inbound)
        (entry,) = gateway.entries
        assert (entry["event"], entry["status"]) == ("refusal", told.value.reason.status)
        assert entry["reason"] == told.value.reason.code
        assert not reason or entry["reason"] == reason
        assert entry["record"] == told.value.record
        assert entry["peer"] == inbound.peer
        assert server.calls == 0


async def test_what_is_refused_before_its_caller_is_asked_for_is_recorded_too(server: HostileServer) -> None:
    async with built(server) as gateway:
        refusal = BadCall("origin_refused", "no")
        with pytest.raises(BadCall) as told:
            await gateway.handler.refuse(modern(), refusal)
        assert told.value is refusal
        (entry,) = gateway.entries
        assert (entry["reason"], entry["caller"], entry["record"]) == ("origin_refused", None, refusal.record)


async def test_what_was_refused_and_cannot_be_recorded_is_503(server: HostileServer) -> None:
    async with built(server) as gateway:
        gateway.sink.problem = "full"
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(posted({"jsonrpc": "2.0", "id": 7, "method": "no/such"}))
        assert told.value.reason.code == "audit_unavailable"
        assert told.value.id == 7


async def test_a_caller_who_leaves_before_the_answer_leaves_an_aborted_outcome(server: HostileServer) -> None:
    server.answer = lambda heard, line: line.gone(60)
    async with built(server) as gateway:
        asking = asyncio.ensure_future(gateway.handler.handle(modern()))
        assert await until(lambda: server.calls == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert gateway.events() == ["intent", "outcome"]
        assert (gateway.entries[1]["outcome"], gateway.entries[1]["reason"]) == ("aborted", "caller_left")


async def test_a_caller_who_leaves_before_the_call_is_made_leaves_a_refusal_and_no_outcome(
    server: HostileServer,
) -> None:
    async with built(server) as gateway:
        asking = asyncio.ensure_future(gateway.handler.handle(modern()))
        await asyncio.sleep(0)  # one turn of the loop: as far as the signature
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (left,) = gateway.entries
        assert (left["event"], left["reason"], left["status"]) == ("refusal", "caller_left", None)
        assert (left["method"], left["caller"]["subject"]) == ("tools/call", "alice")
        assert server.calls == 0


async def test_a_caller_who_leaves_in_the_middle_of_a_stream_leaves_an_aborted_outcome(server: HostileServer) -> None:
    server.answer = say(lambda heard: chunked(NOTE, end=False), lambda line: line.gone(60))
    async with built(server) as gateway:
        reply = await gateway.handler.handle(modern())
        assert not isinstance(reply.body, bytes)
        first = await anext(aiter(reply.body))
        await reply.body.aclose()
        await reply.body.aclose()
        assert gateway.events() == ["intent", "outcome"]
        ended = gateway.entries[1]
        assert (ended["outcome"], ended["bytes"]) == ("aborted", len(first))


async def test_the_intent_is_written_before_the_server_hears_anything(server: HostileServer) -> None:
    """U-02: a crash between the two is seen afterwards."""
    seen: list[list[str]] = []
    gateways: list[Built] = []

    def answer(heard: Heard, line: Line) -> None:
        seen.append(gateways[0].events())
        line.send(whole(response(heard)))

    server.answer = answer
    async with built(server) as gateway:
        gateways.append(gateway)
        await gateway.handler.handle(modern())
    assert seen == [["intent"]]


async def test_the_outcome_comes_after_the_last_byte(server: HostileServer) -> None:
    step = threading.Event()
    server.answer = say(
        lambda heard: chunked(NOTE, end=False),
        lambda line: (step.wait(60), line.send(chunk(event(response(server.seen[-1]))) + b"0\r\n\r\n")),
    )
    async with built(server) as gateway:
        reply = await gateway.handler.handle(modern())
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        await anext(stream)
        assert gateway.events() == ["intent"]
        step.set()
        assert [each async for each in stream]
        assert gateway.events() == ["intent", "outcome"]


async def test_a_defect_is_a_500_that_says_nothing_and_a_record(
    server: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(inbound: Inbound, caller: Any) -> Any:
        raise KeyError("canary")

    async with built(server) as gateway:
        pipeline: Pipeline = dataclasses.replace(gateway.pipeline, decode=broken)
        with pytest.raises(CallError) as told:
            await pipeline.handle(modern())
        assert (told.value.reason.code, told.value.reason.status) == ("internal_error", 500)
        assert "canary" not in f"{told.value.message} {told.value.data} {told.value.headers}"
        assert told.value.__cause__ is None
        (entry,) = gateway.entries
        assert (entry["event"], entry["reason"], entry["detail"]) == ("refusal", "internal_error", "KeyError")
        assert entry["record"] in caplog.text


async def test_u_06_no_argument_and_no_credential_is_in_a_record(server: HostileServer) -> None:
    async with built(server) as gateway:
        await gateway.handler.handle(modern(params={"name": "get_weather", "arguments": {"q": "argument-canary"}}))
        with pytest.raises(CallError):
            await gateway.handler.handle(modern(key=b"credential-canary"))
        text = json.dumps(gateway.entries)
        assert "canary" not in text
        assert server.seen[0].token not in text
        assert "key-of-alice" not in text


async def test_u_08_equal_arguments_are_recorded_alike_under_a_key_and_not_as_a_bare_digest(
    server: HostileServer,
) -> None:
    async with built(server) as gateway:
        for city in ("Oslo", "Oslo", "Paris"):
            await gateway.handler.handle(modern(params={"name": "get_weather", "arguments": {"city": city}}))
        await gateway.handler.handle(modern("tools/list"))
        macs = [entry["arguments"] for entry in gateway.entries if entry["event"] == "intent"]
        assert macs[0] == macs[1] != macs[2]
        assert macs[3] is None
        details = gateway.server.seen[0].token
        assert macs[0] not in details


async def test_u_07_as_many_records_as_requests(server: HostileServer) -> None:
    async with built(server) as gateway:
        inbounds = [inbound for inbound, _ in REFUSALS.values()] + [modern(), legacy(session=gateway.sealed())] * 5
        await asyncio.gather(*(gateway.handler.handle(each) for each in inbounds), return_exceptions=True)
        firsts = [entry["record"] for entry in gateway.entries if entry["event"] in ("intent", "refusal")]
        assert len(firsts) == len(set(firsts)) == len(inbounds)
        assert gateway.events().count("outcome") == gateway.events().count("intent") == server.calls


async def test_a_call_that_ended_counts_no_more(server: HostileServer) -> None:
    async with built(server, limits=dataclasses.replace(QUICK, calls_per_caller=1)) as gateway:
        for answer, *_ in OUTCOMES.values():
            server.answer = answer
            try:
                await read(await gateway.handler.handle(modern()))
            except CallError as error:
                assert error.reason.code != "too_many"  # noqa: PT017
        for inbound, _ in REFUSALS.values():
            with pytest.raises(CallError) as told:
                await gateway.handler.handle(inbound)
            assert told.value.reason.code != "too_many"
        server.answer, calls = lambda heard, line: line.gone(60), server.calls
        asking = asyncio.ensure_future(gateway.handler.handle(modern()))
        assert await until(lambda: server.calls > calls)
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(modern())
        assert told.value.reason.code == "too_many"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        server.answer = say(lambda heard: whole(response(heard)))
        await gateway.handler.handle(modern())


async def test_a_dropped_notification_is_recorded_with_what_became_of_it(server: HostileServer) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    headers = [(b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", b"notifications/cancelled")]
    async with built(server) as gateway:
        reply = await gateway.handler.handle(posted(message, *headers))
        assert (reply.status, server.calls) == (202, 0)
        assert gateway.entries[1]["detail"].startswith("dropped")
        assert gateway.entries[0]["era"] == Era.MODERN.value


async def test_an_outcome_that_comes_after_the_sink_was_closed_is_told_to_the_log_and_breaks_nothing(
    server: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = say(lambda heard: chunked(NOTE, event(response(heard))))
    async with built(server) as gateway:
        reply = await gateway.handler.handle(modern())
        await gateway.sink.close()
        assert b"progress" in await read(reply)
        assert gateway.events() == ["intent"]
    told = [record.getMessage() for record in caplog.records if record.name == "counterseal.gateway"]
    assert len(told) == 1
    assert gateway.entries[0]["record"] in told[0]
