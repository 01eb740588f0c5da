"""What is remembered of a server's tools, and what the log says of those that are not shown."""

from __future__ import annotations

import json
import logging

import pytest

from counterseal.core.limits import LIMITS
from counterseal.servers.learned import Learned
from counterseal.wire.answer import Answer
from tests.servers.permits import call


def listed(*tools: dict[str, object]) -> Answer:
    """An answer that was read to its end."""
    answer = Answer(call("tools/list"), "ours", lambda *_: True)
    answer.message(json.dumps({"jsonrpc": "2.0", "id": "ours", "result": {"tools": list(tools)}}).encode())
    return answer


def tool(name: str, annotation: object) -> dict[str, object]:
    city = {"type": "string", "x-mcp-header": annotation}
    return {"name": name, "inputSchema": {"type": "object", "properties": {"city": city}}}


def test_a_tool_that_asks_for_a_header_that_no_client_can_send_is_named_in_the_log_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    learned = Learned("weather", LIMITS)
    with caplog.at_level(logging.WARNING, "counterseal.servers"):
        learned.take(listed(tool("good", "City"), tool("bad", "not a token")))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "server weather: tool 'bad' is left out of lists: x-mcp-header is not an HTTP token" in said
    assert learned.schema("good") == {("city",): "mcp-param-city"}
    assert learned.schema("bad") is None


def test_a_server_does_not_fill_the_log_with_one_list(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "counterseal.servers"):
        Learned("weather", LIMITS).take(listed(*(tool(f"bad-{number}", "") for number in range(100))))
    assert len(caplog.records) == 20
