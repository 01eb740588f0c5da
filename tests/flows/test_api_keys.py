"""API keys while a gateway runs: what a command changes is so for every worker, and when (A-04, A-09, A-10)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.calls import post, refusal, tool_call
from tests.support.gateway import Gateway, Key, running_gateway
from tests.support.servers import RecordingServer
from tests.support.tokens import LIVES

CALL = tool_call("get_weather", {"city": "Oslo"})
AT_ONCE = 8
"""Calls in flight while a test polls, each on a connection of its own, so that every worker gets some."""
QUICK = 0.1
"""Seconds, which so many calls take at most on a machine that runs."""


@asynccontextmanager
async def running(folder: Path, workers: int) -> AsyncIterator[Gateway]:
    async with RecordingServer(keep=False) as weather, RecordingServer(keep=False) as notes:
        servers = {"weather": {"url": weather.url}, "notes": {"url": notes.url}}
        async with running_gateway(folder, servers, arguments=["--workers", str(workers)]) as gateway:
            yield gateway


async def command(gateway: Gateway, *arguments: str) -> Any:
    return json.loads(await asyncio.to_thread(gateway.run, "apikey", *arguments, "--json"))


async def created(gateway: Gateway, *options: str) -> Key:
    made = await command(gateway, "create", "--subject", "alice", *options)
    return Key(made["id"], made["secret"])


async def rotated(gateway: Gateway, key: Key, *options: str) -> Key:
    made = await command(gateway, "rotate", key.id, *options)
    return Key(made["id"], made["secret"])


async def statuses(gateway: Gateway, key: Key, calls: int) -> set[int]:
    """What so many calls with this key were answered."""
    seen: set[int] = set()
    for _ in range(calls // AT_ONCE):
        answers = await asyncio.gather(*(post(gateway.at("weather"), CALL, key.headers) for _ in range(AT_ONCE)))
        seen |= {status for status, _ in answers}
    return seen


async def last_accepted(gateway: Gateway, key: Key, seconds: float = 10) -> float:
    """Polls until nothing but refusals comes any more. The seconds from now to the end of the last call that was accepted,
    without those in which the machine stood still: nobody was accepted in them."""
    now = last = 0.0
    refused = 0
    while refused < 25 * AT_ONCE:
        assert now < seconds, "calls are still accepted"
        begin = time.monotonic()
        seen = await statuses(gateway, key, AT_ONCE)
        now += min(time.monotonic() - begin, QUICK)
        if seen == {401}:
            refused += AT_ONCE
        else:
            last, refused = now, 0
    return last


def records(gateway: Gateway) -> list[list[dict[str, Any]]]:
    """The entries of each worker that made any about a call."""
    workers = []
    for file in gateway.audit.glob("*.jsonl"):
        entries = [json.loads(line) for line in file.read_text().splitlines()]
        if about := [entry for entry in entries if entry.get("event") in ("intent", "refusal")]:
            workers.append(about)
    return workers


def stored(gateway: Gateway, key: Key, column: str) -> float:
    """A time of the key's row, with its fraction of a second."""
    database = sqlite3.connect(gateway.config.parent / "counterseal.db")
    ((value,),) = database.execute(f"SELECT {column} FROM api_keys WHERE id = ?", (key.id,)).fetchall()
    database.close()
    assert isinstance(value, float)
    return value


async def ends_at(gateway: Gateway, key: Key, moment: float) -> bool:
    """Polls over the moment, by the clock on the wall: accepted before it, refused after it. Whether it came to ask before it."""
    accepted = refused = 0
    while refused < 3 * AT_ONCE:
        assert time.time() < moment + 60, "calls are still accepted"
        before = time.time()
        seen = await statuses(gateway, key, AT_ONCE)
        after = time.time()
        if 200 in seen:
            assert before < moment
            accepted += 1
        if 401 in seen:
            assert after >= moment
            refused += AT_ONCE
    return accepted > 0


