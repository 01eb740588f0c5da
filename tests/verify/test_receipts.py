"""Receipts: each verdict is written before it is told, and where it cannot be written nobody passes."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterseal.core.receipt import Receipt, read
from counterseal.verify import CannotVerify, FileReceipts, MemorySingleUse, VerificationError, Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.support.tokens import AUDIENCE, ISSUER, FixedClock, call_claims, jwks, private_key, token
from tests.verify.serving import fresh, serving
from tests.verify.serving import verifier as now_verifier

CALL: dict[str, Any] = {"method": "tools/call", "name": "get_weather", "arguments": {"city": "Oslo"}}


class Kept:
    """Receipts in memory."""

    def __init__(self) -> None:
        self.all: list[Receipt] = []

    def write(self, receipt: Receipt) -> None:
        self.all.append(receipt)


def verifier(receipts: Any, **settings: Any) -> Verifier:
    known = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks("ES256"), "clock": FixedClock()}
    return Verifier(**{**known, "receipts": receipts, **settings})


def good(**changes: Any) -> str:
    return token(call_claims(arguments=CALL["arguments"], **changes))


async def check(which: Verifier, presented: str, driver: str, **call: Any) -> Any:
    call = {**CALL, **call}
    if driver == "averify":
        return await which.averify(presented, **call)
    return await asyncio.to_thread(which.verify, presented, **call)


both = pytest.mark.parametrize("driver", ["verify", "averify"])


# ---- what is written ----


@both
async def test_a_token_that_is_taken_leaves_a_receipt_with_its_call(driver: str) -> None:
    kept = Kept()
    verified = await check(verifier(kept), good(jti="one"), driver)
    (receipt,) = kept.all
    assert (receipt.jti, receipt.txn, receipt.sub) == ("one", verified.txn, verified.subject)
    assert (receipt.server, receipt.aud, receipt.iss) == (AUDIENCE, AUDIENCE, ISSUER)
    assert (receipt.method, receipt.name, receipt.reason) == ("tools/call", "get_weather", None)


@both
@pytest.mark.parametrize(
    ("changes", "call", "reason"),
    [
        ({"aud": "https://files.example.com/mcp"}, {}, "audience"),
        ({"iss": "https://other.example.com"}, {}, "issuer"),
        ({"exp": 1_700_000_000}, {}, "lifetime"),
        ({}, {"name": "delete_all"}, "scope"),
        ({}, {"arguments": {"city": "Bergen"}}, "arguments"),
        ({"client_id": 1}, {}, "claim"),
    ],
)
async def test_a_token_of_the_gateway_that_is_refused_leaves_one_that_says_why(
    driver: str, changes: dict[str, Any], call: dict[str, Any], reason: str
) -> None:
    kept = Kept()
    with pytest.raises(VerificationError):
        await check(verifier(kept), good(jti="bad", **changes), driver, **call)
    (receipt,) = kept.all
    assert (receipt.jti, receipt.reason, receipt.server) == ("bad", reason, AUDIENCE)


@both
async def test_a_second_use_leaves_a_second_receipt(driver: str) -> None:
    kept = Kept()
    which, presented = verifier(kept), good()
    await check(which, presented, driver)
    with pytest.raises(VerificationError):
        await check(which, presented, driver)
    assert [receipt.reason for receipt in kept.all] == [None, "replayed"]


@both
async def test_what_the_gateways_key_did_not_sign_leaves_none(driver: str) -> None:
    """Nobody knows what it says, and whoever sends it would fill the disk."""
    kept = Kept()
    which = verifier(kept)
    stranger = token(call_claims(arguments=CALL["arguments"]), key=private_key("ES256", "stranger"))
    for bad in (stranger, "a.b.c", "x" * 9000, good()[:-4] + "AAAA"):
        with pytest.raises(VerificationError):
            await check(which, bad, driver)
    assert kept.all == []
    await check(which, good(), driver)
    assert len(kept.all) == 1


async def test_a_token_that_is_looked_at_without_a_call_is_noted_once_the_call_comes() -> None:
    kept = Kept()
    which, presented = verifier(kept), good()
    await which.averify_without_operation(presented)
    assert kept.all == []
    await which.averify(presented, **CALL)
    assert [receipt.reason for receipt in kept.all] == [None]
    with pytest.raises(VerificationError):
        await which.averify_without_operation(good(aud="https://files.example.com/mcp"))
    assert [receipt.reason for receipt in kept.all] == [None, "audience"]


# ---- where nothing can be written ----


class Raises:
    def write(self, receipt: Receipt) -> None:
        raise OSError("the disk is full")


class Fails:
    def write(self, receipt: Receipt) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(OSError("the disk is full"))
        return future


class Coroutine:
    async def write(self, receipt: Receipt) -> None:
        raise AssertionError("nobody awaits this")


class Says:
    def write(self, receipt: Receipt) -> Any:
        return False


class Silent:
    def write(self, receipt: Receipt) -> Future[None]:
        return Future()


@both
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("receipts", [Raises(), Fails(), Coroutine(), Says(), Silent()])
async def test_no_token_passes_where_its_receipt_cannot_be_written(driver: str, receipts: Any) -> None:
    which = verifier(receipts)
    which._patience = 0.05
    with pytest.raises(CannotVerify, match="receipt"):
        await check(which, good(), driver)
    with pytest.raises(CannotVerify, match="receipt"):
        await check(which, good(aud="https://files.example.com/mcp"), driver)
    assert await check(verifier(Kept()), good(), driver)


_FORKED = """
import os, sys
from counterseal.core.receipt import Receipt
from counterseal.verify import FileReceipts

