"""The addresses of calls: which are served, what a refusal looks like, and that a caller who leaves ends the call."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.methods import MODERN
from counterseal.errors import REASONS, CallError
from counterseal.web import app
from tests.gateway.building import ISSUER, META
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, plain, response, whole
from tests.web.building import BODY, CALL, Running, running

NOTE = event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})


# ---- addresses --------------------------------------------------------------------------------------------------------

PATHS = [
    *(b"/mcp/", b"/mcp//weather", b"//mcp/weather", b"/mcp/weather/", b"/mcp/weather/x", b"/mcp/weather//"),
    *(
        b"/%6dcp/weather",
        b"/mcp/%77eather",
        b"/mcp%2fweather",
        b"/mcp/weather%2f",
        b"/mcp/weather%00",
        b"/mcp/weather%20",
    ),
    *(
        b"/./mcp/weather",
        b"/mcp/./weather",
        b"/x/../mcp/weather",
        b"/mcp/../mcp/weather",
        b"/mcp/weather/..",
        b"/mcp/..",
    ),
    *(b"/mcp/..;/weather", b"/mcp;x/weather", b"/mcp/weather;x", b"/mcp/;weather", b"/mcp\\weather", b"/mcp/weather\\"),
    *(
        b"/MCP/weather",
        b"/Mcp/weather",
        b"/mcpx/weather",
        b"/mcp.weather",
        b"/mcp/-weather",
        b"/mcp/_weather",
        b"/mcp/@",
    ),
    *(
        b"/mcp/" + b"w" * 65,
        b"/api/mcp/weather",
        b"/mcp/weather.json",
        b"/mcp/%2e%2e/mcp/weather",
        b"/mcp/weather%0d%0a",
    ),
]
ODD = [
    b"mcp/weather",
    b"*",
    b"http://127.0.0.1/mcp/weather",
    b"http://evil.example/mcp/weather",
    b"?x",
    b"#",
    b"weather",
]


@pytest.mark.parametrize("target", PATHS, ids=str)
def test_h_04_an_address_that_is_not_spelled_like_one_is_none(web: Running, target: bytes) -> None:
    answer = web.refused(web.request(target=target), 404, 400)
    assert answer is not None
    assert web.refused(web.request(target=target, authorization=None), 404, 400) is not None
    web.good()


@pytest.mark.parametrize("target", ODD, ids=str)
def test_h_04_a_target_that_is_no_path_is_400(web: Running, target: bytes) -> None:
    web.refused(web.request(target=target), 400)
    web.good()


def test_h_04_a_name_that_is_no_servers_is_404_to_who_may_know_and_401_to_others(web: Running) -> None:
    answer = web.refused(web.request(target=b"/mcp/" + b"w" * 64), 404)
    assert answer is not None
    assert answer.reason == "server_unknown"
    web.refused(web.request(target=b"/mcp/" + b"w" * 64, authorization=None), 401)


def test_one_address_is_for_all_servers(web: Running) -> None:
    answer = web.refused(web.request(target=b"/mcp"), 400)
    assert answer is not None
    assert answer.reason == "invalid_params"
    named = BODY.replace(b"get_weather", b"weather__get_weather")
    assert web.ask(web.request(target=b"/mcp", mcp_name=b"weather__get_weather", body=named)).status == 200
    assert web.server.seen[-1].call["params"]["name"] == "get_weather"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"host": b"evil.example"}, 403),
        ({"origin": b"https://evil.example"}, 403),
        ({"authorization": None}, 401),
        ({"content_type": b"text/plain"}, 415),
        ({"accept": b"application/json"}, 406),
        ({"mcp_protocol_version": b"2025-11-25"}, 400),
        ({"mcp_protocol_version": None}, 400),
        ({"mcp_method": b"tools/list"}, 400),
        ({"mcp_name": b"get_weather"}, 400),
        ({"body": b"{"}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b"[" * 5000 + b"]" * 5000}, 413),
        ({"body": b" " * (4 * 1024 * 1024 + 1)}, 413),
        ({"verb": b"PUT"}, 405),
        ({"target": b"/mcp/"}, 404),
        ({"target": b"/mcp//weather"}, 404),
    ],
)
def test_the_address_of_all_servers_is_guarded_as_that_of_one(
    web: Running, changes: dict[str, Any], status: int
) -> None:
    good: dict[str, Any] = {
        "target": b"/mcp",
        "mcp_name": b"weather__get_weather",
        "body": BODY.replace(b"get_weather", b"weather__get_weather"),
    }
    web.refused(web.request(**{**good, **changes}), status)
    assert web.ask(web.request(**good)).status == 200


@pytest.mark.parametrize(
    "query", [b"?", b"?x=y", b"?access_token=key-of-alice", b"?server=files&method=x", b"?/mcp/files"]
)
def test_j_27_a_query_decides_nothing(web: Running, query: bytes) -> None:
    target = b"/mcp/weather" + query
    assert web.ask(web.request(target=target)).status == 200
    assert web.server.seen[-1].target == "/mcp"
    web.refused(web.request(target=target, authorization=None), 401)


def test_h_04_a_fragment_is_no_part_of_a_request(web: Running) -> None:
    web.refused(web.request(target=b"/mcp/weather#x"), 400, 404)
    web.refused(web.request(target=b"/mcp#/weather"), 400, 404)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Original-URL: /mcp/files",
        b"X-Rewrite-URL: /healthz",
        b"X-HTTP-Method-Override: DELETE",
        b"X-HTTP-Method: GET",
        b"X-Forwarded-Uri: /mcp/files",
        b"X-Forwarded-Prefix: /mcp",
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-For: 10.0.0.1",
        b"Forwarded: for=10.0.0.1;host=evil.example",
        b"X-Real-IP: 10.0.0.1",
    ],
)
def test_h_05_i_03_headers_that_speak_for_others_decide_nothing(web: Running, line: bytes) -> None:
    assert web.ask(web.request(line)).status == 200
    intent = next(entry for entry in reversed(web.gateway.entries) if entry["event"] == "intent")
    assert (intent["server"], intent["peer"]) == ("weather", "127.0.0.1")
    assert web.server.seen[-1].verb == "POST"
    assert b"10.0.0.1" not in web.server.seen[-1].raw


@pytest.mark.parametrize("verb", [b"PUT", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"SEARCH", b"LINK"])
@pytest.mark.parametrize("target", [b"/mcp/weather", b"/mcp"])
def test_m_11_other_methods_are_405_and_say_which_there_are(web: Running, verb: bytes, target: bytes) -> None:
    answer = web.refused(web.request(verb=verb, target=target), 405)
    assert answer is not None
    assert answer.header("allow") == "POST, GET, DELETE"


@pytest.mark.parametrize("verb", [b"GET", b"DELETE"])
def test_m_11_a_modern_get_or_delete_is_405(web: Running, verb: bytes) -> None:
    answer = web.refused(web.head(verb=verb, mcp_method=None, mcp_name=None, content_type=None), 405)
    assert answer is not None
    assert answer.header("allow") == "POST"


@pytest.mark.parametrize("verb", [b"GET", b"DELETE"])
def test_a_legacy_get_and_delete_have_no_body(web: Running, verb: bytes) -> None:
    bare: dict[str, Any] = {"mcp_method": None, "mcp_name": None, "mcp_protocol_version": None, "content_type": None}
    session = b"Mcp-Session-Id: " + web.gateway.sealed()
    web.refused(web.request(session, verb=verb, body=b"{}", **bare), 400)
    assert web.ask(web.head(session, verb=verb, **bare)).status in (200, 204)


@pytest.mark.parametrize("verb", [b"POST", b"GET", b"DELETE"])
def test_m_11_authentication_comes_first(web: Running, verb: bytes) -> None:
    for body in (BODY, b"{", b"", b"[]"):
        answer = web.refused(web.request(verb=verb, body=body, authorization=None, content_type=b"x/y"), 401)
        assert answer is not None
        assert answer.reason == "credential_missing"


# ---- refusals ---------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no credential": ({"authorization": None}, 401, "credential_missing"),
    "bad credential": ({"authorization": b"Bearer canary"}, 401, "credential_invalid"),
    "two credentials": ({"x_api_key": b"canary"}, 400, "ambiguous_credentials"),
    "no version": ({"mcp_protocol_version": None}, 400, "header_mismatch"),
    "other version": ({"mcp_protocol_version": b"2025-11-25"}, 400, "header_mismatch"),
    "no method": ({"mcp_method": None}, 400, "header_mismatch"),
    "other method": ({"mcp_method": b"tools/list"}, 400, "header_mismatch"),
    "method in another case": ({"mcp_method": b"Tools/Call"}, 400, "header_mismatch"),
    "other name": ({"mcp_name": b"delete_all"}, 400, "header_mismatch"),
    "no name": ({"mcp_name": None}, 400, "header_mismatch"),
    "text": ({"content_type": b"text/plain"}, 415, "unsupported_media_type"),
    "form": ({"content_type": b"application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "UTF-16": ({"content_type": b"application/json; charset=utf-16"}, 415, "unsupported_media_type"),
    "no type": ({"content_type": None}, 415, "unsupported_media_type"),
    "accepts JSON": ({"accept": b"application/json"}, 406, "not_acceptable"),
    "accepts nothing": ({"accept": None}, 406, "not_acceptable"),
    "host": ({"host": b"evil.example"}, 403, "origin_refused"),
    "no host": ({"host": None}, 400, "bad_header"),
    "origin": ({"origin": b"https://evil.example"}, 403, "origin_refused"),
    "no JSON": ({"body": b"{canary"}, 400, "parse_error"),
    "no UTF-8": ({"body": b'{"a": "\xff"}'}, 400, "parse_error"),
    "duplicate": ({"body": BODY.replace(b'"id":', b'"id": "other", "id":')}, 400, "parse_error"),
    "batch": ({"body": b"[" + BODY + b"]"}, 400, "batch_not_allowed"),
    "empty": ({"body": b""}, 400, "parse_error"),
    "two texts": ({"body": BODY + BODY}, 400, "parse_error"),
    "deep": ({"body": b"[" * 5000 + b"]" * 5000}, 413, "too_large"),
}
"""What is changed in a good request, and what it gets."""


@pytest.mark.parametrize(("changes", "status", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_m_01_m_13_a_refusal_is_a_json_rpc_error_with_its_reason_and_its_record(
    web: Running, changes: dict[str, Any], status: int, reason: str
) -> None:
    before = len(web.gateway.entries)
    answer = web.refused(web.request(**changes), status)
    assert answer is not None
    assert answer.header("content-type") == "application/json"
    message = answer.message
    assert set(message) == {"jsonrpc", "id", "error"}
    assert set(message["error"]) == {"code", "message", "data"}
    data = message["error"]["data"]
    assert (data["reason"], message["jsonrpc"]) == (reason, "2.0")
    (entry,) = web.gateway.entries[before:]
    assert (entry["record"], entry["reason"], entry["event"]) == (data["record"], reason, "refusal")
    assert b"canary" not in answer.body
    assert answer.header("server") is None
    if status == 401:
        challenge = answer.header("www-authenticate") or ""
        assert challenge.startswith('Bearer resource_metadata="https://gateway.example.com/.well-known/')
        assert ('error="invalid_token"' in challenge) == (reason == "credential_invalid")


@pytest.mark.parametrize("id", ["mine", 7, 0, -3, "", "ü" * 256])
def test_a_refusal_that_could_read_the_id_answers_to_it(web: Running, id: Any) -> None:
    body = json.dumps({**CALL, "id": id}).encode()
    answer = web.refused(web.request(body=body, mcp_name=b"other"), 400)
    assert answer is not None
    assert answer.message["id"] == id


@pytest.mark.parametrize("id", [None, 1.5, True, [], {}, "x" * 257, 2**53])
def test_m_07_an_id_that_is_none_is_not_repeated(web: Running, id: Any) -> None:
    answer = web.refused(web.request(body=json.dumps({**CALL, "id": id}).encode()), 400)
    assert answer is not None
    assert (answer.message["id"], answer.reason) == (None, "invalid_request")


def test_what_we_cannot_tell_is_503_with_a_time_to_come_back(web: Running) -> None:
    web.gateway.sink.problem = "the disk is full"
    try:
        for request in (web.request(), web.request(host=b"evil.example"), web.request(authorization=None)):
            answer = web.refused(request, 503)
            assert answer is not None
            assert (answer.reason, answer.header("retry-after")) == ("audit_unavailable", "2")
    finally:
        web.gateway.sink.problem = None
    web.good()


@pytest.mark.parametrize("code", REASONS)
def test_what_may_be_tried_again_says_when_and_nothing_else_does(web: Running, code: str) -> None:
    """429 and every 503 (docs/errors.md)."""
    status = REASONS[code].status
    web.gateway.known.error = CallError(code, "for a test")
    try:
        answer = web.refused(web.request(), status)
    finally:
        web.gateway.known.error = None
    assert answer is not None
    assert (answer.reason, answer.message["error"]["code"]) == (code, REASONS[code].rpc)
    assert answer.header("retry-after") == ("2" if status in (429, 503) else None)


def test_there_is_more_than_one_way_not_to_be_able_to_tell() -> None:
    assert sum(row.status == 503 for row in REASONS.values()) >= 5
    assert any(row.status == 429 for row in REASONS.values())


def test_a_401_names_the_scopes_that_a_token_needs() -> None:
    metadata = f"{ISSUER}/.well-known/oauth-protected-resource/mcp/weather"
    with HostileServer() as server, running(server, scopes=("mcp", "mcp:read")) as own:
        for changes, end in (
            ({"authorization": None}, ""),
            ({"authorization": b"Bearer x"}, ', error="invalid_token"'),
        ):
            answer = own.refused(own.request(**changes), 401)
            assert answer is not None
            told = answer.header("www-authenticate")
            assert told == f'Bearer resource_metadata="{metadata}", scope="mcp mcp:read"{end}'
        own.good()


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1"])
def test_k_19_no_header_decides_what_a_challenge_names(web: Running, host: bytes) -> None:
    plain = web.refused(web.request(authorization=None), 401)
    lines = (b"X-Forwarded-Host: " + host, b"Forwarded: host=" + host, b"X-Original-URL: https://" + host)
    speaking = web.refused(web.request(*lines, authorization=None), 401)
    assert plain is not None
    assert speaking is not None
    assert speaking.header("www-authenticate") == plain.header("www-authenticate")
    assert ISSUER in (plain.header("www-authenticate") or "")


def test_a_version_that_nobody_carries_is_answered_with_those_that_are(web: Running) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2030-01-01"}
    body = json.dumps({**CALL, "params": {**CALL["params"], "_meta": meta}}).encode()
    answer = web.refused(web.request(body=body, mcp_protocol_version=b"2030-01-01"), 400)
    assert answer is not None
    data = answer.message["error"]["data"]
    assert (answer.message["error"]["code"], data["requested"]) == (-32022, "2030-01-01")
    assert MODERN in data["supported"]


# ---- answers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def own() -> Iterator[Running]:
    """A gateway whose server a test may change."""
    with HostileServer() as server, running(server) as one:
        yield one


def test_events_are_sent_as_they_arrive(own: Running) -> None:
    step = threading.Event()

    def answer(heard: Heard, line: Line) -> None:
        line.send(chunked(NOTE, end=False))
        step.wait(60)
        line.send(chunk(event(response(heard))) + b"0\r\n\r\n")

    own.server.answer = answer
    with own.wire() as wire:
        wire.send(own.request())
        head = wire.head()
        assert head is not None
        assert (head.status, head.header("content-type"), head.header("x-accel-buffering")) == (
            200,
            "text/event-stream",
            "no",
        )
        assert b"progress" in wire.chunk()
        step.set()
        assert b'"mine"' in wire.chunk()
        assert wire.chunk() == b""


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_stream_for_a_caller_who_knows_no_chunks_ends_with_the_connection(own: Running, version: bytes) -> None:
    """H-16: chunks are of HTTP/1.1, and whoever speaks 1.0 would take their sizes for a part of the answer; and he waits for no
    100."""
    own.server.answer = lambda heard, line: line.send(chunked(NOTE, event(response(heard))))
    request = own.request(b"Expect: 100-continue").replace(b"HTTP/1.1", version, 1)
    with own.wire() as wire:
        head, end, body = request.partition(b"\r\n\r\n")
        wire.send(head + end)
        if version == b"HTTP/1.1":
            assert wire.interim() == 100
        wire.send(body)
        answer = wire.answer()
        assert answer is not None
        assert answer.header("transfer-encoding") == ("chunked" if version == b"HTTP/1.1" else None)
        assert answer.header("connection") == (None if version == b"HTTP/1.1" else "close")
        assert answer.body.startswith(b"data: ")
        assert answer.message["id"] == "mine"


def test_a_stream_that_breaks_is_answered_with_an_error_as_its_last_event(own: Running) -> None:
    own.server.answer = lambda heard, line: (line.send(chunked(NOTE, end=False)), line.close())
    answer = own.ask(own.request())
    assert answer.status == 200
    assert b"progress" in answer.body
    assert (answer.message["id"], answer.reason) == ("mine", "server_unreachable")
    assert answer.message["error"]["data"]["record"] == own.gateway.entries[0]["record"]


@pytest.mark.parametrize("status", ["201 Created", "205 Reset", "206 Partial", "226 IM Used", "218 Fine", "299 Odd"])
@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_is_one_whatever_success_the_server_calls_it(own: Running, status: str, streams: bool) -> None:
    """H-11: a status that nobody has registered is none that could be written, and is no reason to say nothing."""

    def answer(heard: Heard, line: Line) -> None:
        sent = chunked(event(response(heard))) if streams else whole(response(heard))
        line.send(sent.replace(b"200 OK", status.encode(), 1))

    own.server.answer = answer
    told = own.ask(own.request())
    assert (told.status, told.message["id"]) == (200, "mine")
    assert own.settled()
    assert own.gateway.entries[-1]["outcome"] == "answered"


def test_h_11_a_stream_after_a_status_without_a_body_is_no_second_answer(own: Running) -> None:
    """204 has no body, so that whatever is sent after it would be read as the next answer."""
    streaming = chunked(event(b"{}"))
    own.server.answer = lambda heard, line: line.send(streaming.replace(b"200 OK", b"204 No Content", 1))
    with own.wire() as wire:
        wire.send(own.request())
        answer = wire.answer()
        assert answer is not None
        assert (answer.status, answer.reason) == (200, "server_answer_invalid")
        own.server.answer = plain
        wire.send(own.request())
        answer = wire.answer()
        assert answer is not None
        assert (answer.status, answer.message["id"]) == (200, "mine")


@pytest.mark.parametrize(("status", "told"), [(409, 409), (418, 418), (419, 400), (430, 400), (499, 400), (599, 502)])
def test_a_refusal_of_the_server_is_told_by_a_status_that_can_be_written(own: Running, status: int, told: int) -> None:
    def answer(heard: Heard, line: Line) -> None:
        error = {"jsonrpc": "2.0", "id": heard.call["id"], "error": {"code": -32000, "message": "no"}}
        line.send(whole(json.dumps(error).encode(), f"{status} Odd"))

    own.server.answer = answer
    answered = own.ask(own.request())
    assert (answered.status, answered.message["error"]["code"]) == (told, -32000)


@pytest.mark.parametrize("streams", [False, True])
def test_m_29_a_caller_who_leaves_ends_the_servers_request_at_once(own: Running, streams: bool) -> None:
    gone = threading.Event()

    def answer(_: Heard, line: Line) -> None:
        if streams:
            line.send(chunked(NOTE, end=False))
        if line.gone(60):
            gone.set()

    own.server.answer = answer
    with own.wire() as wire:
        wire.send(own.request())
        if streams:
            assert wire.head() is not None
        else:
            assert own.server_heard(1)
        wire.reset()
        assert gone.wait(60)
    own.server.answer = plain
    own.good()
    assert [entry.get("outcome") for entry in own.gateway.entries][:2] == [None, "aborted"]


def test_m_29_a_caller_who_sent_more_than_one_request_and_leaves_ends_what_is_in_hand(own: Running) -> None:
    gone = threading.Event()
    own.server.answer = lambda heard, line: gone.set() if line.gone(60) else None
    with own.wire() as wire:
        wire.send(own.request() * 3)
        assert own.server_heard(1)
        wire.reset()
        assert gone.wait(60)
    own.server.answer = plain
    own.good()
    assert own.server.calls == 2, "what came after was called"


def test_m_29_a_caller_who_leaves_in_the_middle_of_its_body_makes_no_call(own: Running) -> None:
    for cut in (0, 10, len(BODY) - 1):
        with own.wire() as wire:
            wire.send(own.request()[: -len(BODY) + cut] if cut < len(BODY) else b"")
    own.good()
    assert own.server.calls == 1


def test_m_29_many_who_leave_leave_nothing_behind(own: Running) -> None:
    own.server.answer = lambda heard, line: line.gone(60)
    for _ in range(50):
        with own.wire() as wire:
            wire.send(own.request())
            assert own.server_heard(1)
            own.server.seen.clear()
    own.server.answer = plain
    own.good()
    outcomes = [entry["outcome"] for entry in own.gateway.entries if entry["event"] == "outcome"]
    assert outcomes.count("aborted") == 50
    assert own.gateway.pipeline.admission._calls == {}


def test_m_07_equal_ids_of_many_callers_get_their_own_answers(own: Running) -> None:
    def answer(heard: Heard, line: Line) -> None:
        line.send(chunked(event(response(heard, {"city": heard.call["params"]["arguments"]["city"]}))))

    own.server.answer = answer
    wires = [own.wire() for _ in range(30)]
    for turn in range(3):
        for number, wire in enumerate(wires):
            wire.send(own.request(body=BODY.replace(b"Oslo", b"city-%d-%d" % (turn, number))))
        for number, wire in enumerate(wires):
            told = wire.answer()
            assert told is not None
            assert told.message["result"] == {"city": f"city-{turn}-{number}"}
    for wire in wires:
        wire.reset()


def test_a_worker_carries_so_many_calls_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LIMITS", dataclasses.replace(LIMITS, calls_per_worker=2))
    with HostileServer(lambda heard, line: line.gone(60)) as server, running(server) as own:
        with own.wire() as one, own.wire() as two:
            one.send(own.request())
            two.send(own.request())
            assert own.server_heard(2)
            answer = own.refused(own.request(), 503)
            assert answer is not None
            assert (answer.reason, answer.header("retry-after")) == ("overloaded", "2")
            server.answer = plain
        assert own.settled()
        own.good()


def test_h_15_no_answer_says_what_runs_here(own: Running, caplog: pytest.LogCaptureFixture) -> None:
    own.server.answer = lambda heard, line: (_ for _ in ()).throw(OSError)
    for request in (own.request(), b"x\r\n\r\n", own.request(target=b"/nowhere"), own.request(host=b"x")):
        answer = own.ask(request)
        text = repr(answer.headers).lower() + answer.body.decode().lower()
        for word in ("uvicorn", "starlette", "python", "traceback", "aiohttp", "httptools", "counterseal/", ".py"):
            assert word not in text
