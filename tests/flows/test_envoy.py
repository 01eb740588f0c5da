"""Envoy's `jwt_authn` in front of two servers: what our tokens say is enough for it to verify, and to choose by."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.support.calls import modern_headers, post, tool_call
from tests.support.envoy import Envoy
from tests.support.gateway import running_gateway
from tests.support.process import free_port
from tests.support.servers import RecordingServer

pytestmark = [pytest.mark.party("envoy")]

ROUTED = ("mcp:tools/call:get_weather", "planner")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_envoy_verifies_by_our_jwks_and_routes_on_scope_and_act(tmp_path: Path, algorithm: str) -> None:
    port, gateway_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    issuer = f"http://127.0.0.1:{gateway_port}"
    async with RecordingServer() as planned, RecordingServer() as other:
        routes = {ROUTED: planned.url, (ROUTED[0], "writer"): other.url}
        entry = {"url": url, "signer": {"algorithm": algorithm}}
        keys = {"source": "store", "algorithms": [algorithm]}
        async with running_gateway(tmp_path, {"weather": entry}, port=gateway_port, keys=keys) as gateway:
            with Envoy(tmp_path, port, issuer=issuer, jwks=gateway.jwks, routes=routes):
                planner = await asyncio.to_thread(gateway.create_key, "alice", "--agent", "planner")
                writer = await asyncio.to_thread(gateway.create_key, "alice", "--agent", "writer")
                for key, server in ((planner, planned), (writer, other)):
                    status, body = await post(gateway.at("weather"), tool_call("get_weather"), key.headers)
                    assert status == 200, body
                    assert server.seen[-1].headers["x-token-actor"] == ("planner" if key is planner else "writer")
                assert (len(planned.seen), len(other.seen)) == (1, 1)
                # Another operation, another scope: Envoy knows no server for it.
                status, body = await post(gateway.at("weather"), tool_call("delete_all"), planner.headers)
                assert status == 502, body
                # The tokens themselves, straight to Envoy: as they are, changed, and none.
                token = planned.seen[-1].token
                assert await straight(url, token) == 200
                head, payload, signature = token.split(".")
                changed = ".".join((head, payload, signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")))
                for bad in (None, changed, f"{head}.{payload}."):
                    assert await straight(url, bad) == 401
                assert (len(planned.seen), len(other.seen)) == (2, 1)


async def straight(url: str, token: str | None) -> int:
    """What Envoy answers to a call that is sent past the gateway."""
    call = tool_call("get_weather")
    headers = modern_headers(call) | ({} if token is None else {"Authorization": f"Bearer {token}"})
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        return (await client.post(url, json=call, headers=headers)).status_code
