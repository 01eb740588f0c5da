"""Batches: taken in sessions of the one revision that has them, and each message a call of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from counterseal.core.call import Inbound
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from counterseal.errors import CallError
from tests.contracts.http import until
from tests.gateway.building import BOB, Built, built, posted, verified
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, chunked, event, response

OLD = "2025-03-26"


def tool(name: str, id: Any = 1, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


NOTIFICATION = {"jsonrpc": "2.0", "method": "notifications/initialized"}
REPLY = {"jsonrpc": "2.0", "id": "q", "result": {}}


def batch(gateway: Built, messages: Any, revision: str = OLD, **changes: Any) -> Inbound:
    return posted(messages, (b"mcp-session-id", gateway.sealed(revision=revision)), **changes)


async def answers(gateway: Built, inbound: Inbound) -> list[dict[str, Any]]:
    reply = await gateway.handler.handle(inbound)
    assert dict(reply.headers)[b"content-type"] == b"text/event-stream"
    events = (await read(reply)).decode().split("\n\n")[:-1]
    return [json.loads(each.removeprefix("data: ")) for each in events]


async def refused(gateway: Built, inbound: Inbound) -> str:
    with pytest.raises(CallError) as told:
        await gateway.handler.handle(inbound)
    assert gateway.server.calls == 0, "the server was called"
    assert gateway.events() == ["refusal"]
    assert gateway.entries[0]["record"] == told.value.record
    gateway.entries.clear()
    return told.value.reason.code


async def test_each_message_of_a_batch_has_a_token_and_a_record_of_its_own(server: HostileServer) -> None:
    async with built(server) as gateway:
        told = await answers(gateway, batch(gateway, [tool("a", 1, n=1), tool("b", "x"), tool("a", 3, n=2)]))
        assert [each["id"] for each in told] == [1, "x", 3]
        assert all("result" in each for each in told)
        assert [heard.call["params"]["name"] for heard in server.seen] == ["a", "b", "a"]
        claims = [verified(heard, server.url) for heard in server.seen]
        assert [each["scope"] for each in claims] == ["mcp:tools/call:a", "mcp:tools/call:b", "mcp:tools/call:a"]
        assert len({each["jti"] for each in claims}) == 3
        assert len({each["authorization_details"][0]["arguments_digest"] for each in claims}) == 3
        assert gateway.events() == ["intent", "outcome"] * 3
        assert all(isinstance(heard.call, dict) for heard in server.seen)


async def test_a_denied_message_is_not_made_and_its_neighbours_are(server: HostileServer) -> None:
    only = Policy((Rule("policy[0]", permits=True, tools=Patterns.of(["get_*"])),), {})
    async with built(server, policy=only) as gateway:
        told = await answers(gateway, batch(gateway, [tool("get_a", 1), tool("delete_b", 2), tool("get_c", 3)]))
        assert [("result" in each, each["id"]) for each in told] == [(True, 1), (False, 2), (True, 3)]
        assert told[1]["error"]["data"]["reason"] == "policy_denied"
        assert told[1]["error"]["data"]["record"] == gateway.entries[2]["record"]
        assert [heard.call["params"]["name"] for heard in server.seen] == ["get_a", "get_c"]


async def test_a_batch_without_requests_is_202(server: HostileServer) -> None:
    async with built(server) as gateway:
        reply = await gateway.handler.handle(batch(gateway, [NOTIFICATION, REPLY, NOTIFICATION]))
        assert (reply.status, reply.body) == (202, b"")
        assert [heard.call.get("method") for heard in server.seen] == [
            "notifications/initialized",
            None,
            "notifications/initialized",
        ]
        assert all(verified(heard, server.url) for heard in server.seen)


async def test_a_refused_notification_is_recorded_and_not_answered(server: HostileServer) -> None:
    async with built(server) as gateway:
        wrong = {"jsonrpc": "2.0", "method": "notifications/no-such"}
        told = await answers(gateway, batch(gateway, [wrong, tool("a", 5)]))
        assert [each["id"] for each in told] == [5]
        assert gateway.events() == ["refusal", "intent", "outcome"]


async def test_equal_ids_get_their_own_answers(server: HostileServer) -> None:
    """M-07."""

    def answer(heard: Heard, line: Line) -> None:
        text = heard.call["params"]["name"]
        line.send(chunked(event(response(heard, {"content": [text]}))))

    server.answer = answer
    async with built(server) as gateway:
        told = await answers(gateway, batch(gateway, [tool(name) for name in "abc"]))
        assert [each["result"]["content"] for each in told] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
async def test_m_05_a_batch_in_a_later_revision_is_refused_whole(server: HostileServer, revision: str) -> None:
    async with built(server) as gateway:
        assert await refused(gateway, batch(gateway, [tool("a")], revision)) == "batch_not_allowed"
        assert len(await answers(gateway, batch(gateway, [tool("a")]))) == 1


async def test_m_05_a_batch_without_a_session_is_refused_whole(server: HostileServer) -> None:
    async with built(server) as gateway:
        assert await refused(gateway, posted([tool("a")])) == "batch_not_allowed"
        assert (
            await refused(gateway, posted([tool("a")], (b"mcp-protocol-version", OLD.encode()))) == "batch_not_allowed"
        )
        modern = posted([tool("a")], (b"mcp-protocol-version", b"2026-07-28"))
        assert await refused(gateway, modern) == "batch_not_allowed"


async def test_m_05_a_batch_in_another_callers_session_is_404(server: HostileServer) -> None:
    async with built(server) as gateway:
        stolen = posted([tool("a")], (b"mcp-session-id", gateway.sealed(BOB, OLD)))
        assert await refused(gateway, stolen) == "session_unknown"


@pytest.mark.parametrize("key", [None, b"made-up"])
async def test_a_batch_needs_a_credential(server: HostileServer, key: bytes | None) -> None:
    async with built(server) as gateway:
        assert (await refused(gateway, batch(gateway, [tool("a")], key=key))).startswith("credential_")


BAD = {
    "empty": ([], "batch_not_allowed"),
    "nested": ([[tool("a")]], "batch_not_allowed"),
    "a number": ([1], "invalid_request"),
    "null": ([None], "invalid_request"),
    "one bad": ([tool("a"), {"jsonrpc": "1.0", "id": 1, "method": "tools/call"}], "invalid_request"),
    "unknown member": ([tool("a"), {**tool("b"), "Method": "x"}], "invalid_request"),
    "initialize": (
        [tool("a"), {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}],
        "batch_not_allowed",
    ),
    "two texts": (b"[] []", "parse_error"),
    "NDJSON": (b"[]\n{}", "parse_error"),
    "cut": (b"[{}", "parse_error"),
    "comma": (b"[1,]", "parse_error"),
    "BOM": (b"\xef\xbb\xbf[]", "parse_error"),
    "duplicate": (b'[{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}]', "parse_error"),
    "deep": (b"[" * 65 + b"]" * 65, "too_large"),
    "wide": (b"[" + b"1," * 100_000 + b"1]", "too_large"),
}


@pytest.mark.parametrize(("messages", "reason"), BAD.values(), ids=BAD.keys())
async def test_m_05_a_batch_with_anything_wrong_in_it_is_refused_whole(
    server: HostileServer, messages: Any, reason: str
) -> None:
    async with built(server) as gateway:
        assert await refused(gateway, batch(gateway, messages)) == reason


async def test_a_batch_may_be_so_long_and_no_longer(server: HostileServer) -> None:
    async with built(server) as gateway:
        most = [tool("a", number) for number in range(LIMITS.batch_messages)]
        assert await refused(gateway, batch(gateway, [*most, tool("a", 99)])) == "batch_not_allowed"
        assert len(await answers(gateway, batch(gateway, most))) == LIMITS.batch_messages


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"content-type", b"text/plain", 415),
        (b"content-type", b"application/json; charset=utf-16", 415),
        (b"accept", b"application/json", 406),
        (b"content-encoding", b"gzip", 415),
    ],
)
async def test_m_12_a_batch_is_json_and_takes_both_kinds_of_answer_like_any_request(
    server: HostileServer, name: bytes, value: bytes, status: int
) -> None:
    async with built(server) as gateway:
        good = batch(gateway, [tool("a")])
        headers = (*(pair for pair in good.headers if pair[0] != name), (name, value))
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(msgspec.structs.replace(good, headers=headers, _by_name=None))
        assert told.value.reason.status == status
        assert server.calls == 0


async def test_m_29_a_caller_who_leaves_ends_the_call_in_hand_and_the_rest_is_not_made(server: HostileServer) -> None:
    gone: list[bool] = []
    server.answer = lambda heard, line: gone.append(line.gone(60))
    async with built(server) as gateway:
        reply = await gateway.handler.handle(batch(gateway, [tool("a", 1), tool("b", 2)]))
        reading = asyncio.ensure_future(read(reply))
        assert await until(lambda: server.calls == 1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert await until(lambda: gone == [True])
        assert server.calls == 1
        assert [entry.get("outcome") for entry in gateway.entries] == [None, "aborted"]
