"""Servers of either era at one address, with clients of either era: nobody needs to know which is which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from mcp_types import TextContent, TextResourceContents

from tests.flows.test_official_python_client import visiting
from tests.support.calls import REVISION
from tests.support.gateway import Gateway, Key
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("python-client")]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    port, old_port, new_port = free_port(), free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    old_url, new_url = f"http://127.0.0.1:{old_port}/mcp", f"http://127.0.0.1:{new_port}/mcp"
    with (
        ServerProcess("one_era", old_port, "--era", "legacy", "--issuer", issuer, "--audience", old_url),
        ServerProcess("one_era", new_port, "--era", "modern", "--issuer", issuer, "--audience", new_url),
        Gateway(
            tmp_path_factory.mktemp("either"), {"old": {"url": old_url}, "new": {"url": new_url}}, port=port
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> Key:
    return gateway.create_key("alice")


@pytest.mark.parametrize("mode", [REVISION, "auto", "legacy"])
async def test_one_address_offers_what_both_have(gateway: Gateway, key: Key, mode: str) -> None:
    async with visiting(f"{gateway.url}/mcp", key.secret, mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"old__echo", "new__echo"} <= names
        said = await asyncio.gather(*(client.call_tool(f"{one}__echo", {"message": one}) for one in ("old", "new")))
        notes = [(await client.read_resource(f"counterseal:{one}/note://a")).contents[0] for one in ("old", "new")]
    texts = [one.content[0].text for one in said if isinstance(one.content[0], TextContent)]
    assert texts == ["old", "new"]
    assert [note.text for note in notes if isinstance(note, TextResourceContents)] == ["about a", "about a"]
