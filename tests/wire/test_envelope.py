"""Revision 2026-07-28: the ladder of checks, row by row, and every way around it that is known."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from counterseal.core.call import Era, Shape
from counterseal.core.limits import LIMITS
from counterseal.core.methods import LEGACY, MODERN, SUPPORTED
from counterseal.wire import envelope, jsonrpc
from tests.support.calls import modern
from tests.wire.requests import CAPABILITIES, VERSION, Edit, accepted, bodyless, is_refused, of, sentinel

BODY: Final = json.dumps(accepted().message).encode()
REMOVED: Final = ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")


def asks_for(method: str) -> Edit:
    return lambda draft: draft.member("method", method).head("Mcp-Method", method)


def speaks(version: str) -> Edit:
    return lambda draft: draft.meta(VERSION, version).head("MCP-Protocol-Version", version)


def test_the_twin_of_every_refusal_is_accepted() -> None:
    call = accepted().decode()
    assert (call.era, call.revision, call.shape) == (Era.MODERN, MODERN, Shape.REQUEST)
    assert (call.server, call.method, call.id, call.name) == ("weather", "tools/call", 7, "get_weather")
    assert call.arguments == {"city": "Oslo"}
    assert call.message == accepted().message
    assert call.session is None
    assert call.param_headers == ()


# Row, what is changed in the accepted twin, HTTP status, JSON-RPC code, reason.
LADDER: Final[list[tuple[str, Edit, int, int, str]]] = [
    # 5: media types (M-13, H-10)
    ("5 no content type", lambda d: d.head("Content-Type"), 415, 41501, "unsupported_media_type"),
    ("5 text", lambda d: d.head("Content-Type", "text/plain"), 415, 41501, "unsupported_media_type"),
    ("5 prefix", lambda d: d.head("Content-Type", "application/jsonp"), 415, 41501, "unsupported_media_type"),
    ("5 lines", lambda d: d.head("Content-Type", "application/json-seq"), 415, 41501, "unsupported_media_type"),
    ("5 two types", lambda d: d.head("Content-Type", *["application/json"] * 2), 400, 40002, "bad_header"),
    (
        "5 form",
        lambda d: d.head("Content-Type", "multipart/form-data; boundary=a"),
        415,
        41501,
        "unsupported_media_type",
    ),
    (
        "5 UTF-16",
        lambda d: d.head("Content-Type", "application/json; charset=utf-16"),
        415,
        41501,
        "unsupported_media_type",
    ),
    ("5 gzip", lambda d: d.head("Content-Encoding", "gzip"), 415, 41501, "unsupported_media_type"),
    ("5 two codings", lambda d: d.head("Content-Encoding", "identity, gzip"), 415, 41501, "unsupported_media_type"),
    ("5 no accept", lambda d: d.head("Accept"), 406, 40601, "not_acceptable"),
    ("5 one of two", lambda d: d.head("Accept", "application/json"), 406, 40601, "not_acceptable"),
    ("5 other one", lambda d: d.head("Accept", "text/event-stream"), 406, 40601, "not_acceptable"),
    ("5 not one", lambda d: d.head("Accept", "application/json, text/event-stream;q=0"), 406, 40601, "not_acceptable"),
    # 6: one JSON-RPC request or notification (M-05, M-06, M-07)
    ("6 batch", lambda d: d.text(b"[" + BODY + b"]"), 400, -32600, "batch_not_allowed"),
    ("6 empty batch", lambda d: d.text(b"[]"), 400, -32600, "batch_not_allowed"),
    ("6 nested batch", lambda d: d.text(b"[[" + BODY + b"]]"), 400, -32600, "batch_not_allowed"),
    ("6 text", lambda d: d.text(b'"tools/call"'), 400, -32600, "invalid_request"),
    ("6 null", lambda d: d.text(b"null"), 400, -32600, "invalid_request"),
    ("6 no body", lambda d: d.text(b""), 400, -32700, "parse_error"),
    ("6 two texts", lambda d: d.text(BODY + BODY), 400, -32700, "parse_error"),
    ("6 two lines", lambda d: d.text(BODY + b"\n" + BODY), 400, -32700, "parse_error"),
    ("6 garbage after", lambda d: d.text(BODY + b"\0"), 400, -32700, "parse_error"),
    ("6 result", lambda d: d.text(b'{"jsonrpc":"2.0","id":7,"result":{}}'), 400, -32600, "invalid_request"),
    ("6 error", lambda d: d.text(b'{"jsonrpc":"2.0","id":7,"error":{}}'), 400, -32600, "invalid_request"),
    ("6 id null", lambda d: d.member("id", None), 400, -32600, "invalid_request"),
    ("6 id fraction", lambda d: d.member("id", 7.5), 400, -32600, "invalid_request"),
    ("6 id float", lambda d: d.member("id", 7.0), 400, -32600, "invalid_request"),
    ("6 id true", lambda d: d.member("id", True), 400, -32600, "invalid_request"),
    ("6 id object", lambda d: d.member("id", {"a": 1}), 400, -32600, "invalid_request"),
    ("6 id list", lambda d: d.member("id", [7]), 400, -32600, "invalid_request"),
    ("6 id beyond 2^53", lambda d: d.member("id", 2**53), 400, -32600, "invalid_request"),
    ("6 id too long", lambda d: d.member("id", "a" * 257), 400, -32600, "invalid_request"),
    ("6 jsonrpc 1.0", lambda d: d.member("jsonrpc", "1.0"), 400, -32600, "invalid_request"),
    ("6 jsonrpc number", lambda d: d.member("jsonrpc", 2.0), 400, -32600, "invalid_request"),
    ("6 no jsonrpc", lambda d: d.without("jsonrpc"), 400, -32600, "invalid_request"),
    ("6 method number", lambda d: d.member("method", 1), 400, -32600, "invalid_request"),
    ("6 params list", lambda d: d.member("params", []), 400, -32600, "invalid_request"),
    ("6 params null", lambda d: d.member("params", None), 400, -32600, "invalid_request"),
    # 7: two readers must not read two messages (M-04)
    ("7 other case", lambda d: d.member("Method", "tools/list"), 400, -32600, "invalid_request"),
    ("7 both kinds", lambda d: d.member("result", {}), 400, -32600, "invalid_request"),
    ("7 duplicate", lambda d: d.text(BODY[:-1] + b',"method":"tools/call"}'), 400, -32700, "parse_error"),
    ("7 escaped duplicate", lambda d: d.text(BODY[:-1] + b',"m\\u0065thod":"a"}'), 400, -32700, "parse_error"),
    ("7 nested duplicate", lambda d: d.text(BODY.replace(b'"city"', b'"city": 1, "city"')), 400, -32700, "parse_error"),
    ("7 BOM", lambda d: d.text(b"\xef\xbb\xbf" + BODY), 400, -32700, "parse_error"),
    ("7 UTF-16", lambda d: d.text(BODY.decode().encode("utf-16")), 400, -32700, "parse_error"),
    ("7 Latin-1", lambda d: d.text(BODY.replace(b"Oslo", b"Troms\xf8")), 400, -32700, "parse_error"),
    ("7 NaN", lambda d: d.text(BODY.replace(b'"Oslo"', b"NaN")), 400, -32700, "parse_error"),
    ("7 overflow", lambda d: d.text(BODY.replace(b'"Oslo"', b"1e999")), 400, -32700, "parse_error"),
    ("7 lone surrogate", lambda d: d.text(BODY.replace(b"Oslo", b"\\ud800")), 400, -32700, "parse_error"),
    # 8: the envelope
    ("8 no _meta", lambda d: d.without("params", "_meta"), 400, -32602, "invalid_params"),
    ("8 _meta null", lambda d: d.param("_meta", None), 400, -32602, "invalid_params"),
    ("8 _meta list", lambda d: d.param("_meta", [VERSION]), 400, -32602, "invalid_params"),
    ("8 no version", lambda d: d.without("params", "_meta", VERSION), 400, -32602, "invalid_params"),
    ("8 version number", lambda d: d.meta(VERSION, 20260728), 400, -32602, "invalid_params"),
    ("8 version null", lambda d: d.meta(VERSION, None), 400, -32602, "invalid_params"),
    ("8 no capabilities", lambda d: d.without("params", "_meta", CAPABILITIES), 400, -32602, "invalid_params"),
    ("8 capabilities list", lambda d: d.meta(CAPABILITIES, []), 400, -32602, "invalid_params"),
    # 9 to 11, more of them in the cross product below
    ("9 no version header", lambda d: d.head("MCP-Protocol-Version"), 400, -32020, "header_mismatch"),
    ("9 legacy header", lambda d: d.head("MCP-Protocol-Version", LEGACY[-1]), 400, -32020, "header_mismatch"),
    ("9 legacy _meta", lambda d: d.meta(VERSION, LEGACY[-1]), 400, -32020, "header_mismatch"),
    ("10 no method header", lambda d: d.head("Mcp-Method"), 400, -32020, "header_mismatch"),
    ("10 other method", lambda d: d.head("Mcp-Method", "tools/list"), 400, -32020, "header_mismatch"),
    ("11 no name header", lambda d: d.head("Mcp-Name"), 400, -32020, "header_mismatch"),
    ("11 other name", lambda d: d.head("Mcp-Name", "get_weather2"), 400, -32020, "header_mismatch"),
    ("11 name number", lambda d: d.param("name", 5).head("Mcp-Name", "5"), 400, -32020, "header_mismatch"),
    ("11 no name", lambda d: d.without("params", "name"), 400, -32020, "header_mismatch"),
    ("11 no name at all", lambda d: d.without("params", "name").head("Mcp-Name"), 400, -32020, "header_mismatch"),
    (
        "11 two undefined",
        lambda d: d.without("params", "name").head("Mcp-Name", "=?base64?#?="),
        400,
        -32602,
        "invalid_params",
    ),
    # 13: one header twice, even with equal values
    ("13 version", lambda d: d.head("MCP-Protocol-Version", MODERN, MODERN), 400, -32020, "header_mismatch"),
    ("13 method", lambda d: d.head("Mcp-Method", *["tools/call"] * 2), 400, -32020, "header_mismatch"),
    ("13 name", lambda d: d.head("Mcp-Name", *["get_weather"] * 2), 400, -32020, "header_mismatch"),
    ("13 parameter", lambda d: d.head("Mcp-Param-Any", "a", "a"), 400, -32020, "header_mismatch"),
    # 14 and 15
    ("14 future", speaks("2099-01-01"), 400, -32022, "unsupported_version"),
    ("14 legacy", speaks(LEGACY[-1]), 400, -32022, "unsupported_version"),
    ("14 oldest", speaks("2024-11-05"), 400, -32022, "unsupported_version"),
    ("15 unknown", asks_for("tools/delete"), 404, -32601, "method_not_found"),
    ("15 other case", asks_for("Tools/Call"), 404, -32601, "method_not_found"),
    ("15 ours", asks_for("io.counterseal/stream"), 404, -32601, "method_not_found"),
    *((f"15 {method}", asks_for(method), 404, -32601, "method_not_found") for method in REMOVED),
    # what the operation needs
    ("arguments list", lambda d: d.param("arguments", []), 400, -32602, "invalid_params"),
    ("arguments null", lambda d: d.param("arguments", None), 400, -32602, "invalid_params"),
]


@pytest.mark.parametrize(
    ("edit", "status", "code", "reason"), [row[1:] for row in LADDER], ids=[row[0] for row in LADDER]
)
def test_each_rung_refuses_with_its_status_and_code(edit: Edit, status: int, code: int, reason: str) -> None:
    """M-04 to M-07, M-13, H-06, H-10: one edit away from the accepted twin."""
    is_refused(edit(accepted()).refusal(), status, code, reason)


@pytest.mark.parametrize("edit", [row[1] for row in LADDER], ids=[row[0] for row in LADDER])
def test_a_refusal_carries_the_id_as_far_as_one_could_be_read(edit: Edit) -> None:
    draft = edit(accepted())
    refused = draft.refusal()
    if refused.reason.code in (
        "parse_error",
        "batch_not_allowed",
        "unsupported_media_type",
        "not_acceptable",
        "bad_header",
    ):
        assert refused.id is None
        return
    sent = jsonrpc.parse(draft.inbound().body, LIMITS)
    identity = sent.get("id") if isinstance(sent, dict) else None
    assert refused.id == (identity if identity == 7 and type(identity) is int else None)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.head("Content-Type", "Application/JSON ; Charset=UTF-8"),
        lambda d: d.head("Content-Type", 'application/json;charset="utf-8"'),
        lambda d: d.head("Content-Encoding", "identity"),
        lambda d: d.head("Accept", "*/*"),
        lambda d: d.head("Accept", "application/json", "text/event-stream"),
        lambda d: d.head("Accept", "text/*;q=0.5, application/*"),
        lambda d: d.head("MCP-Protocol-Version", f" {MODERN}\t"),
        lambda d: d.member("id", "seven"),
        lambda d: d.member("id", ""),
        lambda d: d.member("id", 0),
        lambda d: d.member("id", 2**53 - 1),
        lambda d: d.member("id", 1 - 2**53),
        lambda d: d.member("id", "a" * 256),
        lambda d: d.without("params", "arguments"),
        lambda d: d.without("params", "_meta", "io.modelcontextprotocol/clientInfo"),
        lambda d: d.head("Mcp-Session-Id", "not-a-session"),
        lambda d: d.head("Last-Event-ID", "5"),
    ],
)
def test_what_the_revision_allows_is_accepted(edit: Edit) -> None:
    call = edit(accepted()).decode()
    assert (call.era, call.session, call.last_event_id) == (Era.MODERN, None, None)


def test_rungs_are_climbed_in_the_order_of_the_protocol() -> None:
    envelope_and_header = accepted().without("params", "_meta", CAPABILITIES).head("Mcp-Method", "other")
    is_refused(envelope_and_header.refusal(), 400, -32602, "invalid_params")
    header_and_version = speaks("2099-01-01")(accepted()).head("Mcp-Method", "other")
    is_refused(header_and_version.refusal(), 400, -32020, "header_mismatch")
    version_and_method = asks_for("ping")(speaks("2099-01-01")(accepted()))
    is_refused(version_and_method.refusal(), 400, -32022, "unsupported_version")


def test_an_unsupported_version_is_answered_with_the_one_that_takes_such_a_request() -> None:
    assert speaks("2099-01-01")(accepted()).refusal().data == {"supported": [MODERN], "requested": "2099-01-01"}


def test_a_handshake_in_this_revision_is_told_the_supported_versions() -> None:
    assert all(version in asks_for("initialize")(accepted()).refusal().message for version in SUPPORTED)


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_there_is_only_post(verb: str) -> None:
    """M-11, row 1; the twin of a revision with a handshake is accepted."""
    sessions = {"sealed": envelope.Session("s", LEGACY[-1], "sealed")}
    twin = bodyless(verb, LEGACY[-1], Mcp_Session_Id="sealed")
    twin.sessions = sessions
    assert twin.decode().era is Era.LEGACY
    refused = twin.head("MCP-Protocol-Version", MODERN).refusal()
    is_refused(refused, 405, 40501, "http_method_refused")
    assert refused.headers == ((b"allow", b"POST"),)


# ---- row 17: notifications ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["notifications/cancelled", "notifications/tools/list_changed", "notifications/x"])
def test_a_notification_is_taken_as_one_and_names_nobody(method: str) -> None:
    """M-06, M-08, row 17: the server room drops it, so an id that the caller chose in it ends nothing."""
    draft = asks_for(method)(accepted()).without("id").param("requestId", 1)
    call = draft.decode()
    assert (call.shape, call.method, call.id, call.name) == (Shape.NOTIFICATION, method, None, None)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda d: d.member("method", "tools/call"), -32600),
        (lambda d: d.head("MCP-Protocol-Version", LEGACY[-1]), -32020),
        (lambda d: d.head("MCP-Protocol-Version", MODERN, MODERN), -32020),
        (speaks("2099-01-01"), -32022),
        (lambda d: d.without("params", "_meta", VERSION).head("MCP-Protocol-Version", "2099-01-01"), -32022),
    ],
)
def test_a_notification_keeps_to_its_version(edit: Edit, code: int) -> None:
    draft = of(modern("notifications/x")).without("id")
    assert draft.decode().shape is Shape.NOTIFICATION
    assert edit(draft).refusal().reason.rpc == code


# ---- names and `_meta` ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_a_name_that_is_not_in_normal_form_is_refused(method: str) -> None:
    """M-27, invariant 13: two readers could take it for two names."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert of(modern(method, {"name": composed})).head("Mcp-Name", sentinel(composed)).decode().name == composed
    refused = of(modern(method, {"name": decomposed})).head("Mcp-Name", sentinel(decomposed)).refusal()
    is_refused(refused, 400, -32602, "invalid_params")


