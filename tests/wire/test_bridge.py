"""A modern call in a legacy session of the gateway's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp_types import methods as sdk

from counterseal.core.methods import METHODS
from counterseal.wire import bridge
from counterseal.wire.answer import NotAnAnswer
from tests.contracts.server import META


def answer(**result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


def test_what_both_eras_have_crosses_and_nothing_else() -> None:
    assert {name for name, row in METHODS.items() if row.modern and bridge.crosses(name)} == {
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
    }


def test_m_26_what_describes_the_caller_stays_here_and_the_rest_of_meta_does_not() -> None:
    meta = {**META, "progressToken": 1, "traceparent": "00-..."}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "c", "_meta": meta}}
    assert bridge.to_legacy(message)["params"] == {
        "cursor": "c",
        "_meta": {"progressToken": 1, "traceparent": "00-..."},
    }
    assert bridge.to_legacy({**message, "params": {"_meta": META}})["params"] == {}
    assert message["params"]["_meta"] is meta


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/list", {"tools": []}),
        ("tools/call", {"content": []}),
        ("prompts/list", {"prompts": []}),
        ("prompts/get", {"messages": []}),
        ("resources/list", {"resources": []}),
        ("resources/templates/list", {"resourceTemplates": []}),
        ("resources/read", {"contents": []}),
        ("completion/complete", {"completion": {"values": []}}),
    ],
)
def test_an_answer_has_what_the_new_revision_requires(method: str, result: dict[str, Any]) -> None:
    """The official SDK's own models are the judge."""
    said = json.loads(bridge.to_modern(answer(**result), method))["result"]
    sdk.parse_server_result(method, "2026-07-28", said)
    assert said.items() >= result.items()


def test_a_resource_that_is_not_there_has_the_code_of_the_new_revision() -> None:
    for code, expected in ((-32002, -32602), (-32601, -32601), (1, 1)):
        error = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "m"}}).encode()
        assert json.loads(bridge.to_modern(error, "resources/read"))["error"] == {"code": expected, "message": "m"}


def test_what_cannot_be_read_is_no_answer() -> None:
    with pytest.raises(NotAnAnswer):
        bridge.to_modern(b'{"result": []}', "tools/list")


def test_a_discovery_says_what_crosses_and_nothing_that_the_server_does_by_itself() -> None:
    handshake = {
        "protocolVersion": "2025-06-18",
        "capabilities": {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "prompts": {},
            "completions": {},
            "logging": {},
            "tasks": {},
        },
        "serverInfo": {"name": "s", "version": "1"},
        "instructions": "use it",
    }
    found = bridge.discovery(handshake)
    sdk.parse_server_result("server/discover", "2026-07-28", found)
    assert found["supportedVersions"] == ["2026-07-28"]
    assert found["capabilities"] == {"tools": {}, "resources": {}, "prompts": {}, "completions": {}}
    assert found["_meta"] == {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}}
    assert found["instructions"] == "use it"
    assert bridge.discovery({"capabilities": 7})["capabilities"] == {}
