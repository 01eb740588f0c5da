"""LiteLLM's addresses on the socket: which paths they are, and that they are nobody's without the section."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.gateway.building import META
from tests.support.hostile import HostileServer
from tests.web.building import Running, running

NAMES = {"weather": ("weather",), "forecasts": ("weather",)}
CALL = {
    "jsonrpc": "2.0",
    "id": "mine",
    "method": "tools/call",
    "params": {"name": "weather-get_weather", "arguments": {"city": "Oslo"}, "_meta": META},
}
BODY = json.dumps(CALL).encode()
NAME = b"weather-get_weather"


@pytest.fixture(scope="module")
def litellm() -> Iterator[Running]:
    with HostileServer() as server, running(server, litellm=NAMES) as one:
        yield one


@pytest.mark.parametrize(
    "target",
    [
        b"/mcp",
        b"/mcp/",
        b"/mcp/weather",
        b"/mcp/weather/",
        b"/weather/mcp",
        b"/weather/mcp/",
        b"/forecasts/mcp?x=1",
        b"/mcp/forecasts,weather",
        b"/weather,forecasts/mcp",
    ],
)
def test_a_call_at_each_of_them_reaches_the_server(litellm: Running, target: bytes) -> None:
    calls = litellm.server.calls
    assert litellm.ask(litellm.request(body=BODY, target=target, mcp_name=NAME)).status == 200
    assert litellm.server.calls == calls + 1


@pytest.mark.parametrize(
    "target",
    [
        b"/mcp/nobody",
        b"/nobody/mcp",
        b"/weather/mcp/x",
        b"/x/weather/mcp",
        b"/mcp/weather/x",
        b"/mcp/weather,",
        b"/mcp//weather",
        b"/weather%2Fmcp",
        b"/%77eather/mcp",
        b"//mcp",
        b"/weather//mcp",
    ],
)
def test_any_other_is_no_address(litellm: Running, target: bytes) -> None:
    litellm.refused(litellm.request(body=BODY, target=target, mcp_name=NAME), 404)


@pytest.mark.parametrize("target", [b"/weather/mcp", b"/mcp/", b"/mcp/weather,weather"])
def test_without_the_section_they_are_nobodys(target: bytes) -> None:
    with HostileServer() as server, running(server) as one:
        one.refused(one.request(target=target), 404)
        one.good()