@pytest.mark.parametrize(
    ("key", "value", "crosses"),
    [
        ("progressToken", "p-1", True),
        ("com.example/own", {"a": 1}, True),
        ("io.modelcontextprotocol/logLevel", "debug", True),
        ("io.counterseal/caller", "admin", False),
        ("io.counterseal/", 1, False),
        ("baggage", "user=alice", False),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
        ("traceparent", "00-" + "A" * 32 + "-" + "b" * 16 + "-01", False),
        ("traceparent", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
        ("traceparent", "00-" + "a" * 32 + "-" + "0" * 16 + "-01", False),
        ("traceparent", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01", False),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01\n", False),
        ("traceparent", ["00"], False),
    ],
)
def test_meta_keys_cross_only_where_they_may(key: str, value: Any, crosses: bool) -> None:
    """M-26."""
    call = accepted().meta(key, value).decode()
    assert call.message is not None
    assert (key in call.message["params"]["_meta"]) is crosses
    assert call.message["params"]["_meta"][VERSION] == MODERN


def test_trace_state_goes_with_the_trace_context_that_it_belongs_to() -> None:
    call = accepted().meta("traceparent", "junk").meta("tracestate", "a=b").decode()
    assert call.message is not None
    assert not {"traceparent", "tracestate"} & call.message["params"]["_meta"].keys()
