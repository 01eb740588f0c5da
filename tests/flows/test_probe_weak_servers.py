"""`counterseal probe` finds the hole in each of the weak servers, names its cause, and finds nothing in a sound one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.operation import Operation
from counterseal.gateway.probe.aim import Wanted
from counterseal.gateway.probe.attacks import ATTACKS
from counterseal.gateway.probe.probing import Part, Report, probe
from tests.parties.weak.checking import FLAWS
from tests.parties.weak.stock import STOCK
from tests.support.gateway import Gateway, running_gateway
from tests.support.process import LISTENING, Program, free_port

pytestmark = [pytest.mark.party("fastmcp", "python-client", "pyjwt"), pytest.mark.asyncio(loop_scope="module")]

WEATHER = Operation("tools/call", "get_weather", {"city": "Oslo"})


@dataclass(frozen=True, slots=True)
class Weak:
    """The gateway whose keys they trust, and the configuration that names them all."""

    gateway: Gateway
    config: Path

    async def probed(self, kind: str, operation: Operation | None = WEATHER, **more: Any) -> Report:
        return await probe(load(self.config), Wanted(server=kind, operation=operation, **more), SystemClock())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def weak(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weak]:
    folder = tmp_path_factory.mktemp("weak")
    port, ports = free_port(), {kind: free_port() for kind in (*FLAWS, *STOCK)}
    servers: dict[str, dict[str, Any]] = {kind: {"url": f"http://127.0.0.1:{one}/mcp"} for kind, one in ports.items()}
    for kind in FLAWS.keys() - {"alg_confusion"}:  # the others are on RSA, whose keys take longer to make
        servers[kind]["signer"] = {"algorithm": "ES256"}
    issuer = f"http://127.0.0.1:{port}"
    told = ("--issuer", issuer, "--jwks", f"{issuer}/.well-known/jwks.json")
    command = [sys.executable, "-m", "tests.parties.weak", *told, *(f"{kind}={one}" for kind, one in ports.items())]
    async with running_gateway(folder, servers, port=port) as gateway:
        program = await asyncio.to_thread(Program, "weak servers", command)
        try:
            await asyncio.to_thread(program.wait_for, LISTENING)
            yield Weak(gateway, gateway.config)
        finally:
            await asyncio.to_thread(program.stop)


def causes(part: Part) -> set[str]:
    """The attacks that were taken and are explained by no other."""
    return {one.attack.id for one in part.results if one.verdict == "accepted" and one.because is None}


def open_ends(part: Part) -> dict[str, str]:
    return {one.attack.id: f"{one.verdict}: {one.said}" for one in part.results if one.verdict in ("error", "skipped")}


@pytest.mark.parametrize("kind", list(FLAWS))
async def test_a_planted_hole_is_found_and_no_other(weak: Weak, kind: str) -> None:
    report = await weak.probed(kind)
    found = FLAWS[kind]
    for part in report.parts:
        assert part.problem is None, part
        assert causes(part) == ({found} if found else set()), part.name
        assert open_ends(part) == {}, part.name
    assert [part.name for part in report.parts] == ["MCP 2026-07-28", "MCP with a session"]
    assert not report.cannot_tell


async def test_every_attack_has_a_server_that_falls_to_it() -> None:
    assert {found for found in FLAWS.values() if found} == {one.id for one in ATTACKS.values() if one.servers}


@pytest.mark.parametrize("kind", list(STOCK))
async def test_what_a_library_leaves_out_is_found(weak: Weak, kind: str) -> None:
    report = await weak.probed(kind)
    for part in report.spoken:
        assert causes(part) == STOCK[kind], part.name
        assert part.problem is None
    assert report.spoken
