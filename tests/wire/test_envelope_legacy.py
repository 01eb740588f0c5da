"""The revisions with a handshake: sessions, notifications, replies, `GET` and `DELETE`; and never a bit of both eras."""

from __future__ import annotations

from typing import Any, Final

import pytest

from counterseal.core.call import Era, Session, Shape
from counterseal.core.methods import END_SESSION, LEGACY, METHODS, MODERN, REPLY, STREAM
from tests.support.calls import modern
from tests.wire.requests import CAPABILITIES, VERSION, Draft, bodyless, legacy

OLDEST: Final = "2024-11-05"
SESSIONS: Final = {f"sealed-{revision}": Session("server-id", revision, f"sealed-{revision}") for revision in LEGACY}
SESSION: Final = f"sealed-{LEGACY[-1]}"
LIST: Final[dict[str, Any]] = {"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}}
REQUESTS: Final = [
    row.name for row in METHODS.values() if row.legacy and not row.notification and "io." not in row.name
]
NOTIFICATIONS: Final = [row.name for row in METHODS.values() if row.notification]


def handshake(revision: Any = LEGACY[-1]) -> dict[str, Any]:
    params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


def within(draft: Draft) -> Draft:
    draft.sessions = SESSIONS
    return draft


def is_refused(draft: Draft, status: int, reason: str) -> None:
    refused = draft.refusal()
    assert (refused.reason.status, refused.reason.code) == (status, reason)


def message(method: str) -> dict[str, Any]:
    params: dict[str, Any] = {"name": "n", "uri": "u:a", "ref": {"type": "ref/prompt", "name": "n"}}
    if method == "initialize":
        return handshake()
    return {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}


# ---- requests and notifications ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("method", REQUESTS)
def test_every_request_of_these_revisions_is_accepted(method: str, revision: str) -> None:
    call = within(legacy(message(method), revision, Mcp_Session_Id=f"sealed-{revision}")).decode()
    assert (call.era, call.shape, call.method) == (Era.LEGACY, Shape.REQUEST, method)
    assert call.session == SESSIONS[f"sealed-{revision}"]
    assert call.param_headers == ()


@pytest.mark.parametrize("method", NOTIFICATIONS)
def test_a_notification_has_no_id_and_a_request_has_one(method: str) -> None:
    note = {"jsonrpc": "2.0", "method": method}
    assert legacy(note).decode().shape is Shape.NOTIFICATION
    is_refused(legacy({**note, "id": 1}), 400, "invalid_request")
    request = dict(LIST)
    del request["id"]
    is_refused(legacy(request), 400, "invalid_request")


@pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "tools/delete", "Ping", STREAM, REPLY])
def test_a_method_of_no_such_revision_is_400_because_404_would_end_the_session(method: str) -> None:
    refused = within(legacy({**LIST, "method": method}, Mcp_Session_Id=SESSION)).refusal()
    assert (refused.reason.status, refused.reason.rpc, refused.id) == (400, -32601, 3)


def test_m_06_a_forged_notification_of_the_server_is_refused() -> None:
    """M-06."""
    is_refused(legacy({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}), 400, "method_unknown")


def test_routing_headers_mean_nothing_here_and_are_not_kept() -> None:
    draft = legacy(LIST, Mcp_Method="tools/call", Mcp_Name="delete_all", Mcp_Param_City="Oslo")
    call = draft.decode()
    assert (call.method, call.name, call.param_headers) == ("tools/list", None, ())


@pytest.mark.parametrize("body", [b'[{"jsonrpc":"2.0","method":"ping","id":1}]', b"[]", b"[[]]", b" \n[1]"])
def test_a_batch_is_refused_where_one_message_is_read(body: bytes) -> None:
    """M-05: batches of revision 2025-03-26 are taken apart before this."""
    is_refused(legacy(LIST).text(body), 400, "batch_not_allowed")


def test_names_are_checked_as_in_the_newest_revision() -> None:
    call = {**LIST, "method": "tools/call", "params": {"name": "get_weather"}}
    assert legacy(call).decode().name == "get_weather"
    is_refused(legacy({**call, "params": {"name": "cafe\u0301"}}), 400, "invalid_params")
    is_refused(legacy({**call, "params": {"name": 5}}), 400, "invalid_params")
    is_refused(legacy({**call, "params": {}}), 400, "invalid_params")


