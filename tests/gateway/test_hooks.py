"""Hooks in the order of a call, from outside: what the server gets, what the caller is told, what is written down."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Era, Inbound
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Denial, Permit
from counterseal.core.policy import Policy, Rule
from counterseal.errors import BadCall, CallError, CannotTell
from counterseal.hooks import Additions, Deny, Event, Pass, Replace
from tests.contracts.http import until
from tests.gateway.building import (
    ALICE,
    CELLS,
    DENY_ALL,
    IDS,
    Built,
    built,
    legacy,
    modern,
    posted,
    request_of,
    verified,
)
from tests.gateway.test_canaries import SENT_ALONG, assert_clean, with_more
from tests.hooks.making import BAD, SOON, Acts, Adds, Says, hook
from tests.hooks.test_view import dumped
from tests.servers.permits import call, read
from tests.support.hostile import HostileServer, chunked, event, response, whole
from tests.support.tokens import digest

by_cell = pytest.mark.parametrize("cell", CELLS, ids=IDS)


async def refused(gateway: Built, inbound: Inbound) -> CallError:
    """The refusal; it made no call to the server and left one record, whose id it holds."""
    before, calls = len(gateway.entries), gateway.server.calls
    with pytest.raises(CallError) as told:
        await read(await gateway.handler.handle(inbound))
    (entry,) = gateway.entries[before:]
    assert (entry["event"], entry["reason"], entry["rule"]) == ("refusal", told.value.reason.code, told.value.rule)
    assert entry["record"] == told.value.record
    assert gateway.server.calls == calls, "the server was called"
    return told.value


# ---- P-02: every method of every era ----------------------------------------------------------------------------------


@by_cell
async def test_p_02_a_gate_that_denies_all_lets_no_method_through(server: HostileServer, cell: tuple[Era, str]) -> None:
    """The table of methods, not a list of this test's."""
    async with built(server, hooks=[hook(Says(Deny("no")), "all")]) as gateway:
        error = await refused(gateway, request_of(cell, gateway))
        assert (error.reason.code, error.reason.status, error.message) == ("hook_denied", 403, "no")
        assert gateway.entries[0]["rule"] == "hooks all"


@by_cell
async def test_p_02_a_gate_that_passes_all_lets_every_method_through(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    says = Says()
    async with built(server, hooks=[hook(says)]) as gateway:
        await read(await gateway.handler.handle(request_of(cell, gateway)))
        assert server.calls == 1
        assert [view.call.method for view in says.seen] == [cell[1]]
        assert gateway.events() == ["intent", "outcome"]
        assert gateway.entries[0]["hooks"] == []


@by_cell
async def test_p_02_a_gate_that_fails_lets_no_method_through(server: HostileServer, cell: tuple[Era, str]) -> None:
    async with built(server, hooks=[hook(Acts(BAD["raises"]), "bad")]) as gateway:
        error = await refused(gateway, request_of(cell, gateway))
        assert (error.reason.code, error.reason.status) == ("hook_failed", 503)
        assert gateway.entries[0]["detail"].startswith("ValueError at making.py:")
        assert "canary" not in json.dumps(gateway.entries) + error.message


@by_cell
async def test_p_02_claims_and_headers_of_a_source_go_with_every_method(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    source = Adds(Additions({"department": "R&D"}, (("X-Tenant", "north"),)))
    async with built(server, hooks=[hook(source, "departments")]) as gateway:
        await read(await gateway.handler.handle(request_of(cell, gateway)))
        (heard,) = server.seen
        assert verified(heard, server.url)["department"] == "R&D"
        assert heard.all("x-tenant") == ["north"]
        assert gateway.entries[0]["hooks"] == ["departments"]


async def test_p_02_a_batch_meets_the_gates_message_by_message(server: HostileServer) -> None:
    says = hook(Says(Deny("no")), tools=["delete_*"])
    async with built(server, hooks=[says]) as gateway:
        messages = [
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name}}
            for number, name in enumerate(("get_a", "delete_b", "get_c"))
        ]
        inbound = posted(messages, (b"mcp-session-id", gateway.sealed(revision="2025-03-26")))
        answers = [
            json.loads(one.removeprefix(b"data: "))
            for one in (await read(await gateway.handler.handle(inbound))).split(b"\n\n")[:-1]
        ]
        assert ["result" in one for one in answers] == [True, False, True]
        assert answers[1]["error"]["data"]["reason"] == "hook_denied"
        assert server.calls == 2


