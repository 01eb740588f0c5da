"""A thousand calls, gateway and server killed in between, and every token is accounted for.

What is true is told by the tool itself, which notes the `jti` of each call that it ran, and by the files, read here without the
code that is tested.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from click.testing import CliRunner

from counterseal.cli import cli
from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.canonical import arguments_digest
from counterseal.core.limits import LIMITS
from counterseal.core.operation import Operation
from counterseal.gateway.issuer_wiring import open_ring
from counterseal.gateway.probe.aim import Wanted
from counterseal.gateway.probe.probing import probe
from counterseal.issuer.mint import Mint
from tests.support.calls import modern_headers, post, tool_call
from tests.support.gateway import COMMAND, Gateway, Key
from tests.support.process import LISTENING, Program, free_port

pytestmark = [pytest.mark.party("python-client"), pytest.mark.asyncio(loop_scope="module")]

CALLS: Final = 1000
AT_ONCE: Final = 16
KILLS: Final = ("server", "gateway", "server", "gateway", "server")
"""Spread over the calls."""


class Pair:
    """A gateway and a server that can be killed, and come back at the same place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, own = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.ran, self.receipts = folder / "ran", folder / "receipts"
        self.ran.touch()
        self.gateway = Gateway(folder, {"weather": {"url": self.url, "signer": {"algorithm": "ES256"}}}, port=own)
        self.key: Key = self.gateway.create_key("alice")
        self.programs = {"gateway": self.gateway.program, "server": self._server()}

    def kill(self, which: str) -> None:
        os.kill(self.programs[which].pid, signal.SIGKILL)

    def start_again(self, which: str) -> None:
        self.programs[which].stop()
        if which == "server":
            self.programs["server"] = self._server()
            return
        command = [COMMAND, "serve", "--config", str(self.gateway.config)]
        again = Program("the gateway", command)
        again.wait_for(LISTENING)
        self.programs["gateway"] = self.gateway.program = again

    def _server(self) -> Program:
        told = ("--issuer", self.gateway.issuer, "--audience", self.url)
        kept = ("--receipts", str(self.receipts), "--ran", str(self.ran))
        command = [sys.executable, "-m", "tests.parties.receipted", "--port", str(self.port), *told, *kept]
        program = Program("receipted", command)
        program.wait_for(LISTENING)
        return program

    def stop(self) -> None:
        for program in self.programs.values():
            program.stop()

    async def call(self, session: aiohttp.ClientSession, number: int) -> bool:
        """Whether it was answered with a result."""
        message = tool_call("get_weather", {"city": f"city {number}"}, id=number)
        with suppress(aiohttp.ClientError, asyncio.TimeoutError):
            async with session.post(
                self.gateway.at("weather"), json=message, headers=modern_headers(message, **self.key.headers)
            ) as answer:
                return answer.status == 200 and b'"result"' in await answer.read()
        return False

    def reconciled(self, *more: str, receipts: Path | None = None) -> tuple[int, dict[str, Any]]:
        told = ("--gateway", str(self.gateway.audit), "--server", str(receipts or self.receipts))
        done = CliRunner().invoke(cli, ["audit", "reconcile", *told, "--json", *more])
        return done.exit_code, json.loads(done.stdout)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    made = await asyncio.to_thread(Pair, tmp_path_factory.mktemp("pair"))
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


def whole_lines(folder: Path) -> list[dict[str, Any]]:
    """Of every file, without a last line that was cut off."""
    text = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in text if line.endswith(b"\n")]


async def test_a_thousand_calls_with_kills_in_between_are_all_accounted_for(pair: Pair) -> None:
    numbers = iter(range(CALLS))
    answered: list[bool] = []
    up = asyncio.Event()
    up.set()
    timeout = aiohttp.ClientTimeout(total=20)

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await up.wait()
            answered.append(await pair.call(session, number))

    async with aiohttp.ClientSession(timeout=timeout) as session:
        workers = [asyncio.create_task(worker(session)) for _ in range(AT_ONCE)]
        for at, which in enumerate(KILLS, 1):
            async with asyncio.timeout(60):
                while len(answered) < at * CALLS // (len(KILLS) + 1):
                    await asyncio.sleep(0.01)
            pair.kill(which)  # under sixteen calls
            up.clear()
            await asyncio.to_thread(pair.start_again, which)
            up.set()
        await asyncio.gather(*workers)
    code, said = await asyncio.to_thread(pair.reconciled)
    records = whole_lines(pair.gateway.audit)
    minted = [record["jti"] for record in records if record["event"] == "intent"]
    taken = [receipt["jti"] for receipt in whole_lines(pair.receipts) if receipt["reason"] is None]
    ran = pair.ran.read_text().split()
    # What is true: nothing ran that was not verified, nothing was verified that was not minted, and nothing twice.
    assert set(ran) <= set(taken) <= set(minted)
    assert len(set(ran)) == len(ran)
    assert len(set(taken)) == len(taken)
    assert sum(answered) <= len(ran)
    assert len(answered) == CALLS
    # What is said: exactly that.
    assert (code, said["equal"], said["differences"]) == (0, True, [])
    assert (said["minted"], said["verified"]) == (len(minted), len(taken))
    assert sum(said["explained"].values()) == len(minted) - len(taken)
    assert sum(answered) > CALLS // 3  # enough to mean something, on a slow machine too
    assert said["explained"], "the kills hit nothing"