def test_meta_is_cleaned_here_too() -> None:
    """M-26."""
    meta = {"io.counterseal/caller": "admin", "baggage": "a=b", "traceparent": "junk", "progressToken": 1}
    call = legacy({**LIST, "params": {"_meta": meta, "cursor": "c"}}).decode()
    assert call.message == {**LIST, "params": {"_meta": {"progressToken": 1}, "cursor": "c"}}


# ---- replies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"result": {"action": "accept"}}, {"error": {"code": -1, "message": "no"}}])
def test_a_reply_to_the_server_is_one_message_that_asks_for_nothing(answer: dict[str, Any]) -> None:
    """M-06."""
    call = within(legacy({"jsonrpc": "2.0", "id": 9, **answer}, Mcp_Session_Id=SESSION)).decode()
    assert (call.shape, call.method, call.id, call.name, call.arguments) == (Shape.REPLY, REPLY, None, None, None)


@pytest.mark.parametrize(
    "answer",
    [{}, {"result": {}, "error": {}}, {"error": "no"}, {"result": {}, "more": 1}, {"result": {}, "params": {}}],
)
def test_m_06_a_reply_that_is_none_is_refused(answer: dict[str, Any]) -> None:
    """M-06."""
    is_refused(legacy({"jsonrpc": "2.0", "id": 9, **answer}), 400, "invalid_request")


def test_a_reply_with_the_id_null_is_refused() -> None:
    is_refused(legacy({"jsonrpc": "2.0", "id": None, "result": {}}), 400, "invalid_request")


# ---- the handshake ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", LEGACY)
def test_a_handshake_is_of_the_revision_that_it_asks_for(revision: str) -> None:
    """Whatever a header says: there is nothing to agree with yet."""
    for header in (None, *LEGACY):
        call = legacy(handshake(revision), header).decode()
        assert (call.method, call.revision, call.session) == ("initialize", revision, None)


@pytest.mark.parametrize("revision", [OLDEST, MODERN, "2099-01-01", "", "junk"])
def test_another_revision_is_asked_of_the_server_as_the_newest_that_a_session_can_have(revision: str) -> None:
    """Revision 2025-11-25, lifecycle: who cannot do the one that was asked for answers with another. rmcp 3.11 asks for
    2026-07-28."""
    call = legacy(handshake(revision), None).decode()
    assert call.revision == LEGACY[-1]
    assert call.message == handshake(LEGACY[-1])


@pytest.mark.parametrize("revision", [None, 20250326, [LEGACY[-1]], {}])
def test_a_revision_is_text(revision: Any) -> None:
    is_refused(legacy(handshake(revision), None), 400, "invalid_params")


# ---- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", LEGACY)
def test_a_session_tells_the_revision(revision: str) -> None:
    for header in (None, revision):
        call = within(legacy(LIST, header, Mcp_Session_Id=f"sealed-{revision}")).decode()
        assert (call.revision, call.session) == (revision, SESSIONS[f"sealed-{revision}"])


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("header", LEGACY)
def test_a_session_is_not_used_in_another_revision(revision: str, header: str) -> None:
    draft = within(legacy(LIST, header, Mcp_Session_Id=f"sealed-{revision}"))
    if header == revision:
        assert draft.decode().revision == revision
    else:
        is_refused(draft, 400, "bad_header")


def test_another_callers_session_is_unknown_and_the_answer_has_the_requests_id() -> None:
    """M-09: what opens sessions raises, and nothing goes on."""
    for draft in (legacy(LIST), legacy(handshake()), legacy({"jsonrpc": "2.0", "id": 3, "result": {}})):
        refused = within(draft.head("Mcp-Session-Id", "stolen")).refusal()
        assert (refused.reason.status, refused.reason.code) == (404, "session_unknown")
        assert refused.id == draft.message["id"]


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_a_session_id_is_sent_once(verb: str) -> None:
    """H-06, M-09: even where both say the same."""
    draft = within(legacy(LIST) if verb == "POST" else bodyless(verb))
    assert draft.head("Mcp-Session-Id", SESSION).decode().session is not None
    is_refused(draft.head("Mcp-Session-Id", SESSION, SESSION), 400, "bad_header")
    is_refused(draft.head("Mcp-Session-Id", SESSION + "\x00"), 400, "bad_header")


def test_an_empty_session_id_is_one_and_unknown() -> None:
    is_refused(within(legacy(LIST, Mcp_Session_Id="")), 404, "session_unknown")


