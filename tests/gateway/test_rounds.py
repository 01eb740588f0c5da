"""Calls of more than one round through the whole gateway: one transaction, another token for each, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from counterseal.core.patterns import Patterns
from counterseal.core.policy import Policy, Rule
from counterseal.errors import BadCall, CallError
from tests.gateway.building import ALICE, FOLLOWS_TASKS, META, built, modern, posted, task, verified
from tests.servers.permits import read
from tests.support.hostile import Heard, HostileServer, Line, chunked, event, response, whole

ABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, **FOLLOWS_TASKS}}
ASKS = {"one": {"method": "elicitation/create", "params": {"message": "sure?"}}}


def asking(heard: Heard, line: Line) -> None:
    """A server that asks twice, and wants its own state back."""
    params = heard.call["params"]
    if heard.call["method"] != "tools/call" or params.get("requestState") == "round-2":
        line.send(whole(response(heard)))
    else:
        state = "round-2" if params.get("requestState") == "round-1" else "round-1"
        result = {"resultType": "input_required", "inputRequests": ASKS, "requestState": state}
        line.send(whole(response(heard, result)))


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(asking) as running:
        yield running


def a_call(
    state: str | None = None, *, name: str = "get_weather", city: str = "Oslo", key: bytes = b"key-of-alice"
) -> Any:
    params: dict[str, Any] = {"name": name, "arguments": {"city": city}, "_meta": ABLE}
    if state is not None:
        params |= {"requestState": state, "inputResponses": {"one": {"action": "accept"}}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = (
        (b"mcp-protocol-version", b"2026-07-28"),
        (b"mcp-method", b"tools/call"),
        (b"mcp-name", name.encode()),
    )
    return posted(message, *headers, key=key)


async def test_every_round_of_a_call_is_one_transaction_with_a_token_of_its_own(server: HostileServer) -> None:
    async with built(server) as gateway:

        async def round_of(state: str | None) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(await read(await gateway.handler.handle(a_call(state))))["result"]
            return found

        first = await round_of(None)
        second = await round_of(first["requestState"])
        third = await round_of(second["requestState"])
        assert [one["resultType"] for one in (first, second, third)] == ["input_required", "input_required", "complete"]
        tokens = [verified(heard, server.url) for heard in server.seen]
        assert len({token["txn"] for token in tokens}) == 1
        assert len({token["jti"] for token in tokens}) == 3
        assert [heard.call["params"].get("requestState") for heard in server.seen] == [None, "round-1", "round-2"]
        assert "requestState" in server.seen[1].call["params"]
        assert first["requestState"] != "round-1"
        await round_of(None)
        assert verified(server.seen[-1], server.url)["txn"] != tokens[0]["txn"]


async def test_m_22_a_state_of_another_call_or_caller_reaches_no_server(server: HostileServer) -> None:
    async with built(server) as gateway:
        first = json.loads(await read(await gateway.handler.handle(a_call())))["result"]["requestState"]
        before = server.calls
        for wrong in (
            a_call(first, city="Rome"),
            a_call(first, name="delete_all"),
            a_call(first, key=b"key-of-bob"),
            a_call("round-1"),
            a_call(first[:-1] + "9"),
            a_call(first.partition(".")[0]),
            a_call(first.partition(".")[2]),
        ):
            with pytest.raises(BadCall) as refused:
                await gateway.handler.handle(wrong)
            assert refused.value.reason.code == "invalid_params"
        assert server.calls == before
        await read(await gateway.handler.handle(a_call(first)))
        assert server.calls == before + 1


async def test_a_question_that_the_caller_did_not_declare_does_not_reach_him(server: HostileServer) -> None:
    async with built(server) as gateway:
        with pytest.raises(CallError) as refused:
            await gateway.handler.handle(modern("tools/call"))
        assert refused.value.reason.code == "server_answer_invalid"


# ---- tasks ------------------------------------------------------------------------------------------------------------


def of_a_task(method: str, text: str, *, key: bytes = b"key-of-alice", able: bool = True) -> Any:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": FOLLOWS_TASKS if able else {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"taskId": text, "_meta": meta}}
    headers = (
        (b"mcp-protocol-version", b"2026-07-28"),
        (b"mcp-method", method.encode()),
        (b"mcp-name", text.encode()),
    )
    return posted(message, *headers, key=key)


def making(heard: Heard, line: Line) -> None:
    """A server that makes tasks."""
    params = heard.call["params"]
    result: dict[str, Any] = {"resultType": "complete"}
    if heard.call["method"] == "tools/call":
        result = {"resultType": "task", "taskId": "t-7", "status": "working"}
    elif heard.call["method"] == "tasks/get":
        result |= {"taskId": params["taskId"], "status": "completed", "result": {"content": []}}
    if heard.call["method"] == "subscriptions/listen":
        about = {"_meta": {"io.modelcontextprotocol/subscriptionId": heard.call["id"]}}
        wanted = params["notifications"]
        acknowledged = {
            "method": "notifications/subscriptions/acknowledged",
            "params": {"notifications": wanted, **about},
        }
        changed = {
            "method": "notifications/tasks",
            "params": {"taskId": wanted["taskIds"][0], "status": "working", **about},
        }
        said = [{"jsonrpc": "2.0", **one} for one in (acknowledged, changed)]
        line.send(chunked(*map(event, said), event(response(heard, {"resultType": "complete", **about}))))
    else:
        line.send(whole(response(heard, result)))


async def made(gateway: Any) -> str:
    """A caller's own task."""
    text: str = json.loads(await read(await gateway.handler.handle(a_call())))["result"]["taskId"]
    return text


