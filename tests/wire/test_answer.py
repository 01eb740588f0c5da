"""What a server may answer: one response to this call, notifications, and in their revisions requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from counterseal.core.call import Call, Era, Shape
from counterseal.core.methods import LEGACY, METHODS, MODERN, SUPPORTED
from counterseal.wire.answer import Answer, NotAnAnswer
from tests.wire.answers import SENT, answer, legacy, refuses, result, stream, text

# ---- one response, to this call ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [7, 0, "seven", "", "7"])
def test_a_response_goes_back_under_the_callers_id(id: str | int) -> None:
    """M-07: the server never sees the caller's id, and the caller never sees ours."""
    reader = answer(id=id)
    assert reader.message(result({"content": []})) == b'{"jsonrpc":"2.0","id":%s,"result":{"content": []}}' % (
        json.dumps(id).encode()
    )
    assert (reader.ended, reader.is_error) == (True, False)


def test_an_error_is_a_response_too() -> None:
    reader = answer()
    error = {"code": -32602, "message": "no such tool", "data": {"more": [1]}}
    assert json.loads(reader.message(text(id=SENT, error=error))) == {"jsonrpc": "2.0", "id": 7, "error": error}
    assert (reader.ended, reader.is_error) == (True, True)


@pytest.mark.parametrize("id", ["7", 7, SENT + "0", SENT.upper(), "", 0, None, True, [SENT], {"a": SENT}, 1.5, 10**400])
def test_a_response_to_another_id_is_refused(id: Any) -> None:
    """M-07, M-24: also to the id that the caller chose, which the server cannot know."""
    reader = answer()
    refuses(reader, result({"secret": 1}, id))
    assert not reader.ended
    reader.message(result({}))


@pytest.mark.parametrize(("sent", "came"), [(1, "1"), ("1", 1), (1, True), (0, False), (1, None), ("", None)])
def test_an_id_comes_back_with_its_type(sent: str | int, came: Any) -> None:
    """M-07."""
    refuses(legacy(id=sent), result({}, came))
    legacy(id=sent).message(result({}, sent))


def test_an_error_without_an_id_answers_the_only_call_there_is() -> None:
    """JSON-RPC section 5: a server that could not read the request does not know its id. A result always has one."""
    reader = answer()
    assert json.loads(reader.message(text(id=None, error={"code": -32700, "message": "x"})))["id"] == 7
    assert reader.ended
    refuses(answer(), text(id=None, result={}))
    refuses(answer(), text(error={"code": -32700, "message": "x"}))


@pytest.mark.parametrize(
    "second", [result({}), text(id=SENT, error={"code": 1, "message": ""}), text(id=None, error={})]
)
def test_a_second_response_is_refused(second: bytes) -> None:
    """M-24."""
    reader = answer()
    reader.message(result({}))
    refuses(reader, second)


def test_what_asks_for_nothing_is_answered_by_nothing() -> None:
    """M-24: a message that went out without an id has no response, not even one without an id."""
    call = Call(server="s", era=Era.LEGACY, revision=LEGACY[-1], shape=Shape.NOTIFICATION, method="notifications/x")
    refuses(Answer(call, None, lambda *_: True), result({}, None))


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"id": SENT},
        {"result": {}},
        {"id": SENT, "result": {}, "error": {}},
        {"id": SENT, "result": None},
        {"id": SENT, "result": 5},
        {"id": SENT, "result": "secret"},
        {"id": SENT, "result": [{}]},
        {"id": SENT, "error": None},
        {"id": SENT, "error": "secret"},
        {"id": SENT, "error": -32600},
    ],
)
def test_what_is_neither_a_result_nor_an_error_is_refused(members: dict[str, Any]) -> None:
    """M-24."""
    refuses(answer(), text(**members))


@pytest.mark.parametrize("version", [b'"1.0"', b'"2"', b"2.0", b"null", b'["2.0"]'])
def test_only_json_rpc_2_is_an_answer(version: bytes) -> None:
    """M-24."""
    good = b'{"jsonrpc":"2.0","id":"%s","result":{}}' % SENT.encode()
    answer().message(good)
    refuses(answer(), good.replace(b'"2.0"', version))
    refuses(answer(), good.replace(b'"jsonrpc":"2.0",', b""))


# ---- notifications and requests of the server -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [answer, legacy, stream])
def test_a_notification_passes_and_ends_nothing(make: Callable[[], Answer]) -> None:
    reader = make()
    note = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress": 1.50,"big":12345678901234567890}}'
    assert reader.message(note) == note
    assert reader.message(text(method="notifications/x")) == b'{"jsonrpc":"2.0","method":"notifications/x"}'
    assert not reader.ended


@pytest.mark.parametrize("id", [1, "a", None, SENT])
def test_a_request_of_the_server_exists_with_sessions_only(id: Any) -> None:
    """M-21."""
    request = text(id=id, method="sampling/createMessage", params={"messages": []})
    refuses(answer(), request)
    assert json.loads(legacy().message(request)) == json.loads(request)
    assert json.loads(stream().message(request)) == json.loads(request)


@pytest.mark.parametrize("member", [b'"\\u0069d"', b'"i\\u0064"', b'"id"'])
def test_a_request_cannot_hide_its_id(member: bytes) -> None:
    """M-21, M-04."""
    refuses(answer(), b'{"jsonrpc":"2.0","method":"ping",%s:1}' % member)