async def test_a_key_works_at_every_worker_from_the_moment_that_it_was_made(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as gateway:
        for _ in range(2):
            assert await statuses(gateway, await created(gateway), 10 * AT_ONCE) == {200}
        assert len(records(gateway)) == 2, "one of the workers was never asked"


@pytest.mark.parametrize(("workers", "seconds"), [(1, 1), (2, 10)])
async def test_a_04_a_revoked_key_ends_at_every_worker(tmp_path: Path, workers: int, seconds: float) -> None:
    async with running(tmp_path, workers) as gateway:
        key, other = await created(gateway), await created(gateway)
        assert await statuses(gateway, key, 5 * AT_ONCE) == {200}
        await command(gateway, "revoke", key.id)
        assert await last_accepted(gateway, key) < seconds
        assert await statuses(gateway, other, AT_ONCE) == {200}
        refused = [
            [entry for entry in entries if entry.get("detail") == f"API key {key.id} was revoked"]
            for entries in records(gateway)
        ]
        assert len(refused) == workers
        assert all(refused), "one of the workers was never asked, or never refused"


async def test_a_04_a_key_expires_at_the_second_that_it_says(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as gateway:
        for life in LIVES:
            key = await created(gateway, "--expires", f"{life}s")
            if seen := await ends_at(gateway, key, stored(gateway, key, "expires")):
                break
        assert seen


async def test_both_secrets_of_a_rotated_key_work_at_every_worker_until_the_overlap_is_over(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as gateway:
        keys = []
        for life in LIVES:
            keys.append(key := await created(gateway))
            assert await statuses(gateway, key, 5 * AT_ONCE) == {200}
            new = await rotated(gateway, key, "--overlap", f"{life}s")
            assert await statuses(gateway, new, 5 * AT_ONCE) == {200}
            if seen := await ends_at(gateway, key, stored(gateway, key, "previous_ends")):
                break
        assert seen
        assert await statuses(gateway, new, 5 * AT_ONCE) == {200}
        callers = {
            (entry["caller"]["client_id"], entry["sub"])
            for entries in records(gateway)
            for entry in entries
            if entry["event"] == "intent"
        }
        assert callers == {(key.id, "alice") for key in keys}


async def test_a_04_without_an_overlap_the_earlier_secret_ends_at_every_worker(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as gateway:
        key = await created(gateway)
        assert await statuses(gateway, key, 5 * AT_ONCE) == {200}
        new = await rotated(gateway, key)
        assert await statuses(gateway, new, 5 * AT_ONCE) == {200}
        assert await last_accepted(gateway, key) < 10
        assert await statuses(gateway, new, 5 * AT_ONCE) == {200}


async def test_a_10_a_server_that_a_key_is_not_for_is_like_one_that_is_not_there(tmp_path: Path) -> None:
    async with running(tmp_path, workers=1) as gateway:
        key = await created(gateway, "--servers", "weather")
        assert (await post(gateway.at("weather"), CALL, key.headers))[0] == 200
        answers = []
        for server in ("notes", "no-such-server"):
            status, reason, message = await refusal(gateway.at(server), CALL, key.headers)
            answers.append((status, reason, message.replace(server, "SERVER")))
        assert answers[0] == answers[1]
        assert answers[0][:2] == (404, "server_unknown")
        assert (await post(gateway.at("notes"), CALL, (await created(gateway)).headers))[0] == 200


async def test_a_09_no_address_of_the_gateway_makes_lists_or_ends_keys(tmp_path: Path) -> None:
    """Commands do, on the machine of the store. A good key changes nothing about that."""
    paths = (
        "/apikey /apikeys /api/keys /keys /key/generate /key/list /v1/keys /admin /admin/ /admin/apikeys /users /tokens"
    )
    async with running(tmp_path, workers=1) as gateway, aiohttp.ClientSession() as session:
        key = await created(gateway)
        before = await command(gateway, "list")
        for path in paths.split():
            for verb in ("GET", "POST", "PUT", "DELETE"):
                body = {"subject": "mallory", "id": key.id}
                async with session.request(verb, gateway.url + path, json=body, headers=key.headers) as answer:
                    assert answer.status == 404, f"{verb} {path}"
        assert (await post(gateway.at("weather"), CALL, key.headers))[0] == 200
        after = await command(gateway, "list")
        assert [{**row, "last_used": None} for row in after] == [{**row, "last_used": None} for row in before]
