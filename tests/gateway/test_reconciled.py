"""What the gateway answers itself has a token that nobody sees: `audit reconcile` explains it by the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterseal.audit.reconcile import reconcile
from counterseal.core.receipt import Receipt
from counterseal.gateway.wiring import open_gateway
from tests.gateway.building import legacy, modern
from tests.gateway.opening import written
from tests.gateway.test_openapi_wiring import DOCUMENT
from tests.servers.permits import read
from tests.support.hostile import HostileServer, whole

BY_ITSELF = "not sent: the gateway answered itself, or dropped it"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(lambda heard, line: line.send(whole(b'{"id": "x"}'))) as made:
        yield made


async def test_of_an_http_api_only_the_calls_of_tools_have_to_arrive(server: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text(DOCUMENT)
    path = written(tmp_path, server, {"transport": "openapi", "spec": "things.yaml"})
    asked = [
        modern("server/discover", key=None),
        modern("tools/list", key=None),
        modern(params={"name": "get_thing", "arguments": {"id": {}}}, key=None),
        legacy("initialize", key=None),
        legacy("notifications/initialized", key=None),
        modern(params={"name": "get_thing", "arguments": {"id": "a"}}, key=None),
    ]
    async with open_gateway(path, background=False) as gateway:
        for inbound in asked:
            await read(await gateway.handler.handle(inbound))
    assert server.calls == 1
    audit = list((tmp_path / "audit").iterdir())
    found = reconcile(audit, [], audiences=[server.url])
    assert (found.minted, found.explained) == (6, {BY_ITSELF: 5})
    (one,) = found.differences
    assert (one.kind, one.method, one.name) == ("never_arrived", "tools/call", "get_thing")
    (tmp_path / "receipts").write_bytes(
        Receipt(
            time=1.0,
            server=server.url,
            reason=None,
            method=one.method,
            name=one.name,
            aud=server.url,
            sub=one.sub,
            jti=one.jti,
            txn=_txn(tmp_path, str(one.jti)),
        ).line()
    )
    assert reconcile(audit, [tmp_path / "receipts"]).equal


def _txn(folder: Path, jti: str) -> str:
    lines = [json.loads(line) for path in (folder / "audit").iterdir() for line in path.read_text().splitlines()]
    return str(next(line["txn"] for line in lines if line.get("jti") == jti))