async def test_p_02_a_notification_that_is_dropped_anyway_meets_the_gates_too(server: HostileServer) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/of-tomorrow", "params": {}}
    inbound = posted(message, (b"mcp-protocol-version", b"2026-07-28"))
    async with built(server, hooks=[hook(Says(Deny("no")))]) as gateway:
        assert (await refused(gateway, inbound)).reason.code == "hook_denied"


# ---- who reaches a hook -----------------------------------------------------------------------------------------------


@by_cell
async def test_a_10_whom_the_policy_denies_meets_no_hook(server: HostileServer, cell: tuple[Era, str]) -> None:
    """Nobody learns from a hook's words that there is something that it may not see, or keeps hooks busy without a permit."""
    says, adds = Says(Deny("no")), Adds(Additions())
    async with built(server, policy=DENY_ALL, hooks=[hook(says), hook(adds)]) as gateway:
        assert (await refused(gateway, request_of(cell, gateway))).reason.code == "policy_denied"
        assert says.seen == adds.seen == []


async def test_a_10_a_server_that_a_key_may_not_use_is_like_one_that_there_is_not(server: HostileServer) -> None:
    says = Says(Deny("no"))
    async with built(server, hooks=[hook(says)]) as gateway:
        known = gateway.known._callers
        gateway.known._callers = {**known, b"narrow": dataclasses.replace(ALICE, servers=Patterns.of(["notes"]))}
        there = await refused(gateway, modern(key=b"narrow"))
        nowhere = await refused(gateway, modern(key=b"narrow", server="nowhere"))
        assert there.reason.code == nowhere.reason.code == "server_unknown"
        assert there.message.replace("weather", "nowhere") == nowhere.message
        assert says.seen == []


async def test_s12_a_hook_that_dumps_what_it_sees_dumps_no_credential(server: HostileServer) -> None:
    says, adds = Says(), Adds(Additions())
    async with built(server, hooks=[hook(says, headers=["x-user"]), hook(adds)]) as gateway:
        for cell in CELLS:
            await read(await gateway.handler.handle(with_more(request_of(cell, gateway))))
        tokens = [heard.token.encode() for heard in server.seen if heard.token]
        for view in (*says.seen, *adds.seen):
            text = dumped(view).replace("header-canary", "", 1)
            assert_clean(text.encode(), b"key-of-alice", b"canary", *tokens)
        assert all(view.headers == {"x-user": "header-canary"} for view in says.seen)
        assert all(view.headers == {} for view in adds.seen)
    assert len(SENT_ALONG) > 10


# ---- P-03: transform, validate, policy, hash, mint --------------------------------------------------------------------


@pytest.mark.parametrize("era", list(Era))
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
async def test_p_03_replaced_arguments_are_what_is_sent_hashed_and_recorded(
    server: HostileServer, era: Era, method: str
) -> None:
    arguments = {"city": "Bod\u00f8", "n": 1.0, "deep": [{"a": None}]}
    async with built(server, hooks=[hook(Says(Replace(arguments)), "mask")]) as gateway:
        await read(await gateway.handler.handle(request_of((era, method), gateway)))
        (heard,) = server.seen
        assert heard.call["params"]["arguments"] == arguments
        bound = verified(heard, server.url)["authorization_details"][0]
        assert bound["arguments_digest"] == digest(arguments)
        intent = gateway.entries[0]
        assert (intent["hooks"], intent["rule"]) == (["mask"], "policy[0]")
        assert heard.call["params"]["name"] == intent["name"]
        assert "Oslo" not in heard.raw.decode()
    async with built(server) as plain:
        await read(await plain.handler.handle(request_of((era, method), plain)))
        assert plain.entries[0]["arguments"] != intent["arguments"]


