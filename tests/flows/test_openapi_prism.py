"""A document that this project did not write, of 129 operations, served by Prism, which holds every request against it.

Prism is another reader of the same document: what it finds wrong with a request, we wrote wrongly.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Tool

from tests.support import parties
from tests.support.calls import REVISION
from tests.support.gateway import COMMAND, Gateway, Key
from tests.support.process import Program, free_port

pytestmark = [pytest.mark.party("prism"), pytest.mark.party("blockfrost"), pytest.mark.party("python-client")]

LISTENING: Final = re.compile(r"Prism is listening on")
UNMAPPED: Final = (
    "POST /tx/submit: a body of application/cbor",
    "POST /utils/txs/evaluate: a body of application/cbor",
)
NO_OBJECT: Final = "get_utils_addresses_xpub_xpub_role_index"
"""Its schema is an object and its example a list: a promise of the document that the document itself breaks."""
VIOLATIONS: Final = re.compile(r"Violation: request\.(\S+) (.*)")


class Chain:
    """The gateway, with Prism behind it."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        document = parties.npm_file("blockfrost")
        shutil.copy(document, folder / "openapi.yaml")
        (folder / "project").write_text("testproject")
        command = parties.node_command(parties.npm_file("prism"), "mock", "-h", "127.0.0.1", "-p", str(port), document)
        self.prism = Program("prism", command)
        try:
            self.prism.wait_for(LISTENING)
            entry = {
                "transport": "openapi",
                "url": self.url,
                "spec": "openapi.yaml",
                "headers": {"project_id": "file:project"},
            }
            self.gateway = Gateway(folder, {"chain": entry})
        except BaseException:
            self.prism.stop()
            raise
        self.key: Key = self.gateway.create_key("alice")

    def stop(self) -> None:
        self.gateway.stop()
        self.prism.stop()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    try:
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def visiting(chain: Chain, mode: str) -> Any:
    async with (
        httpx2.AsyncClient(headers=chain.key.headers, timeout=60) as http,
        Client(streamable_http_client(chain.gateway.at("chain"), http_client=http), mode=mode) as client,
    ):
        yield client


def example(schema: dict[str, Any]) -> Any:
    """A value that fits the schema of one argument of this document."""
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "array":
        return [example(schema.get("items", {}))]
    return {"boolean": True, "object": {}}.get(str(kind), "a b&c?d")


def filled(tool: Tool) -> dict[str, Any]:
    return {name: example(schema) for name, schema in tool.input_schema["properties"].items()}


async def test_every_get_of_the_document_is_asked_as_the_document_wants_it(chain: Chain) -> None:
    async with visiting(chain, REVISION) as client:
        tools = (await client.list_tools()).tools
        assert len(tools) == 127
        asked = [tool for tool in tools if tool.annotations and tool.annotations.read_only_hint]
        assert len(asked) > 100
        results = [(tool.name, await client.call_tool(tool.name, filled(tool))) for tool in asked]
    broken = {name: result.content for name, result in results if result.is_error}
    assert list(broken) == [NO_OBJECT]
    assert "not as its document says:\nit is no JSON object" in broken[NO_OBJECT][0].text
    assert VIOLATIONS.findall(chain.prism.output) == []
    structured = [result for _, result in results if result.structured_content is not None]
    assert len(structured) > 20


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_the_client_calls_in_both_eras(chain: Chain, mode: str) -> None:
    async with visiting(chain, mode) as client:
        result = await client.call_tool("get_epochs_latest", {})
        unfit = await client.call_tool("get_epochs_number", {"number": "latest"})
    assert result.structured_content is not None
    assert isinstance(result.structured_content["epoch"], int)
    assert unfit.is_error


async def test_prism_says_so_where_a_request_is_not_as_the_document_wants_it(chain: Chain) -> None:
    """The accepted twin of the test above: what it looks for is really written."""
    said = len(VIOLATIONS.findall(chain.prism.output))
    async with httpx2.AsyncClient(headers={"project_id": "x"}, timeout=60) as http:
        answer = await http.get(f"{chain.url}/accounts/stake1/rewards", params={"count": 101})
    assert answer.status_code == 400
    await asyncio.to_thread(chain.prism.wait_for, re.compile(r"Violation: request\.query\.count"))
    assert len(VIOLATIONS.findall(chain.prism.output)) == said + 1


async def test_what_is_not_mapped_is_listed_with_its_place(chain: Chain) -> None:
    command = [COMMAND, "check", str(chain.gateway.config), "--json"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(done.stdout)
    assert told["tools"] == {"chain": "127 of 129 operations"}
    for what in UNMAPPED:
        (line,) = [one for one in told["warnings"] if what in one]
        assert re.match(r"servers\.chain: \S*openapi\.yaml:[0-9]+:[0-9]+: #/paths/~1", line)
