"""The MCP conformance suite gets through the gateway what it gets without it.

The server behind the gateway is the same program as the bare one, but it refuses what is not countersigned: a message that
went out without a good token shows up as a difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.gateway import Gateway
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [
    pytest.mark.party("conformance", "python-client"),
    pytest.mark.parametrize("requirements", ["2025-11-25", "2026-07-28"]),
]

# What the fixture's SDK has no runtime for. The suite runs these scenarios and does not score them.
EXTENSION = "tasks-"


@pytest.fixture(scope="module")
def bare() -> Iterator[str]:
    with ServerProcess("everything", free_port()) as server:
        yield server.url


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    gateway_port, server_port = free_port(), free_port()
    url = f"http://127.0.0.1:{server_port}/mcp"
    issuer = f"http://127.0.0.1:{gateway_port}"
    with (
        ServerProcess("everything", server_port, "--issuer", issuer, "--audience", url),
        Gateway(
            tmp_path_factory.mktemp("conformance"),
            {"everything": {"url": url}},
            port=gateway_port,
            callers={"api_keys": True, "anonymous": True},  # the suite cannot send a credential
        ) as gateway,
    ):
        yield gateway.at("everything")


def test_the_bare_server_passes_so_that_the_comparison_means_something(
    bare: str, requirements: str, tmp_path: Path
) -> None:
    run = conformance.run(bare, requirements, tmp_path)
    failed = [
        f"{check}: {result.why}"
        for check, result in run.results.items()
        if result.status == "FAILURE" and not check.scenario.startswith(EXTENSION)
    ]
    assert failed == []
    assert run.passed, run.output
    assert len({check.scenario for check in run.results}) > 30


def test_the_gateway_loses_nothing_of_what_the_bare_server_gets(
    bare: str, through: str, requirements: str, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "through").mkdir()
    without = conformance.run(bare, requirements, tmp_path / "bare")
    run = conformance.run(through, requirements, tmp_path / "through")
    worse, better = conformance.compare(without, run)
    for line in itertools.chain((f"worse: {line}" for line in worse), (f"better: {line}" for line in better)):
        print(line)
    assert worse == []
    assert run.passed, run.output
