"""A modern call in a legacy session of the gateway's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp_types import methods as sdk

from counterseal.core.methods import METHODS
from counterseal.errors import BadCall
from counterseal.wire import bridge
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.envelope import VERSION
from tests.contracts.server import META
from tests.servers.permits import PARAMS


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


# ---- a legacy call at a server that has revision 2026-07-28 alone -----------------------------------------------------


@pytest.mark.parametrize("method", sorted(name for name in METHODS if METHODS[name].modern and bridge.crosses(name)))
def test_a_request_has_what_the_new_revision_requires(method: str) -> None:
    """The official SDK's own models are the judge."""
    params = {**PARAMS.get(method, {}), "_meta": {"progressToken": 1, VERSION: "1999-01-01", "x/y": 2}}
    message = bridge.to_new({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, "counterseal", "1")
    sdk.validate_client_request(method, "2026-07-28", message["params"])
    assert message["params"]["_meta"] == {
        "progressToken": 1,
        "x/y": 2,
        **META,
        "io.modelcontextprotocol/clientInfo": {"name": "counterseal", "version": "1"},
    }
    assert params["_meta"][VERSION] == "1999-01-01"  # the caller's own is as it was


@pytest.mark.parametrize(
    ("method", "result"),
    [
        (
            "tools/list",
            {"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"},
        ),
        ("tools/call", {"content": [], "structuredContent": {"a": 1}, "_meta": {"x/y": 1}}),
        ("prompts/list", {"prompts": [], "ttlMs": 5, "cacheScope": "public"}),
        ("resources/read", {"contents": [], "ttlMs": 5, "cacheScope": "public"}),
        ("completion/complete", {"completion": {"values": []}}),
    ],
)
def test_an_answer_has_what_an_old_revision_knows(method: str, result: dict[str, Any]) -> None:
    meta = {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}, **result.pop("_meta", {})}
    said = json.loads(bridge.to_old(answer(**result, _meta=meta, resultType="complete"), method))["result"]
    sdk.validate_server_result(method, "2025-11-25", said)
    assert not said.keys() & {"resultType", "ttlMs", "cacheScope"}
    assert said.get("_meta", {}) == ({"x/y": 1} if method == "tools/call" else {})


def test_an_answer_that_is_no_object_is_not_promised_and_not_given_to_who_knows_only_objects() -> None:
    """Revision 2026-07-28 has any JSON value there; an older client takes the whole list, or the whole answer, for broken."""
    tools = [
        {"name": "one", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
        {"name": "two", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}},
    ]
    listed = json.loads(bridge.to_old(answer(tools=tools), "tools/list"))["result"]["tools"]
    assert listed == [{"name": "one", "inputSchema": {"type": "object"}}, tools[1]]
    sdk.validate_server_result("tools/list", "2025-11-25", {"tools": listed})
    called = json.loads(bridge.to_old(answer(content=[], structuredContent=[1]), "tools/call"))["result"]
    assert called == {"content": []}
    kept = json.loads(bridge.to_old(answer(content=[], structuredContent={"a": 1}), "tools/call"))["result"]
    assert kept == {"content": [], "structuredContent": {"a": 1}}


def test_an_error_stays_as_it_is_for_an_old_caller() -> None:
    text = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}'
    assert bridge.to_old(text, "tools/call") == text


@pytest.mark.parametrize("kind", ["input_required", "task"])
def test_what_no_old_revision_has_words_for_does_not_cross(kind: str) -> None:
    with pytest.raises(BadCall) as refused:
        bridge.to_old(answer(resultType=kind), "tools/call")
    assert refused.value.reason.code == "revision_too_old"


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/call", {"resultType": "odd"}),
        ("tools/call", {"resultType": 1}),
        ("tools/list", {}),
        ("tools/list", {"tools": 1}),
    ],
)
def test_what_is_no_answer_is_none_for_an_old_caller(method: str, result: dict[str, Any]) -> None:
    with pytest.raises(NotAnAnswer):
        bridge.to_old(answer(**result), method)


def test_an_introduction_is_one_that_the_sdk_takes() -> None:
    found = {"capabilities": {"tools": {"listChanged": True}, "extensions": {"a/b": {}}, "logging": {}}, "_meta": 1}
    said = bridge.introduction(found, "2025-06-18", "weather")
    sdk.validate_server_result("initialize", "2025-06-18", said)
    assert said["capabilities"] == {"tools": {}}


# ---- which era a refusal is of ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "modern"),
    [
        (400, -32020, True),
        (400, -32021, True),
        (400, -32022, True),
        (404, -32601, True),
        (400, -32601, False),
        (400, -32602, False),
        (400, -32600, False),
        (400, -32000, False),
        (404, -32001, False),
        (400, "-32020", False),
        (400, None, False),
    ],
)
def test_a_refusal_is_of_the_new_era_by_its_code(status: int, code: Any, modern: bool) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": "no"}}).encode()
    assert bridge.is_modern(status, bridge.error_of(body)) is modern


@pytest.mark.parametrize("body", [None, b"", b"[]", b"null", b"{", b'{"error": "no"}', b"\xff", b"[" * 100_000, b"{}"])
def test_what_is_no_error_says_nothing_of_eras(body: bytes | None) -> None:
    assert bridge.error_of(body) is None
    assert not bridge.is_modern(404, bridge.error_of(body))
