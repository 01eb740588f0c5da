"""Every method of every era at the address of all servers: nothing leaves undecided, unsigned, unrecorded, or with a key."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from counterseal.core.call import Era, Inbound
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS, STREAM
from counterseal.core.reply import Reply
from counterseal.errors import CallError
from counterseal.wire.aggregate.names import joined, spelled
from tests.contracts.http import until
from tests.gateway.aggregate.test_lists import hangs
from tests.gateway.aggregate.world import ALL, World, answering, introducing, tools, world
from tests.gateway.building import CELLS, DENY_ALL, IDS, legacy, modern, task, verified
from tests.servers.permits import PARAMS, read

SERVER = answering(tools_list={"tools": tools("a")}, **introducing({"tools": {}, "logging": {}}))


def here(method: str) -> dict[str, Any]:
    """The parameters of a method with the names of this address."""
    params = json.loads(json.dumps(PARAMS.get(method, {})))
    if method == "subscriptions/listen":
        return {"notifications": {"toolsListChanged": True}}
    holder = params.get("ref", params)
    if "name" in holder:
        holder["name"] = joined("weather", holder["name"])
    if "taskId" in params:
        params["taskId"] = task("weather")
    if "uri" in holder:
        holder["uri"] = spelled("weather", holder["uri"])
    return params


async def request(there: World, cell: tuple[Era, str], key: bytes | None = b"key-of-alice") -> Inbound:
    era, method = cell
    if era is Era.MODERN:
        return modern(method, here(method), server=ALL, key=key)
    session = None
    if method != "initialize":
        session, _ = await there.open()
    inbound = legacy(method, session=session, server=ALL, key=key)
    if inbound.body and (message := json.loads(inbound.body)).get("params"):
        return inbound.with_body(json.dumps({**message, "params": here(method)}).encode())
    return inbound


async def ended(there: World, reply: Reply, cell: tuple[Era, str], *, heard: bool = True) -> None:
    """Read to its end. The stream of a legacy session has none: it is left once every server has heard of it, or, where none
    may, after a while."""
    if cell[1] != STREAM:
        await asyncio.wait_for(read(reply), 60)
        return
    reading = asyncio.ensure_future(read(reply))
    servers = there.servers.values()
    if heard:
        assert await until(lambda: all(any(one.verb == "GET" for one in server.seen) for server in servers))
    else:
        await asyncio.wait([reading], timeout=0.3)
    reading.cancel()
    await asyncio.wait([reading])


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_s18_whatever_leaves_has_a_token_and_a_record_of_its_own_and_no_credential(cell: tuple[Era, str]) -> None:
    async with world({"notes": SERVER}) as there:
        there.servers["weather"].answer = SERVER
        await ended(there, await there.reply(await request(there, cell)), cell)
        assert await until(
            lambda: len(there.entries("outcome")) == len(there.entries("intent") + there.entries("gather"))
        )
        heard = [(server, one) for server in there.servers.values() for one in server.seen]
        jtis = [verified(one, server.url)["jti"] for server, one in heard]
        intents = there.entries("intent")
        assert sorted(jtis) == sorted(each["jti"] for each in intents)
        assert len(set(jtis)) == len(jtis)
        assert not any(b"key-of-alice" in one.raw for _, one in heard)
        assert "key-of-alice" not in json.dumps(there.gateway.entries)
        begun = {each["record"] for each in (*intents, *there.entries("gather"))}
        assert {each["record"] for each in there.entries("outcome")} == begun
        if METHODS[cell[1]].name_field is not None or cell[1] == "completion/complete":
            assert there.entries("intent", method=cell[1])[0]["server"] == "weather"
            assert there.calls(cell[1])["notes"] == 0


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_p_02_where_the_policy_denies_all_no_server_hears_anything(cell: tuple[Era, str]) -> None:
    async with world({"notes": SERVER}, policy=DENY_ALL) as there:
        try:
            await ended(there, await there.reply(await request(there, cell)), cell, heard=False)
        except CallError as error:
            assert error.reason.code in ("policy_denied", "invalid_params")  # noqa: PT017
        assert there.calls() == {"weather": 0, "notes": 0}
        assert there.entries("intent") == []


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_every_method_needs_a_credential(cell: tuple[Era, str]) -> None:
    async with world({"notes": SERVER}) as there:
        for key in (None, b"made-up"):
            error = await there.refused(await request(there, cell, key))
            assert error.reason.status == 401


async def test_others_notice_nothing_of_a_server_that_hangs() -> None:
    limits = dataclasses.replace(LIMITS, gather_seconds=60.0)
    async with world({"broken": hangs, "notes": SERVER}, limits=limits) as there:
        listing = asyncio.ensure_future(there.result("tools/list"))
        async with asyncio.timeout(50):
            for _ in range(20):
                await there.ask(modern("tools/call", {"name": "notes__a"}, server=ALL, key=b"key-of-bob"))
                await there.ask(modern("tools/list", {}, server="notes", key=b"key-of-bob"))
        assert not listing.done()
        listing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listing
        assert len(there.entries("outcome", outcome="aborted")) >= 1
