"""The official Python client (`mcp` 2.x) in both eras, through the gateway, to the official server that verifies every token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent, TextResourceContents

from tests.flows.conftest import Countersigned
from tests.support.calls import REVISION, refusal, tool_call

pytestmark = [pytest.mark.party("python-client"), pytest.mark.parametrize("mode", [REVISION, "legacy"])]


@asynccontextmanager
async def visiting(address: str, secret: str, mode: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {secret}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as client,
    ):
        yield client


def innermost(error: BaseException) -> BaseException:
    """What went wrong, out of the groups that task groups wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def test_the_client_lists_calls_and_reads_through_the_gateway(countersigned: Countersigned, mode: str) -> None:
    async with visiting(countersigned.address, countersigned.key.secret, mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        called = (await client.call_tool("echo", {"message": "from Python"})).content[0]
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        prompt = (await client.get_prompt("test_simple_prompt")).messages[0].content
        resources = [str(resource.uri) for resource in (await client.list_resources()).resources]
        resource = (await client.read_resource("test://static-text")).contents[0]
    assert "echo" in tools
    assert "forbidden" not in tools  # what the policy denies is not shown either
    assert isinstance(called, TextContent)
    assert called.text == "from Python"
    assert "test_simple_prompt" in prompts
    assert isinstance(prompt, TextContent)
    assert prompt.text == "This is a simple prompt for testing."
    assert "test://static-text" in resources
    assert isinstance(resource, TextResourceContents)
    assert resource.text == "This is the content of the static text resource."


async def test_a_denied_call_tells_the_program_why_and_never_reaches_the_server(
    countersigned: Countersigned, mode: str
) -> None:
    call = tool_call("forbidden", {"message": "x"})
    status, reason, text = await refusal(countersigned.address, call, countersigned.key.headers)
    assert (status, reason) == (403, "policy_denied")
    async with visiting(countersigned.address, countersigned.key.secret, mode) as client:
        await client.call_tool("echo", {"message": "the accepted twin"})
        with pytest.raises(MCPError) as caught:
            await client.call_tool("forbidden", {"message": "x"})
        # The session outlives a refusal.
        await client.call_tool("echo", {"message": "afterwards"})
    assert text in str(caught.value)
    seen = await asyncio.to_thread(countersigned.server.seen)
    assert "echo" in [entry["name"] for entry in seen]
    assert "forbidden" not in [entry["name"] for entry in seen]


async def test_a_wrong_key_tells_the_program_why_and_never_reaches_the_server(
    countersigned: Countersigned, mode: str
) -> None:
    wrong = countersigned.key.secret[:-1] + ("a" if countersigned.key.secret[-1] != "a" else "b")
    call = tool_call("echo", {"message": "x"})
    status, reason, text = await refusal(countersigned.address, call, {"Authorization": f"Bearer {wrong}"})
    assert (status, reason) == (401, "credential_invalid")
    before = len(await asyncio.to_thread(countersigned.server.seen))
    with pytest.raises((MCPError, BaseExceptionGroup)) as caught:
        async with visiting(countersigned.address, wrong, mode) as client:
            await client.call_tool("echo", {"message": "x"})
    assert text in str(innermost(caught.value))
    assert len(await asyncio.to_thread(countersigned.server.seen)) == before
