"""From a configuration to servers of every transport, in one gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.config.lock import lock_path, write_lock
from counterseal.core.limits import LIMITS
from counterseal.errors import CallError
from counterseal.gateway import wiring
from counterseal.gateway.transports import _TRANSPORTS
from counterseal.gateway.wiring import Gateway, open_gateway
from tests.contracts.http import until
from tests.contracts.server import messages
from tests.gateway.building import modern
from tests.servers.duplexes import PROGRAM
from tests.servers.permits import read
from tests.support.gateway import configuration
from tests.support.hostile import HostileServer, whole
from tests.support.sse_server import SseServer

DOCUMENT = """\
openapi: 3.1.0
info: {title: Things, version: "1"}
paths: {/thing: {get: {operationId: get_thing}}}
"""


def written(folder: Path, servers: dict[str, dict[str, Any]]) -> Path:
    folder.chmod(0o700)
    path = folder / "counterseal.yaml"
    usual = {"callers": {"api_keys": False, "anonymous": True}, "keys": {"source": "store", "algorithms": ["ES256"]}}
    path.write_text(yaml.safe_dump(configuration(8460, folder, servers, **usual)))
    return path


async def call(gateway: Gateway, server: str, tool: str = "echo", **arguments: Any) -> Any:
    inbound = modern("tools/call", {"name": tool, "arguments": arguments}, key=None, server=server)
    return messages(await read(await gateway.handler.handle(inbound)))[-1]


def stdio(*options: str, **keys: Any) -> dict[str, Any]:
    return {"transport": "stdio", "command": [sys.executable, str(PROGRAM), *options], **keys}


async def test_servers_of_every_transport_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(DOCUMENT)
    with HostileServer() as web, SseServer() as old, HostileServer(lambda heard, line: line.send(whole(b"7"))) as api:
        servers = {
            "web": {"url": web.url},
            "api": {"transport": "openapi", "url": api.url, "spec": "api.yaml"},
            "old": {"transport": "sse", "url": old.url},
            "program": stdio(),
            "own": stdio(isolation="caller", send_token=True),
        }
        async with open_gateway(written(tmp_path, servers)) as gateway:
            assert (await call(gateway, "web"))["result"]["content"][0]["text"] == "ok"
            assert (await call(gateway, "api", "get_thing"))["result"]["content"][0]["text"] == "7"
            for name in ("old", "program", "own"):
                assert (await call(gateway, name, text=name))["result"]["content"][0]["text"] == name
            assert {check() for check in gateway.servers.values()} == {None}
    assert {server["transport"] for server in servers.values() if "transport" in server} | {"streamable_http"} == set(
        _TRANSPORTS
    )


async def test_a_call_that_cannot_be_made_leaves_its_record_and_the_gateway_ready(tmp_path: Path) -> None:
    servers = {"broken": stdio("--exit", "7"), "fine": stdio()}
    async with open_gateway(written(tmp_path, servers)) as gateway:
        refused = []
        while gateway.servers["broken"]() is None:
            with pytest.raises(CallError) as failed:
                await call(gateway, "broken")
            assert failed.value.reason.code == "server_unreachable"
            assert failed.value.record is not None
            refused += dict(failed.value.headers).get(b"retry-after", b"").split()
            await asyncio.sleep(0.05)
        assert set(refused) == {b"1"}
        assert (await call(gateway, "fine", text="x"))["result"]["content"][0]["text"] == "x"
        assert not any(check() for check in gateway.checks.values())
        told = {name: check() for name, check in gateway.servers.items()}
        assert told["fine"] is None
        assert "exit code 7" in (told["broken"] or "")
    records = [json.loads(line) for path in (tmp_path / "audit").glob("*") for line in path.read_text().splitlines()]
    own = [entry for entry in records if entry.get("peer") == "gateway"]
    assert {entry["method"] for entry in own} >= {"initialize", "server/discover"}
    intents = {entry["record"] for entry in records if entry["event"] == "intent"}
    assert intents == {entry["record"] for entry in records if entry["event"] == "outcome"}


async def reason(gateway: Gateway, server: str, tool: str = "echo") -> str:
    try:
        await call(gateway, server, tool, **({"text": "hi"} if tool == "echo" else {}))
    except CallError as error:
        return error.reason.code
    return "ok"


async def test_a_server_that_cannot_be_reached_is_left_alone_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(DOCUMENT)
    with HostileServer(lambda heard, line: line.reset()) as dead, HostileServer() as fine:
        servers = {
            "web": {"url": dead.url},
            "api": {"transport": "openapi", "url": dead.url.replace("127.0.0.1", "localhost"), "spec": "api.yaml"},
            "old": {"transport": "sse", "url": f"{dead.url}/sse"},
            "fine": {"url": fine.url},
        }
        async with open_gateway(written(tmp_path, servers)) as gateway:
            for name in ("web", "api", "old"):
                before = dead.calls
                tool = "get_thing" if name == "api" else "echo"
                found = [await reason(gateway, name, tool) for _ in range(LIMITS.server_failure_count + 2)]
                assert found == ["server_unreachable"] * 5 + ["server_failing"] * 2, name
                assert dead.calls == before + 5
                assert "not reached 5 times in a row by one caller" in str(gateway.servers[name]())
            assert await reason(gateway, "fine") == "ok"
            assert gateway.servers["fine"]() is None


async def test_a_server_that_hangs_takes_no_place_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "LIMITS", dataclasses.replace(LIMITS, calls_per_server=3, calls_per_caller=10))
    with HostileServer(lambda heard, line: line.gone() and None) as hung, HostileServer() as fine:
        async with open_gateway(written(tmp_path, {"hung": {"url": hung.url}, "fine": {"url": fine.url}})) as gateway:
            waiting = [asyncio.ensure_future(reason(gateway, "hung")) for _ in range(3)]
            assert await until(lambda: hung.calls == 3)
            assert await reason(gateway, "hung") == "server_busy"
            assert await reason(gateway, "fine") == "ok"
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    assert hung.calls == 3


async def test_m_14_what_the_lock_file_does_not_have_is_shown_over_no_transport(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(DOCUMENT)
    names = ("web", "api", "old", "program", "own")
    with HostileServer() as web, SseServer() as old, HostileServer(lambda heard, line: line.send(whole(b"7"))) as api:
        servers = {
            "web": {"url": web.url},
            "api": {"transport": "openapi", "url": api.url, "spec": "api.yaml"},
            "old": {"transport": "sse", "url": old.url},
            "program": stdio(),
            "own": stdio(isolation="caller", send_token=True),
        }
        path = written(tmp_path, servers)
        seen = {}
        async with open_gateway(path) as gateway:
            for name in names:
                seen[name] = await listed(gateway, name)
                assert len(seen[name]) in (1, 2)
        for name in names:
            lock_path(tmp_path).write_text(write_lock({name: {}}))
            async with open_gateway(path) as gateway:
                assert await listed(gateway, name) == []
                assert await reason(gateway, name, seen[name][0]["name"]) == "tool_changed"
        locked = {name: {one["name"]: one for one in seen[name]} for name in names}
        lock_path(tmp_path).write_text(write_lock(locked))
        async with open_gateway(path) as gateway:
            for name in names:
                assert await listed(gateway, name) == seen[name]
                assert (name, await reason(gateway, name, seen[name][0]["name"])) == (name, "ok")


async def listed(gateway: Gateway, server: str) -> list[dict[str, Any]]:
    reply = await gateway.handler.handle(modern("tools/list", key=None, server=server))
    found: list[dict[str, Any]] = messages(await read(reply))[-1]["result"]["tools"]
    return found


async def test_m_14_a_document_that_changed_changes_its_tools(tmp_path: Path) -> None:
    document = tmp_path / "api.yaml"
    document.write_text(DOCUMENT)
    with HostileServer(lambda heard, line: line.send(whole(b"7"))) as api:
        path = written(tmp_path, {"api": {"transport": "openapi", "url": api.url, "spec": "api.yaml"}})
        async with open_gateway(path) as gateway:
            assert len(await listed(gateway, "api")) == 1
        document.write_text(DOCUMENT.replace("get_thing}", "get_thing, summary: Read everything}"))
        async with open_gateway(path) as gateway:
            assert await reason(gateway, "api", "get_thing") == "tool_changed"
            assert await listed(gateway, "api") == []
        assert api.calls == 0
        document.write_text(DOCUMENT)
        async with open_gateway(path) as gateway:
            assert await listed(gateway, "api") != []
            assert await reason(gateway, "api", "get_thing") == "ok"
