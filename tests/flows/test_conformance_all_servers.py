"""The MCP conformance suite gets at the address of all servers what the one server behind it gives it, names aside.

The suite calls tools by fixed names, so a proxy of the tests stands between, which renames and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.gateway import Gateway
from tests.support.process import free_port
from tests.support.renaming import renaming
from tests.support.servers import ServerProcess

pytestmark = pytest.mark.party("conformance", "python-client")

AS_JSON = "server-sse-multiple-streams: server-sse-streams-functional: SUCCESS -> INFO"
"""A list of all servers is put together before it is answered, so it comes as JSON, which the suite takes note of."""


@pytest.fixture(scope="module")
def bare() -> Iterator[str]:
    with ServerProcess("everything", free_port()) as server:
        yield server.url


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    gateway_port, server_port = free_port(), free_port()
    url = f"http://127.0.0.1:{server_port}/mcp"
    with (
        ServerProcess("everything", server_port, "--issuer", f"http://127.0.0.1:{gateway_port}", "--audience", url),
        Gateway(
            tmp_path_factory.mktemp("conformance"),
            {"everything": {"url": url}},
            port=gateway_port,
            callers={"api_keys": True, "anonymous": True},  # the suite cannot send a credential
        ) as gateway,
        renaming(f"{gateway.url}/mcp", "everything") as address,
    ):
        yield address


@pytest.mark.parametrize("requirements", ["2025-11-25", "2026-07-28"])
def test_all_servers_lose_nothing_of_what_the_bare_server_gets(
    bare: str, through: str, requirements: str, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "through").mkdir()
    without = conformance.run(bare, requirements, tmp_path / "bare")
    run = conformance.run(through, requirements, tmp_path / "through")
    worse, _ = conformance.compare(without, run)
    assert [line for line in worse if not line.startswith(AS_JSON)] == []
    assert len(run.results) > 30
    assert run.passed, run.output