async def test_a_probe_and_tokens_by_hand_do_not_disturb_it(pair: Pair) -> None:
    call = Operation("tools/call", "get_weather", {"city": "Oslo"})
    report = await probe(load(pair.gateway.config), Wanted(server="weather", operation=call), SystemClock())
    assert not report.accepted
    assert not report.cannot_tell
    asked = ("--as", f"key:{pair.key.id}", "weather", "tools/call", "get_weather", "--args", '{"city": "Oslo"}')
    token = (await asyncio.to_thread(pair.gateway.run, "token", "mint", *asked)).strip()
    headers = {"Authorization": f"Bearer {token}"}
    status, _ = await post(pair.url, tool_call("get_weather", {"city": "Oslo"}), headers)
    assert status == 200
    status, _ = await post(pair.url, tool_call("get_weather", {"city": "Oslo"}), headers)
    assert status == 401
    code, said = await asyncio.to_thread(pair.reconciled)
    assert (code, said["differences"]) == (0, [])
    assert said["again"] >= 2  # the probe's second presentation in each era, and ours
    assert said["explained"]["a probe, which the server refused or never saw"] > 10


async def test_each_thing_that_is_wrong_is_found_and_nothing_else(pair: Pair, tmp_path: Path) -> None:
    """A stolen key, a receipt that is gone, and a token that was taken twice."""
    forged = await _forged(pair)
    status, _ = await post(pair.url, tool_call("get_weather", {"city": "Oslo"}), {"Authorization": f"Bearer {forged}"})
    assert status == 200
    code, said = await asyncio.to_thread(pair.reconciled)
    assert code == 1
    assert [(one["kind"], one["jti"], one["sub"]) for one in said["differences"]] == [
        ("not_minted", "forged", "mallory")
    ]
    outcomes = {one["record"]: one["outcome"] for one in whole_lines(pair.gateway.audit) if one["event"] == "outcome"}
    by_jti = {one["jti"]: outcomes.get(one["record"]) for one in whole_lines(pair.gateway.audit) if "jti" in one}
    lines = [line for path in sorted(pair.receipts.glob("*.jsonl")) for line in path.read_text().splitlines()]
    good = (line for line in lines if by_jti.get(json.loads(line)["jti"]) == "answered")
    gone, twice = itertools.islice(good, 2)
    kept = [line for line in lines if line != gone] + [twice]
    (tmp_path / "receipts.jsonl").write_text("".join(f"{line}\n" for line in kept))
    code, said = await asyncio.to_thread(pair.reconciled, receipts=tmp_path)
    assert code == 1
    assert {(one["kind"], one["jti"]) for one in said["differences"]} == {
        ("not_minted", "forged"),
        ("never_arrived", json.loads(gone)["jti"]),
        ("verified_twice", json.loads(twice)["jti"]),
    }
    assert len(said["differences"]) == 3


async def _forged(pair: Pair) -> str:
    """What somebody makes who has the gateway's key, and does not record it: a good token of ours with another subject."""
    first = next(record for record in whole_lines(pair.gateway.audit) if record["event"] == "intent")
    now = int(SystemClock().wall())
    operation = {"type": "mcp_call", "locations": [pair.url], "actions": ["tools/call"], "identifier": "get_weather"}
    claims = {
        **{name: first[name] for name in ("aud", "act", "scope", "txn")},
        "iss": pair.gateway.issuer,
        "sub": "mallory",
        "client_id": "m",
        "jti": "forged",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "authorization_details": [{**operation, "arguments_digest": arguments_digest({"city": "Oslo"})}],
    }
    ring = await open_ring(load(pair.gateway.config))
    return (await Mint(ring, LIMITS).mint(claims, "ES256")).token