async def test_p_03_mirrored_headers_are_made_of_the_replaced_arguments(server: HostileServer) -> None:
    """M-03: what routes by a header and what acts on the body see one city."""
    plain_answer = server.answer
    schema = {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}}}

    def answer(heard: Any, line: Any) -> None:
        if heard.call["method"] == "tools/list":
            line.send(whole(response(heard, {"tools": [{"name": "get_weather", "inputSchema": schema}]})))
        else:
            plain_answer(heard, line)

    server.answer = answer
    asked = modern("tools/call", {"name": "get_weather", "arguments": {"city": "Oslo"}}, (b"mcp-param-city", b"Oslo"))
    async with built(server, hooks=[hook(Says(Replace({"city": "Bergen"})), tools=["get_weather"])]) as gateway:
        await read(await gateway.handler.handle(asked))
        assert server.seen[-1].all("mcp-param-city") == [], "no list had named the tool, so nothing could be mirrored"
        await read(await gateway.handler.handle(modern("tools/list")))
        await read(await gateway.handler.handle(asked))
        assert server.seen[-1].all("mcp-param-city") == ["Bergen"]
        assert server.seen[-1].call["params"]["arguments"] == {"city": "Bergen"}


class _Second(Policy):
    """A policy that looks at arguments, as one with conditions would."""

    def decide(self, caller: Any, call: Any) -> Any:
        if (call.arguments or {}).get("force"):
            return Denial("policy_denied", "no force", "policy[7]")
        return super().decide(caller, call)


async def test_p_03_what_a_gate_makes_of_a_call_is_decided_about_again(server: HostileServer) -> None:
    policy = _Second((Rule("policy[0]", permits=True),), {})
    async with built(server, policy=policy, hooks=[hook(Says(Replace({"force": True})))]) as gateway:
        assert (await refused(gateway, modern())).reason.code == "policy_denied"
        assert gateway.entries[0]["rule"] == "policy[7]"
    async with built(server, policy=policy, hooks=[hook(Says(Replace({"force": False})))]) as gateway:
        await read(await gateway.handler.handle(modern()))
        assert server.calls == 1


async def test_p_03_arguments_that_a_caller_could_not_send_are_not_sent_for_it_either(server: HostileServer) -> None:
    for arguments in ({"n": 2**53 + 1}, {"n": float("nan")}, {"n": "\ud800"}):
        async with built(server, bind_arguments=False, hooks=[hook(Says(Replace(arguments)), "bad")]) as gateway:
            assert (await refused(gateway, modern())).reason.code == "hook_failed"


# ---- P-04 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims", [{"sub": "mallory"}, {"act": {"sub": "x"}}, {"azp": "x"}, {"cnf": {}}, {"SCOPE": "mcp:*"}]
)
async def test_p_04_no_source_decides_what_the_gateway_alone_decides(
    server: HostileServer, claims: dict[str, Any]
) -> None:
    async with built(server, hooks=[hook(Adds(Additions(claims)), "bad")]) as gateway:
        assert (await refused(gateway, modern())).reason.code == "hook_failed"
        assert gateway.entries[0]["rule"] == "hooks bad"
        assert "mallory" not in json.dumps(gateway.entries)


async def test_p_04_reserved_claims_equal_what_the_pipeline_put_there(server: HostileServer) -> None:
    source = Adds(Additions({"department": "R&D", "acts": {"sub": "x"}, "x.sub": "y"}))
    async with built(server) as gateway, built(server, hooks=[hook(source)]) as with_hooks:
        one = await gateway.pipeline.permit(ALICE, call())
        two = await with_hooks.pipeline.permit(ALICE, call())
        assert isinstance(one, Permit)
        assert isinstance(two, Permit)
        assert two.claims == {**one.claims, "department": "R&D", "acts": {"sub": "x"}, "x.sub": "y"}