def test_without_a_session_the_header_tells_the_revision_and_2025_03_26_where_there_is_none() -> None:
    assert legacy(LIST, LEGACY[1]).decode().revision == LEGACY[1]
    assert legacy(LIST, None).decode().revision == "2025-03-26"


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_the_oldest_revision_is_not_carried(verb: str) -> None:
    draft = within(legacy(LIST) if verb == "POST" else bodyless(verb)).head("Mcp-Session-Id", SESSION)
    assert draft.decode().revision == LEGACY[-1]
    is_refused(draft.head("MCP-Protocol-Version", OLDEST), 400, "bad_header")


# ---- GET and DELETE ---------------------------------------------------------------------------------------------------


def test_get_is_the_servers_stream() -> None:
    call = within(bodyless("GET", Mcp_Session_Id=SESSION, Last_Event_ID="e-5")).decode()
    assert (call.shape, call.method, call.last_event_id) == (Shape.STREAM, STREAM, "e-5")
    assert (call.message, call.id, call.name) == (None, None, None)


def test_delete_ends_a_session_that_it_names() -> None:
    call = within(bodyless("DELETE", Mcp_Session_Id=SESSION, Last_Event_ID="e-5")).decode()
    assert (call.shape, call.method, call.last_event_id) == (Shape.END, END_SESSION, None)
    is_refused(within(bodyless("DELETE")), 400, "invalid_request")


def test_get_accepts_events() -> None:
    """M-13."""
    assert bodyless("GET").head("Accept", "text/*").decode().shape is Shape.STREAM
    is_refused(bodyless("GET").head("Accept", "application/json"), 406, "not_acceptable")
    is_refused(bodyless("GET").head("Accept"), 406, "not_acceptable")


def test_last_event_id_is_sent_once() -> None:
    """H-06."""
    assert bodyless("GET", Last_Event_ID="1").decode().last_event_id == "1"
    is_refused(bodyless("GET").head("Last-Event-ID", "1", "1"), 400, "bad_header")


@pytest.mark.parametrize(
    ("version", "status", "reason"),
    [
        (MODERN, 405, "http_method_refused"),
        ("2099-01-01", 400, "bad_header"),
        ("2024-11-05", 400, "bad_header"),
        ("", 400, "bad_header"),
        ("junk", 400, "bad_header"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_get_and_delete_exist_in_these_revisions_only(verb: str, version: str, status: int, reason: str) -> None:
    """M-11. MCP 2025-11-25, transports: a version that the server does not know is 400, whatever the method."""
    draft = within(bodyless(verb, Mcp_Session_Id=SESSION))
    assert draft.decode().era is Era.LEGACY
    is_refused(draft.head("MCP-Protocol-Version", version), status, reason)


# ---- never a bit of both eras -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", LEGACY)
def test_a_legacy_header_over_a_modern_body_is_an_attack(revision: str) -> None:
    """M-02: routing by header alone would never check the routing headers."""
    for session in ((), (SESSION,)):
        draft = within(legacy(modern("tools/list"), revision)).head("Mcp-Session-Id", *session)
        refused = draft.refusal()
        assert (refused.reason.status, refused.reason.rpc, refused.id) == (400, -32020, 1)


def test_a_modern_body_without_a_version_header_is_no_legacy_request() -> None:
    refused = legacy(modern("tools/list"), None).refusal()
    assert (refused.reason.status, refused.reason.rpc, refused.id) == (400, -32020, 1)


@pytest.mark.parametrize("revision", LEGACY)
def test_a_modern_header_over_a_legacy_body_is_an_attack(revision: str) -> None:
    """With a version in `_meta` the two disagree (row 9); without one, the envelope is missing (row 8)."""
    body = {**LIST, "params": {"_meta": {VERSION: revision, CAPABILITIES: {}}}}
    for message, code in ((body, -32020), (LIST, -32602), (handshake(revision), -32602)):
        refused = within(legacy(message, MODERN, Mcp_Session_Id=SESSION, Mcp_Method="tools/list")).refusal()
        assert (refused.reason.status, refused.reason.rpc, refused.id) == (400, code, message["id"])


def test_a_modern_request_ignores_sessions() -> None:
    """M-09: not even to find that one is unknown."""
    draft = legacy(modern("tools/list"), MODERN, Mcp_Session_Id="stolen", Mcp_Method="tools/list")
    assert draft.decode().session is None
