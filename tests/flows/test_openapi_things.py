"""A FastAPI application of 120 operations behind `counterseal serve`: the official client lists and calls them in both eras,
and each request arrives with a call token that is good for it."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tests.support.calls import REVISION, post, refusal, tool_call
from tests.support.gateway import Gateway, Key
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [
    pytest.mark.party("python-client"),
    pytest.mark.party("fastapi"),
    pytest.mark.parametrize("mode", [REVISION, "legacy"]),
]


@dataclass(frozen=True, slots=True)
class Things:
    gateway: Gateway
    server: ServerProcess
    base: str
    key: Key


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    folder = tmp_path_factory.mktemp("things")
    gateway_port, server_port = free_port(), free_port()
    base = f"http://127.0.0.1:{server_port}"
    told = [
        "--issuer",
        f"http://127.0.0.1:{gateway_port}",
        "--audience",
        base,
        "--document",
        str(folder / "openapi.json"),
    ]
    entry = {"transport": "openapi", "url": base, "spec": "openapi.json"}
    policy = [{"deny": {"tools": ["remove_*"], "callers": {"team": "readers"}}}, {"permit": {"servers": ["things"]}}]
    with (
        ServerProcess("things", server_port, *told) as server,
        Gateway(folder, {"things": entry}, port=gateway_port, policy=policy) as gateway,
    ):
        yield Things(gateway, server, base, gateway.create_key("alice", "--team", "data"))


@asynccontextmanager
async def visiting(things: Things, mode: str, key: Key | None = None) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=(key or things.key).headers, timeout=60) as http,
        Client(streamable_http_client(things.gateway.at("things"), http_client=http), mode=mode) as client,
    ):
        yield client


async def tools(client: Client) -> list[str]:
    """The names of all tools, page by page."""
    page = await client.list_tools()
    names = [tool.name for tool in page.tools]
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        names += [tool.name for tool in page.tools]
    return names


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_the_client_lists_every_operation_and_uses_them(things: Things, mode: str) -> None:
    async with visiting(things, mode) as client:
        names = await tools(client)
        assert len(names) == len(set(names)) == 120
        thing = {"name": "Ann", "tags": ["a b", "c&d"], "part": {"label": "one", "parts": [{"label": "two"}]}}
        made = await client.call_tool("create_customers", {"body": thing, "idempotency-key": "k-1"})
        assert not made.is_error, text(made)
        assert made.structured_content is not None
        id = made.structured_content["id"]
        got = await client.call_tool("get_customers", {"id": id})
        listed = await client.call_tool("list_customers", {"tag": ["c&d"], "page_most": 100})
        changed = await client.call_tool("change_customers", {"id": id, "body": {"amount": 5}})
        replaced = await client.call_tool("replace_customers", {"id": id, "body": {"name": "Bea"}})
        gone = await client.call_tool("remove_customers", {"id": id})
        missing = await client.call_tool("get_customers", {"id": id})
    assert got.structured_content == made.structured_content
    assert listed.structured_content == {"items": [made.structured_content], "caller": "alice"}
    assert changed.structured_content == {**made.structured_content, "amount": 5}
    assert replaced.structured_content == {"id": id, "name": "Bea", "amount": None, "tags": [], "part": None}
    assert (gone.is_error, gone.content) == (False, [])
    assert missing.is_error
    assert text(missing) == f'The server answered with status 404.\n{{"detail":"there is no {id} in customers"}}'


async def test_arguments_that_do_not_fit_are_the_agents_to_mend_and_reach_nobody(things: Things, mode: str) -> None:
    before = len(await asyncio.to_thread(things.server.seen))
    async with visiting(things, mode) as client:
        unfit = await client.call_tool("create_orders", {"body": {"name": 5}})
        leaving = await client.call_tool("get_orders", {"id": "../customers/1"})
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool("create_nothing", {})
    assert (unfit.is_error, leaving.is_error) == (True, True)
    assert "$.body.name: " in text(unfit)
    assert len(await asyncio.to_thread(things.server.seen)) == before


async def test_who_may_not_remove_does_not_see_what_removes(things: Things, mode: str) -> None:
    reader = things.gateway.create_key("rob", "--team", "readers")
    async with visiting(things, mode, reader) as client:
        names = await tools(client)
    assert len(names) == 100
    assert not [name for name in names if name.startswith("remove_")]
    call = tool_call("remove_customers", {"id": "x"})
    assert (await refusal(things.gateway.at("things"), call, reader.headers))[:2] == (403, "policy_denied")


async def test_s6_every_request_had_a_call_token_that_was_good_for_it(things: Things, mode: str) -> None:
    async with visiting(things, mode) as client:
        await client.call_tool("list_notes", {})
    seen = await asyncio.to_thread(things.server.seen)
    arrived = [entry for entry in seen if not entry["path"].endswith("straight")]
    assert arrived
    assert [entry for entry in arrived if not entry["token"] or entry["status"] in (401, 403)] == []

    def straight() -> int:
        try:
            urllib.request.urlopen(f"{things.base}/notes/straight", timeout=60).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code
        return 200

    assert await asyncio.to_thread(straight) == 401


async def test_one_call_is_one_request(things: Things, mode: str) -> None:
    before = len(await asyncio.to_thread(things.server.seen))
    status, body = await post(things.gateway.at("things"), tool_call("list_jobs"), things.key.headers)
    assert (status, body["result"]["isError"]) == (200, False)
    made = (await asyncio.to_thread(things.server.seen))[before:]
    assert [(entry["http"], entry["path"], entry["status"]) for entry in made] == [("GET", "/jobs", 200)]