@pytest.mark.parametrize("header", ["Authorization", "X-Call-Token"])
@pytest.mark.parametrize(
    "name", ["Authorization", "x-call-token", "X-Weather-Key", "Mcp-Method", "Content-Length", "Host"]
)
async def test_p_04_no_hook_takes_the_place_of_the_token_or_of_a_header_of_ours(
    server: HostileServer, header: str, name: str
) -> None:
    bad = hook(Says(Pass(((name, "evil"),))), "bad")
    static = (("X-Weather-Key", "own"),)
    async with built(server, header=header, static=static, hooks=[bad]) as gateway:
        if name == "x-call-token" and header == "Authorization":
            await read(await gateway.handler.handle(modern()))
            assert server.seen[0].all(name) == ["evil"], "nothing of ours is there"
        else:
            assert (await refused(gateway, modern())).reason.code == "hook_failed"
    async with built(server, header=header, static=static, hooks=[hook(Says(Pass((("X-Fine", "1"),))))]) as gateway:
        await read(await gateway.handler.handle(modern()))
        heard = server.seen[-1]
        assert heard.all("x-fine") == ["1"]
        assert heard.all("x-weather-key") == ["own"]
        verified(heard, server.url, header)


async def test_claims_that_make_the_token_too_large_are_told_as_that(server: HostileServer) -> None:
    source = Adds(Additions({f"c{number}": "x" * 900 for number in range(6)}))
    async with built(server, hooks=[hook(source)]) as gateway:
        assert (await refused(gateway, modern())).reason.code == "call_token_too_large"


# ---- P-01 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", BAD.values(), ids=BAD.keys())
async def test_p_01_whatever_a_hook_does_the_call_is_refused_and_the_next_one_is_not(
    server: HostileServer, act: Callable[[Any], Any]
) -> None:
    async with built(
        server, hooks=[hook(Acts(act), "bad", seconds=SOON, servers=["weather"], tools=["bad"])]
    ) as gateway:
        error = await refused(gateway, modern(params={"name": "bad", "arguments": {"deep": {"list": [1]}}}))
        assert (error.reason.code, error.rule) == ("hook_failed", "hooks bad")
        assert error.message == "a hook of the gateway failed, so the call is not made"
        await read(await gateway.handler.handle(modern()))
        assert server.calls == 1
        assert gateway.pipeline.admission._calls == {}


