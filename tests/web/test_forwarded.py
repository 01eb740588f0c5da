"""Headers that go on by name, from the socket to the server: also where a head comes again, and where a page asks beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from counterseal.gateway.wiring import open_gateway
from counterseal.web.app import App
from tests.gateway.opening import written
from tests.support.hostile import HostileServer
from tests.support.rawhttp import Wire, ask, serving
from tests.web.building import BODY

PAGE = "https://app.example.com"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def port(tmp_path: Path, server: HostileServer) -> Iterator[int]:
    tmp_path.chmod(0o700)
    entry = {"forward_headers": ["X-Tenant-Id"]}
    listen = {"host": "127.0.0.1", "origins": [PAGE]}
    config = written(tmp_path, server, entry, listen=listen)
    with serving(App(asynccontextmanager(partial(_opened, config)))) as port:
        yield port


async def _opened(config: Path) -> Any:
    async with open_gateway(config) as gateway:
        yield gateway


def request(port: int, *lines: bytes, verb: bytes = b"POST", body: bytes = BODY) -> bytes:
    usual = [
        b"Host: 127.0.0.1:%d" % port,
        b"Content-Type: application/json",
        b"Accept: application/json, text/event-stream",
        b"MCP-Protocol-Version: 2026-07-28",
        b"Mcp-Method: tools/call",
        b"Mcp-Name: get_weather",
    ]
    return b"\r\n".join(
        [verb + b" /mcp/weather HTTP/1.1", *usual, *lines, b"Content-Length: %d" % len(body), b"", body]
    )


def test_on_one_connection_each_call_has_its_own_whether_or_not_its_head_came_before(
    port: int, server: HostileServer
) -> None:
    longer = json.dumps({**json.loads(BODY), "id": "of another length"}).encode()
    wire = Wire(port, 10)
    with wire:
        for lines, body, seen in (
            ((b"X-Tenant-Id: acme",), BODY, ["acme"]),
            ((b"X-Tenant-Id: acme",), BODY, ["acme"]),
            ((b"X-Tenant-Id: acme",), longer, ["acme"]),
            ((b"X-Tenant-Id: ibex",), longer, ["ibex"]),
            ((b"X-Tenant-Id: ibex",), BODY, ["ibex"]),
            ((), BODY, []),
            ((), BODY, []),
            ((b"X-Tenant-Id: acme",), BODY, ["acme"]),
        ):
            wire.send(request(port, *lines, body=body))
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200
            assert server.seen[-1].all("x-tenant-id") == seen
        calls = server.calls
        for _ in range(2):
            wire.send(request(port, b"X-Tenant-Id: acme", b"x-tenant-id: acme"))
            refused = wire.answer()
            assert refused is not None
            assert refused.status == 400
        assert server.calls == calls


@pytest.mark.parametrize(("name", "named"), [(b"x-tenant-id", True), (b"x-other", False)])
def test_a_page_may_send_what_some_server_gets_by_name_and_nothing_else(port: int, name: bytes, named: bool) -> None:
    lines = [
        b"Origin: " + PAGE.encode(),
        b"Access-Control-Request-Method: POST",
        b"Access-Control-Request-Headers: authorization," + name,
    ]
    head = b"\r\n".join([b"OPTIONS /mcp/weather HTTP/1.1", b"Host: 127.0.0.1:%d" % port, *lines, b"", b""])
    answer = ask(port, head)
    assert answer is not None
    assert answer.status == 204
    allowed = (answer.header("access-control-allow-headers") or "").lower().split(", ")
    assert ("x-tenant-id" in allowed, "x-other" in allowed) == (named, False)