receipts = FileReceipts(sys.argv[1])
receipts.write(Receipt(time=1, server="s", reason=None, jti="before")).result(10)
if os.fork() == 0:
    receipts.write(Receipt(time=1, server="s", reason=None, jti="child")).result(10)
    os._exit(0)
assert os.wait()[1] == 0
receipts.write(Receipt(time=1, server="s", reason=None, jti="after")).result(10)
"""


def test_a_process_that_was_forked_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """It has no thread of its parent's, and would wait forever for one to write."""
    subprocess.run([sys.executable, "-c", _FORKED, str(tmp_path)], check=True, timeout=60)
    written = [[read(line).jti for line in path.read_bytes().splitlines()] for path in tmp_path.iterdir()]
    assert sorted(written) == [["before", "after"], ["child"]]


def test_what_cannot_write_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="FileReceipts"):
        verifier("receipts/")


async def test_the_loop_goes_on_while_a_receipt_is_written() -> None:
    future: Future[None] = Future()

    class Slow:
        def write(self, receipt: Receipt) -> Future[None]:
            return future

    asked = asyncio.create_task(verifier(Slow()).averify(good(), **CALL))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not asked.done()
    future.set_result(None)
    assert (await asked).subject


async def test_over_http_a_full_disk_is_503_and_nothing_reaches_the_server(tmp_path: Path) -> None:
    """/dev/full takes no byte, as a full disk."""
    calls = []

    async def mcp(request: Request) -> JSONResponse:
        calls.append(request.url.path)
        return JSONResponse({})

    app = Starlette(routes=[Route("/mcp", mcp, methods=["POST"])])
    full = FileReceipts(tmp_path, open_file=lambda _: os.open("/dev/full", os.O_WRONLY))
    async with serving(CountersealMiddleware(app, now_verifier(receipts=full)), app) as server:
        said = await server.weather(fresh())
        assert (said.status, said.reason) == (503, "unavailable")
    assert calls == []
    well = FileReceipts(tmp_path)
    async with serving(CountersealMiddleware(app, now_verifier(receipts=well)), app) as server:
        assert (await server.weather(fresh())).status == 200
    assert calls == ["/mcp"]
    full.close()
    well.close()


# ---- files ----


def lines(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]


async def test_a_file_is_its_owners_alone_and_holds_no_token(tmp_path: Path) -> None:
    receipts = FileReceipts(tmp_path / "receipts")
    which, presented = verifier(receipts), [good(jti=f"j{number}") for number in range(20)]
    await asyncio.gather(*(which.averify(one, **CALL) for one in presented))
    receipts.close()
    (path,) = (tmp_path / "receipts").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {read(line).jti for line in lines(tmp_path / "receipts")} == {f"j{number}" for number in range(20)}
    for one in presented:
        assert one.rpartition(".")[2].encode() not in path.read_bytes()


async def test_after_a_failure_the_next_receipt_is_in_a_new_file(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_file(path: Path) -> int:
        opened.append(os.open("/dev/full", os.O_WRONLY) if not opened else os.open(path, os.O_WRONLY | os.O_CREAT))
        return opened[-1]

    receipts = FileReceipts(tmp_path, open_file=open_file)
    which = verifier(receipts, single_use=MemorySingleUse(FixedClock()))
    with pytest.raises(CannotVerify):
        await which.averify(good(jti="lost"), **CALL)
    await which.averify(good(jti="kept"), **CALL)
    receipts.close()
    assert [read(line).jti for line in lines(tmp_path)] == ["kept"]
    assert len(opened) == 2


async def test_more_receipts_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    receipts = FileReceipts(tmp_path, most_waiting=1)
    held = receipts._room.acquire(blocking=False)
    assert held
    with pytest.raises(CannotVerify, match="too many"):
        await verifier(receipts).averify(good(), **CALL)
    receipts._room.release()
    assert await verifier(receipts).averify(good(), **CALL)
    receipts.close()