async def test_a_task_is_followed_by_whoever_made_it(server: HostileServer) -> None:
    server.answer = making
    async with built(server) as gateway:
        text = await made(gateway)
        assert "t-7" not in text
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            answer = json.loads(await read(await gateway.handler.handle(of_a_task(method, text))))
            assert answer["result"].get("taskId", text) == text
            heard = server.seen[-1]
            assert (heard.call["method"], heard.call["params"]["taskId"]) == (method, "t-7")
            assert heard.all("mcp-name") == ["t-7"]
            bound = verified(heard, server.url)["authorization_details"][0]
            assert (bound["actions"], bound["identifier"]) == ([method], "t-7")


async def test_m_23_a_task_of_another_is_unknown_and_the_server_sees_no_call(server: HostileServer) -> None:
    server.answer = making
    async with built(server) as gateway:
        text = await made(gateway)
        before = server.calls
        wrong = (
            of_a_task("tasks/get", text, key=b"key-of-bob"),
            of_a_task("tasks/get", "t-7"),
            of_a_task("tasks/cancel", text[:-2]),
            of_a_task("tasks/get", task(server="notes")),
        )
        messages = set()
        for inbound in wrong:
            with pytest.raises(BadCall) as refused:
                await gateway.handler.handle(inbound)
            messages.add((refused.value.reason.code, refused.value.message))
        assert messages == {("invalid_params", "there is no such task for this caller")}
        with pytest.raises(BadCall) as refused:
            await gateway.handler.handle(of_a_task("tasks/get", text, able=False))
        assert (refused.value.reason.rpc, refused.value.reason.code) == (-32021, "capability_missing")
        assert server.calls == before
        await gateway.handler.handle(of_a_task("tasks/get", text))
        assert server.calls == before + 1


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel", "subscriptions/listen"])
async def test_m_23_what_policy_says_of_a_tool_it_says_of_its_tasks(server: HostileServer, method: str) -> None:
    server.answer = making

    def asked(tool: str) -> Any:
        text = task(caller=ALICE, tool=tool)
        if method != "subscriptions/listen":
            return of_a_task(method, text)
        meta = {**META, "io.modelcontextprotocol/clientCapabilities": FOLLOWS_TASKS}
        params = {"notifications": {"taskIds": [task(), text]}, "_meta": meta}
        headers = ((b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", method.encode()))
        return posted({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, *headers)

    policy = Policy((Rule("some", permits=True, tools=Patterns.of(["get_*"])),), {})
    async with built(server, policy=policy) as gateway:
        with pytest.raises(BadCall) as refused:
            await gateway.handler.handle(asked("delete_all"))
        assert refused.value.reason.code == "policy_denied"
        assert server.calls == 0
        await read(await gateway.handler.handle(asked("get_weather")))
        assert server.calls == 1


async def test_who_listens_to_a_task_hears_of_it_by_his_own_id(server: HostileServer) -> None:
    server.answer = making
    async with built(server) as gateway:
        text = await made(gateway)
        meta = {**META, "io.modelcontextprotocol/clientCapabilities": FOLLOWS_TASKS}
        params = {"notifications": {"taskIds": [text]}, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": params}
        headers = ((b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", b"subscriptions/listen"))
        body = await read(await gateway.handler.handle(posted(message, *headers)))
        acknowledged, changed, end = [json.loads(one.removeprefix(b"data: ")) for one in body.split(b"\n\n")[:-1]]
        assert acknowledged["params"]["notifications"] == {"taskIds": [text]}
        assert (changed["params"]["taskId"], end["id"]) == (text, 9)
        assert server.seen[-1].call["params"]["notifications"] == {"taskIds": ["t-7"]}
        assert b"t-7" not in body


async def test_a_task_and_a_state_are_good_at_the_address_of_all_servers_too(server: HostileServer) -> None:
    async with built(server) as gateway:

        def at_all(method: str, name: str, params: dict[str, Any]) -> Any:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ABLE}}
            headers = (
                (b"mcp-protocol-version", b"2026-07-28"),
                (b"mcp-method", method.encode()),
                (b"mcp-name", name.encode()),
            )
            return posted(message, *headers, server="")

        async def result(inbound: Any) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(await read(await gateway.handler.handle(inbound)))["result"]
            return found

        params = {"name": "weather__get_weather", "arguments": {"city": "Oslo"}}
        state = (await result(at_all("tools/call", params["name"], params)))["requestState"]
        again = await result(at_all("tools/call", params["name"], {**params, "requestState": state}))
        assert server.seen[-1].call["params"]["requestState"] == "round-1"
        assert again["resultType"] == "input_required"
        server.answer = making
        text = (await result(at_all("tools/call", params["name"], params)))["taskId"]
        told = await result(at_all("tasks/get", text, {"taskId": text}))
        assert (told["taskId"], server.seen[-1].call["params"]["taskId"]) == (text, "t-7")
        for unknown in ("t-7", "nowhere__t-7", "weather__t-7"):
            with pytest.raises(BadCall) as refused:
                await gateway.handler.handle(at_all("tasks/get", unknown, {"taskId": unknown}))
            assert refused.value.message == "there is no such task for this caller"


async def test_at_the_address_of_all_servers_a_task_is_listened_to_at_its_own(server: HostileServer) -> None:
    server.answer = making

    def listening(*tasks: str) -> Any:
        meta = {**META, "io.modelcontextprotocol/clientCapabilities": FOLLOWS_TASKS}
        params = {"notifications": {"taskIds": list(tasks)}, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": params}
        headers = ((b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", b"subscriptions/listen"))
        return posted(message, *headers, server="")

    async with built(server) as gateway:
        text = await made(gateway)
        body = await read(await gateway.handler.handle(listening(text)))
        acknowledged, changed, end = [json.loads(one.removeprefix(b"data: ")) for one in body.split(b"\n\n")[:-1]]
        assert acknowledged["params"]["notifications"] == {"taskIds": [text]}
        assert (changed["params"]["taskId"], end["id"]) == (text, 9)
        assert server.seen[-1].call["params"]["notifications"] == {"taskIds": ["t-7"]}
        assert b"t-7" not in body
        for unknown in ("t-7", "nowhere__t-7"):
            with pytest.raises(BadCall, match="no such task"):
                await gateway.handler.handle(listening(unknown))
