"""Messages on a duplex that many callers share: ids and tokens of ours on the wire, the callers' own on their side."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.wire import duplex
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.duplex import Kind


def text(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def test_a_message_is_told_by_its_members() -> None:
    assert duplex.read(text(id="a", result={})).kind is Kind.RESPONSE
    assert duplex.read(text(id=1, error={})).kind is Kind.RESPONSE
    assert duplex.read(text(method="notifications/progress", params={})).kind is Kind.NOTIFICATION
    heard = duplex.read(text(id=7, method="ping"))
    assert (heard.kind, heard.id, heard.method) == (Kind.REQUEST, 7, "ping")


@pytest.mark.parametrize("id", [None, 1.5, True, [1], {}])
def test_m_07_an_id_that_is_none_of_ours_is_no_id(id: Any) -> None:
    assert duplex.read(text(id=id, result={})).id is None


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b"1", b"null", b'{"method": 1}', b'{"id"', b"\xff", b'{"a":' + b"[" * 100_000]
)
def test_m_24_what_is_no_message_is_told_as_that(line: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        duplex.read(line)


def test_a_member_is_found_at_its_path_and_nowhere_else() -> None:
    params = b'{"_meta": {"a": "x"}, "a": 1, "b": {"a": []}}'
    assert duplex.member(params, "a") == 1
    assert duplex.member(params, "_meta", "a") == "x"
    assert duplex.member(params, "b", "a") is None
    assert duplex.member(params, "c", "a") is None
    assert duplex.member(b"", "a") is None
    assert duplex.member(b"[" * 100_000, "a") is None


def test_m_07_m_08_a_request_goes_out_under_ids_of_ours() -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": {"progressToken": 1, "x": 2}}}
    assert duplex.request(message, "ours") == {
        "jsonrpc": "2.0",
        "id": "ours",
        "method": "tools/call",
        "params": {"_meta": {"progressToken": "ours", "x": 2}},
    }
    assert message["params"] == {"_meta": {"progressToken": 1, "x": 2}}
    assert duplex.request({"jsonrpc": "2.0", "id": 1, "method": "ping"}, "ours")["id"] == "ours"


def test_progress_comes_back_under_the_callers_token() -> None:
    said = duplex.renamed(
        text(method="notifications/progress", params={"progressToken": "ours", "progress": 1}), token=7
    )
    assert json.loads(said)["params"] == {"progressToken": 7, "progress": 1}


def test_a_subscription_comes_back_under_the_callers_id() -> None:
    meta = {"_meta": {duplex.SUBSCRIPTION: "ours", "x": 1}}
    for message in (text(method="notifications/tools/list_changed", params=meta), text(id="ours", result=meta)):
        said = json.loads(duplex.renamed(message, subscription="mine"))
        assert (said.get("params") or said["result"])["_meta"] == {duplex.SUBSCRIPTION: "mine", "x": 1}
    failed = text(id="ours", error={"code": -32601, "message": "no"})
    assert json.loads(duplex.renamed(failed, subscription="mine"))["error"]["code"] == -32601


def test_the_oldest_revision_is_told_as_the_one_that_holds_it() -> None:
    old = text(id=1, result={"protocolVersion": "2024-11-05", "capabilities": {}})
    assert json.loads(duplex.negotiated(old))["result"]["protocolVersion"] == "2025-03-26"
    for other in (
        text(id=1, result={"protocolVersion": "2025-06-18"}),
        text(id=1, error={}),
        b"x",
        text(id=1, result=[]),
    ):
        assert duplex.negotiated(other) == other


@pytest.mark.parametrize(
    ("code", "status"),
    [(-32601, 404), (-32602, 400), (-32021, 400), (-32022, 400), (-32603, 200), (7, 200), ("x", 200)],
)
def test_an_error_of_the_new_revision_has_the_status_that_it_gives_it(code: Any, status: int) -> None:
    assert duplex.status_of(text(id=1, error={"code": code, "message": ""})) == status


def test_s6_the_call_token_is_put_where_a_server_finds_it() -> None:
    token = {duplex.CALL_TOKEN: "t"}
    assert duplex.with_token({"method": "ping"}, "t") == {"method": "ping", "params": {"_meta": token}}
    asked = {"method": "tools/call", "params": {"name": "x", "_meta": {"a": 1}}}
    assert duplex.with_token(asked, "t")["params"] == {"name": "x", "_meta": {"a": 1, **token}}
    assert duplex.with_token({"id": 1, "result": {"b": 2}}, "t") == {"id": 1, "result": {"b": 2, "_meta": token}}
    assert duplex.with_token({"id": 1, "error": {}}, "t") == {"id": 1, "error": {}}
