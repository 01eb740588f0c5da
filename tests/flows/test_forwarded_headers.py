"""Headers of a caller's that a server gets by name: FastMCP servers with FastMCP's own verifier, the official client in front,
and the gateway from its own file or from LiteLLM's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.calls import REVISION, refusal, tool_call
from tests.support.gateway import COMMAND, configuration
from tests.support.litellm import KEY, MASTER_KEY
from tests.support.process import LISTENING, Program, free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("fastmcp", "python-client")]

SENT: Final = {"X-Tenant-Id": "acme", "X-Case": "7", "X-Unnamed": "1", "X-Forwarded-User": "root"}
both_eras = pytest.mark.parametrize("mode", [REVISION, "legacy"])


@dataclass(frozen=True, slots=True)
class There:
    """between: what stands between a server's name and its tool at `/mcp`."""

    url: str
    servers: dict[str, ServerProcess]
    between: str
    gateway: Program

    def seen(self) -> int:
        """Calls of tools that reached a server."""
        return sum(one["method"] == "tools/call" for server in self.servers.values() for one in server.seen())


def native(folder: Path, port: int, urls: dict[str, str]) -> Path:
    servers = {
        "tools": {"url": urls["tools"], "forward_headers": ["X-Tenant-Id"]},
        "notes": {"url": urls["notes"], "forward_headers": ["X-Case"]},
    }
    callers = {"own_keys": [{"name": "master", "key": "env:LITELLM_MASTER_KEY"}], "key_header": "x-litellm-api-key"}
    keys = {"source": "store", "algorithms": ["RS256"]}
    config = folder / "counterseal.yaml"
    config.write_text(yaml.safe_dump(configuration(port, folder, servers, callers=callers, keys=keys)))
    return config


def litellms(folder: Path, port: int, urls: dict[str, str]) -> Path:
    signer = {"guardrail": "mcp_jwt_signer", "mode": "pre_mcp_call", "default_on": True}
    whole = {
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "mcp_servers": {
            "tools": {"url": urls["tools"], "transport": "http", "extra_headers": ["X-Tenant-Id", "X-Forwarded-User"]},
            "notes": {"url": urls["notes"], "transport": "http", "extra_headers": ["X-Case", "Authorization"]},
        },
        "guardrails": [
            {
                "guardrail_name": "signer",
                "litellm_params": {**signer, "issuer": f"http://127.0.0.1:{port}", "audience": "mcp"},
            }
        ],
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(whole, sort_keys=False))
    return config


@pytest.fixture(scope="module", params=["native", "litellm"])
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    folder.chmod(0o700)
    is_native = request.param == "native"
    issuer = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        servers = {}
        for name in ("tools", "notes"):
            own = free_port()
            audience = f"http://127.0.0.1:{own}/mcp" if is_native else "mcp"
            told = ("--jwks", f"{issuer}/.well-known/jwks.json", "--issuer", issuer, "--audience", audience, "--tells")
            servers[name] = stack.enter_context(ServerProcess("stock_verifier", own, *told))
        config = (native if is_native else litellms)(folder, port, {name: one.url for name, one in servers.items()})
        command = [COMMAND, "serve", "--config", str(config), "--port", str(port)]
        gateway = stack.enter_context(Program("the gateway", command, {"LITELLM_MASTER_KEY": MASTER_KEY}))
        gateway.wait_for(LISTENING)
        yield There(issuer, servers, "__" if is_native else "-", gateway)


async def sent(url: str, tool: str, mode: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers beginning with `x-` that a server got."""
    async with (
        httpx2.AsyncClient(headers={**KEY, **headers}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        assert tool in [one.name for one in (await client.list_tools()).tools]
        result = await client.call_tool(tool, {})
        assert not result.is_error, result
        content: Any = result.structured_content
        pairs = [tuple(pair) for pair in content["headers"]]
        assert len(dict(pairs)) == len(pairs)
        assert content["sub"]
        assert content["sub"] not in SENT.values()
        return dict(pairs)


@both_eras
async def test_a_server_gets_its_own_at_its_address_and_at_that_of_all(there: There, mode: str) -> None:
    for server, own in (("tools", {"x-tenant-id": "acme"}), ("notes", {"x-case": "7"})):
        tool = "sent" if there.between == "__" else f"{server}-sent"
        assert await sent(f"{there.url}/mcp/{server}", tool, mode, SENT) == own
        assert await sent(f"{there.url}/mcp", f"{server}{there.between}sent", mode, SENT) == own
        assert await sent(f"{there.url}/mcp/{server}", tool, mode, {"X-Unnamed": "1"}) == {}


@pytest.mark.parametrize(
    "bad", [{"X-Tenant-Id": ""}, {"X-Tenant-Id": "a" * 2049}, {"X_Tenant_Id": "acme"}, {"X-Tenant-Id": "caf\u00e9"}]
)
async def test_one_that_could_be_read_in_two_ways_reaches_no_server(there: There, bad: dict[str, str]) -> None:
    before = there.seen()
    for path, tool in (("/mcp/tools", "sent"), ("/mcp", f"tools{there.between}sent")):
        status, code, _ = await refusal(f"{there.url}{path}", tool_call(tool), {**KEY, **bad})
        assert (status, code) == (400, "bad_header")
    assert there.seen() == before


def test_the_start_tells_what_is_left_out_of_litellms_file_and_what_to_do(there: There) -> None:
    for about, remedy in (
        ("mcp_servers.tools.extra_headers[1]", "let the server read the call token"),
        ("mcp_servers.notes.extra_headers[1]", "write `passthrough`"),
    ):
        lines = [line for line in there.gateway.output.splitlines() if about in line]
        assert len(lines) == (there.between == "-")
        assert all(remedy in line for line in lines)