async def test_a_caller_who_leaves_while_a_hook_is_asked_leaves_a_refusal(server: HostileServer) -> None:
    begun = asyncio.Event()

    async def waits(view: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with built(server, hooks=[hook(Acts(waits))]) as gateway:
        running = asyncio.ensure_future(gateway.handler.handle(modern()))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [(entry["event"], entry["reason"]) for entry in gateway.entries] == [("refusal", "caller_left")]
        assert server.calls == 0


async def test_h_06_a_header_that_a_hook_sees_is_sent_once_or_the_call_is_refused(server: HostileServer) -> None:
    async with built(server, hooks=[hook(Says(), headers=["x-tenant"])]) as gateway:
        twice = modern("tools/call", None, (b"x-tenant", b"a"), (b"x-tenant", b"b"))
        with pytest.raises(BadCall) as told:
            await gateway.handler.handle(twice)
        assert told.value.reason.code == "bad_header"
        await read(await gateway.handler.handle(modern("tools/call", None, (b"x-tenant", b"a"))))
        assert server.calls == 1


async def test_without_hooks_there_is_nothing_to_ask(server: HostileServer) -> None:
    async with built(server) as gateway:
        assert gateway.pipeline.hooks is None


# ---- observers --------------------------------------------------------------------------------------------------------


async def test_an_observer_is_told_of_what_was_decided_and_how_it_ended(server: HostileServer) -> None:
    seen: list[Event] = []
    only = Policy((Rule("policy[0]", permits=True, tools=Patterns.of(["get_*"])),), {})
    async with built(server, policy=only, observe=seen.append) as gateway:
        await read(await gateway.handler.handle(modern()))
        for inbound, reason in (
            (modern(params={"name": "delete_all"}), "policy_denied"),
            (modern(key=b"made-up"), "credential_invalid"),
            (posted(b"{", key=b"key-of-alice"), "parse_error"),
        ):
            assert (await refused(gateway, inbound)).reason.code == reason
        told = [(one.verdict, one.rule, one.reason, one.outcome, one.status, one.method, one.name) for one in seen]
        assert told == [
            ("permitted", "policy[0]", None, "answered", 200, "tools/call", "get_weather"),
            ("refused", "default", "policy_denied", None, 403, "tools/call", "delete_all"),
            ("refused", None, "credential_invalid", None, 401, None, None),
            ("refused", None, "parse_error", None, 400, None, None),
        ]
        assert [one.record for one in seen] == list(dict.fromkeys(entry["record"] for entry in gateway.entries))
        assert [one.caller and one.caller.subject for one in seen] == ["alice", "alice", None, "alice"]
        assert all(one.server == "weather" and one.seconds >= 0 for one in seen)


async def test_an_observer_is_told_of_a_stream_once_it_has_ended(server: HostileServer) -> None:
    server.answer = lambda heard, line: line.send(chunked(event(response(heard)), end=True))
    seen: list[Event] = []
    async with built(server, observe=seen.append) as gateway:
        reply = await gateway.handler.handle(modern())
        assert seen == []
        await read(reply)
        assert [(one.verdict, one.outcome, one.status) for one in seen] == [("permitted", "answered", 200)]


async def test_an_observer_is_told_of_a_server_that_failed_and_of_a_caller_who_left(server: HostileServer) -> None:
    seen: list[Event] = []
    server.answer = lambda heard, line: line.send(whole(b"not JSON"))
    async with built(server, observe=seen.append) as gateway:
        with pytest.raises(CallError):
            await gateway.handler.handle(modern())
        server.answer = lambda heard, line: line.send(chunked(event(b'{"jsonrpc":"2.0","method":"x"}'), end=False))
        reply = await gateway.handler.handle(modern())
        assert not isinstance(reply.body, bytes)
        await reply.body.aclose()
        told = [(one.verdict, one.outcome, one.reason, one.status) for one in seen]
        assert told == [
            ("permitted", "failed", "server_answer_invalid", 502),
            ("permitted", "aborted", "caller_left", 200),
        ]


async def test_u_01_an_observer_is_told_of_a_call_that_could_not_be_recorded(server: HostileServer) -> None:
    seen: list[Event] = []
    async with built(server, policy=DENY_ALL, observe=seen.append) as gateway:
        gateway.sink.problem = "the disk is full"
        with pytest.raises(CannotTell):
            await gateway.handler.handle(modern())
        assert [(one.verdict, one.reason, one.status) for one in seen] == [("refused", "audit_unavailable", 503)]


async def test_a_caller_who_left_before_the_decision_is_told_as_refused(server: HostileServer) -> None:
    seen: list[Event] = []
    begun = asyncio.Event()

    async def waits(view: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with built(server, hooks=[hook(Acts(waits))], observe=seen.append) as gateway:
        running = asyncio.ensure_future(gateway.handler.handle(modern()))
        await begun.wait()
        running.cancel()
        assert await until(running.done)
        assert [(one.verdict, one.reason, one.outcome) for one in seen] == [("refused", "caller_left", None)]


async def test_s12_an_event_holds_no_credential(server: HostileServer) -> None:
    seen: list[Event] = []
    async with built(server, observe=seen.append) as gateway:
        for cell in CELLS:
            await read(await gateway.handler.handle(with_more(request_of(cell, gateway))))
        for inbound in (modern(key=b"credential-canary"), legacy(key=b"csk_canary")):
            await refused(gateway, with_more(inbound))
        tokens = [heard.token.encode() for heard in server.seen if heard.token]
        for one in seen:
            assert_clean(dumped(one).encode(), b"key-of-alice", b"canary", *tokens)
        assert len(seen) == len(CELLS) + 2
