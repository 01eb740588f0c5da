"""A server that ends while it is used, and comes back: what callers notice, and those of another server do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.calls import modern, modern_headers, post
from tests.support.gateway import running_gateway
from tests.support.process import free_port
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.party("fastmcp")]


async def test_a_server_that_is_gone_is_left_alone_and_found_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    says = tmp_path / "says.txt"
    says.write_text("The weather of tomorrow.")
    port, call = free_port(), modern("tools/list")

    def start(at: int) -> ServerProcess:
        return ServerProcess("changing", at, "--says", str(says))

    server, other = await asyncio.to_thread(start, port), await asyncio.to_thread(start, free_port())
    try:
        servers = {"weather": {"url": server.url}, "other": {"url": other.url}}
        async with running_gateway(tmp_path, servers) as gateway:
            key = await asyncio.to_thread(gateway.create_key, "alice")

            async def reason(name: str) -> str:
                status, body = await post(gateway.at(name), call, key.headers)
                return "ok" if status == 200 else str(body["error"]["data"]["reason"])

            assert await reason("weather") == "ok"
            await asyncio.to_thread(server.stop)
            assert [await reason("weather") for _ in range(6)] == ["server_unreachable"] * 5 + ["server_failing"]
            assert await reason("other") == "ok"
            async with (
                aiohttp.ClientSession() as session,
                session.post(gateway.at("weather"), json=call, headers=modern_headers(call, **key.headers)) as refused,
                session.get(f"{gateway.url}/readyz") as ready,
            ):
                assert refused.status == 502
                assert int(refused.headers["Retry-After"]) >= 1
                assert ready.status == 200
                told = (await ready.json())["servers"]
            assert told["other"] == "ok"
            assert "times in a row" in told["weather"]
            server = await asyncio.to_thread(start, port)
            while (found := await reason("weather")) != "ok":
                assert found == "server_failing"
    finally:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(other.stop)
