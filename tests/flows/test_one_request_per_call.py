"""One call of the caller is one request at the server: no handshake, no listing beforehand, no second try."""

from __future__ import annotations

import asyncio

import pytest

from tests.flows.conftest import Countersigned
from tests.support.calls import modern, post, tool_call

CALLS = [
    tool_call("echo", {"message": "once"}),
    modern("tools/list"),
    modern("resources/read", {"uri": "test://static-text"}),
    modern("prompts/get", {"name": "test_simple_prompt"}),
    modern("server/discover"),
]


@pytest.mark.party("python-client")
@pytest.mark.parametrize("call", CALLS, ids=[call["method"] for call in CALLS])
async def test_a_modern_call_makes_exactly_one_request_at_the_server(
    countersigned: Countersigned, call: dict[str, object]
) -> None:
    before = len(await asyncio.to_thread(countersigned.server.seen))
    status, body = await post(countersigned.address, call, countersigned.key.headers)
    assert (status, "result" in body) == (200, True), body
    made = (await asyncio.to_thread(countersigned.server.seen))[before:]
    assert [(entry["http"], entry["method"], entry["token"] is not None, entry["status"]) for entry in made] == [
        ("POST", call["method"], True, 200)
    ]


@pytest.mark.party("python-client")
async def test_whatever_one_caller_sends_the_calls_of_others_stay_in_their_era(countersigned: Countersigned) -> None:
    broken = modern("server/discover")
    broken["params"]["_meta"]["progressToken"] = {}
    for _ in range(2):
        status, body = await post(countersigned.address, broken, countersigned.key.headers)
        assert (status, body["error"]["code"]) == (400, -32602)
    before = len(await asyncio.to_thread(countersigned.server.seen))
    status, _ = await post(countersigned.address, tool_call("echo", {"message": "mine"}), countersigned.key.headers)
    made = (await asyncio.to_thread(countersigned.server.seen))[before:]
    assert (status, [entry["method"] for entry in made]) == (200, ["tools/call"])


@pytest.mark.party("python-client")
async def test_without_a_call_token_the_server_behind_the_gateway_refuses(countersigned: Countersigned) -> None:
    call = tool_call("echo", {"message": "straight"})
    status, _ = await post(countersigned.address, call, countersigned.key.headers)
    assert status == 200
    status, _ = await post(countersigned.server.url, call, {})
    assert status == 401