@pytest.mark.parametrize("make", [answer, legacy, stream])
def test_no_message_is_a_request_and_a_response_at_once(make: Callable[[], Answer]) -> None:
    """M-17, M-24: a caller that looks for `result` first would take it for the answer, unread and unfiltered."""
    for more in ({"result": {"tools": [{"name": "secret"}]}}, {"error": {"code": 1, "message": ""}}):
        refuses(make(), text(method="notifications/x", **more))
        refuses(make(), text(method="ping", id=7, **more))


@pytest.mark.parametrize("name", ["Id", "ID", "Result", "RESULT", "Method", "extra"])
def test_members_that_json_rpc_does_not_know_stay_behind(name: str) -> None:
    """M-04: a caller that ignores case would read another message than was read here."""
    assert json.loads(answer().message(text(method="notifications/x", params={}, **{name: 7}))) == {
        "jsonrpc": "2.0",
        "method": "notifications/x",
        "params": {},
    }
    assert json.loads(answer().message(text(id=SENT, result={}, **{name: 7}))) == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {},
    }


def test_a_duplicate_member_reaches_the_caller_once() -> None:
    """M-04: the one that was read here."""
    twice = b'{"jsonrpc":"2.0","id":"x","result":{"a":1},"id":"%s","result":{"a":2}}' % SENT.encode()
    assert answer().message(twice) == b'{"jsonrpc":"2.0","id":7,"result":{"a":2}}'
    assert answer().message(b'{"jsonrpc":"2.0","method":"a","m\\u0065thod":"b"}') == b'{"jsonrpc":"2.0","method":"b"}'


# ---- byte for byte ----------------------------------------------------------------------------------------------------

EXACT: Final = (
    rb'{ "a" : 1.10, "b":1e2 ,"c":12345678901234567890123, "d":-0, "e":"\u00e9\/", "f":[ ], "resultType":"x" }'
)


@pytest.mark.parametrize("method", [row.name for row in METHODS.values() if row.lists is None and not row.notification])
def test_a_result_is_passed_on_byte_for_byte(method: str) -> None:
    """M-27: numbers, escapes, white space, members that nobody here knows."""
    message = b'{"jsonrpc":"2.0","id":"%s","result": %s }' % (SENT.encode(), EXACT)
    if method == "initialize":
        refuses(answer(method), message)
        return
    passed = answer(method).message(message)
    if method == "server/discover":  # its members are looked through, its values stay
        assert [json.loads(passed)["result"][key] for key in "abcdef"] == [json.loads(EXACT)[key] for key in "abcdef"]
        assert b"1.10" in passed
        assert b"12345678901234567890123" in passed
    else:
        assert passed == b'{"jsonrpc":"2.0","id":7,"result":%s}' % EXACT


def test_an_error_is_passed_on_byte_for_byte() -> None:
    message = b'{"jsonrpc":"2.0","id":"%s","error": %s }' % (SENT.encode(), EXACT)
    expected = b'{"jsonrpc":"2.0","id":7,"error":%s}' % EXACT
    assert answer().message(message) == expected
    assert answer().refusal(message) == expected


# ---- discovery and handshake ------------------------------------------------------------------------------------------


def test_a_discovery_shows_the_versions_that_are_carried_here() -> None:
    found = {"supportedVersions": ["2024-11-05", *SUPPORTED, "2099-01-01"], "capabilities": {"tools": {}}, "more": 1}
    passed = json.loads(answer("server/discover").message(result(found)))["result"]
    assert passed == {**found, "supportedVersions": list(SUPPORTED)}
    refuses(answer("server/discover"), result({"supportedVersions": "2026-07-28"}))
    refuses(answer("server/discover"), result({"supportedVersions": [1]}))


@pytest.mark.parametrize("revision", LEGACY)
def test_a_handshake_tells_the_revision(revision: str) -> None:
    reader = legacy("initialize")
    negotiated = {"protocolVersion": revision, "capabilities": {"x": 1.0}, "serverInfo": {"name": "s"}}
    assert json.loads(reader.message(result(negotiated, 7)))["result"] == negotiated
    assert reader.revision == revision


@pytest.mark.parametrize("revision", ["2024-11-05", MODERN, "2099-01-01", "", None, 5, [LEGACY[-1]], {}])
def test_a_handshake_in_another_revision_is_refused(revision: Any) -> None:
    for negotiated in ({"protocolVersion": revision}, {}):
        reader = legacy("initialize")
        refuses(reader, result(negotiated, 7))
        assert reader.revision is None


def test_a_refused_handshake_negotiates_nothing() -> None:
    reader = legacy("initialize")
    reader.message(text(id=7, error={"code": -32602, "message": "no", "data": {"protocolVersion": LEGACY[0]}}))
    assert (reader.revision, reader.is_error) == (None, True)


# ---- an error status --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [SENT, None, "server-error", 99])
def test_the_error_of_an_error_status_goes_under_the_callers_id(id: Any) -> None:
    """Servers use ids of their own for what they refuse before they read it; the HTTP answer says whose it is."""
    error = {"code": -32600, "message": "no"}
    assert json.loads(answer().refusal(text(id=id, error=error))) == {"jsonrpc": "2.0", "id": 7, "error": error}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"<html>secret</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"1.0","id":1,"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":"secret"}',
        b'{"jsonrpc":"2.0","id":1,"error":{"message":"\xff"}}',
    ],
)
def test_an_error_status_without_a_json_rpc_error_is_no_answer(message: bytes) -> None:
    answer().refusal(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}')
    with pytest.raises(NotAnAnswer) as refused:
        answer().refusal(message)
    assert "secret" not in str(refused.value)
