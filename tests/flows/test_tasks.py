"""The Tasks extension through the gateway, to the official SDK's server, which takes nothing that is not countersigned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.conftest import Countersigned
from tests.support.calls import modern, post, refusal, tool_call
from tests.support.gateway import Gateway, Key
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("python-client")]

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
FOLLOWS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Countersigned]:
    gateway_port, server_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{server_port}/mcp", f"http://127.0.0.1:{gateway_port}"
    with (
        ServerProcess("tasks", server_port, "--issuer", issuer, "--audience", url) as server,
        Gateway(tmp_path_factory.mktemp("tasks"), {"everything": {"url": url}}, port=gateway_port) as gateway,
    ):
        yield Countersigned(gateway, server, gateway.create_key("alice"))


def following(call: dict[str, Any]) -> dict[str, Any]:
    """The request of a client that follows tasks."""
    call["params"]["_meta"][CAPABILITIES] = FOLLOWS
    return call


async def asked(tasks: Countersigned, method: str, task: str, key: Key | None = None) -> dict[str, Any]:
    call = following(modern(method, {"taskId": task}))
    status, body = await post(tasks.address, call, {**(key or tasks.key).headers, "Mcp-Name": task})
    assert status == 200, body
    result: dict[str, Any] = body["result"]
    return result


async def begun(tasks: Countersigned) -> str:
    status, body = await post(tasks.address, following(tool_call("slow")), tasks.key.headers)
    assert (status, body["result"]["resultType"]) == (200, "task"), body
    task: str = body["result"]["taskId"]
    return task


async def test_a_task_is_followed_to_its_end_with_a_token_for_each_request(tasks: Countersigned) -> None:
    task = await begun(tasks)
    assert "task-" not in task
    assert (await asked(tasks, "tasks/get", task))["status"] == "working"
    await asked(tasks, "tasks/update", task)
    done = await asked(tasks, "tasks/get", task)
    assert (done["taskId"], done["status"]) == (task, "completed")
    assert "is done" in done["result"]["content"][0]["text"]
    other = await begun(tasks)
    await asked(tasks, "tasks/cancel", other)
    assert (await asked(tasks, "tasks/get", other))["status"] == "cancelled"
    seen = await asyncio.to_thread(tasks.server.seen)
    assert all(entry["token"] and entry["status"] == 200 for entry in seen)


async def test_m_23_a_task_of_another_caller_is_unknown_to_him_and_the_server_hears_nothing(
    tasks: Countersigned,
) -> None:
    task = await begun(tasks)
    bob = await asyncio.to_thread(tasks.gateway.create_key, "bob")
    before = len(await asyncio.to_thread(tasks.server.seen))
    for text, key in ((task, bob), ("task-1", tasks.key), ("task-1", bob)):
        call = following(modern("tasks/get", {"taskId": text}))
        refused = await refusal(tasks.address, call, {**key.headers, "Mcp-Name": text})
        assert refused == (400, "invalid_params", "there is no such task for this caller")
    undeclared = modern("tasks/get", {"taskId": task})
    status, body = await post(tasks.address, undeclared, {**tasks.key.headers, "Mcp-Name": task})
    assert (status, body["error"]["code"]) == (400, -32021)
    assert body["error"]["data"]["requiredCapabilities"] == FOLLOWS
    assert len(await asyncio.to_thread(tasks.server.seen)) == before
    assert (await asked(tasks, "tasks/get", task))["status"] == "working"


async def test_a_task_that_the_caller_did_not_say_he_follows_is_no_answer(tasks: Countersigned) -> None:
    """This server makes one all the same."""
    status, reason, _ = await refusal(tasks.address, tool_call("slow"), tasks.key.headers)
    assert (status, reason) == (502, "server_answer_invalid")
