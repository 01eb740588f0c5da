"""Pages of origins that the configuration names may call and read the answer; no other page may do either (M-12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from counterseal.core.call import Inbound
from counterseal.core.policy import Policy, Rule
from counterseal.errors import REASONS, BadCall, CallError
from counterseal.identity.challenge import insufficient_scope
from counterseal.web.cors import Cors
from counterseal.web.hosts import Hosts
from tests.gateway.building import ISSUER, META
from tests.support.hostile import Heard, HostileServer, Line, chunked, event, plain, response
from tests.support.rawhttp import Answer
from tests.web.building import BODY, CALL, Running, running

PAGE: Final = b"https://inspector.example.com"
OTHER_PAGE: Final = b"http://localhost:6274"
POLICY: Final = Policy((Rule("policy[0]", permits=True),), {})
EXPOSED: Final = "WWW-Authenticate, Mcp-Session-Id, Retry-After"
REQUEST_HEADERS: Final = (
    "Authorization, X-API-Key, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, "
    "Last-Event-ID"
)
BARE: Final[dict[str, Any]] = {
    "authorization": None,
    "content_type": None,
    "accept": b"*/*",
    "mcp_protocol_version": None,
    "mcp_method": None,
    "mcp_name": None,
}
"""What a preflight does not have."""


@pytest.fixture(scope="module")
def pages() -> Iterator[Running]:
    """A gateway that two origins may call."""
    with HostileServer() as server, running(server, origins=(PAGE.decode(), OTHER_PAGE.decode()), policy=POLICY) as one:
        yield one


def preflight(
    web: Running, *more: bytes, origin: bytes | None = PAGE, method: bytes = b"POST", **changes: Any
) -> bytes:
    """As a browser sends it. more: header lines."""
    line = b"Access-Control-Request-Method: " + method
    return web.head(line, *more, **{**BARE, "verb": b"OPTIONS", "origin": origin, **changes})


def cors(answer: Answer) -> dict[str, str]:
    """The headers that browsers read, each of them once."""
    names = [name for name, _ in answer.headers if name.startswith("access-control") or name == "vary"]
    assert len(names) == len(set(names)), names
    return {name: value for name, value in answer.headers if name in names}


def readable(answer: Answer, page: bytes = PAGE) -> bool:
    """Whether a browser shows this answer to the page, with all that it may need of it."""
    return cors(answer) == {
        "access-control-allow-origin": page.decode(),
        "vary": "Origin",
        "access-control-expose-headers": EXPOSED,
    }


# ---- preflights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE"])
@pytest.mark.parametrize("page", [PAGE, OTHER_PAGE])
def test_a_preflight_of_a_configured_origin_needs_no_credential_and_makes_no_call(
    pages: Running, page: bytes, method: bytes
) -> None:
    before = len(pages.gateway.entries)
    answer = pages.refused(preflight(pages, origin=page, method=method), 204)
    assert answer is not None
    assert answer.body == b""
    assert answer.header("content-length") is None
    assert answer.header("transfer-encoding") is None
    assert answer.header("connection") is None
    assert cors(answer) == {
        "access-control-allow-origin": page.decode(),
        "vary": "Origin",
        "access-control-expose-headers": EXPOSED,
        "access-control-allow-methods": "POST, GET, DELETE",
        "access-control-allow-headers": REQUEST_HEADERS,
        "access-control-max-age": "600",
    }
    assert len(pages.gateway.entries) == before, "a preflight decides about nobody, so there is nothing to record"
    assert pages.ask(pages.request(origin=page)).status == 200


def test_a_preflight_says_nothing_about_which_servers_there_are(pages: Running) -> None:
    known = pages.ask(preflight(pages))
    for target in (b"/mcp", b"/mcp/no-such-server", b"/mcp/weather?x=y"):
        answer = pages.ask(preflight(pages, target=target))
        assert (answer.status, cors(answer)) == (204, cors(known))


def allowed(web: Running, *asked: bytes) -> list[str]:
    """Which headers a page may send that asks for these, one header line each."""
    answer = web.ask(preflight(web, *(b"Access-Control-Request-Headers: " + line for line in asked)))
    assert answer.status == 204
    return (answer.header("access-control-allow-headers") or "").split(", ")


def test_headers_of_mcp_params_are_allowed_by_their_form(pages: Running) -> None:
    usual = REQUEST_HEADERS.split(", ")
    assert allowed(pages) == usual
    assert allowed(pages, b"authorization,content-type,mcp-method") == usual
    asked = b"authorization, mcp-param-city,mcp-param-days ,mcp-param-city"
    assert allowed(pages, asked) == [*usual, "mcp-param-city", "mcp-param-days"]
    assert allowed(pages, b"mcp-param-a", b"Mcp-Param-B") == [*usual, "mcp-param-a", "Mcp-Param-B"]


@pytest.mark.parametrize(
    "name",
    [
        *(b"mcp-param-", b"mcp-param", b"mcp-paramx", b"x-mcp-param-city", b"mcp-param-a b", b"mcp-param-a:b"),
        *(
            b"mcp-param-\xc3\xa4",
            b'mcp-param-"',
            b"mcp-param-a;q=1",
            b"mcp-param-(a)",
            b"mcp-param-a/b",
            b"mcp-param-a\tb",
        ),
        *(b"cookie", b"host", b"origin", b"x-http-method-override", b"x-forwarded-host", b"txn-token", b"*", b""),
    ],
)
def test_no_other_header_is_allowed(pages: Running, name: bytes) -> None:
    usual = REQUEST_HEADERS.split(", ")
    assert allowed(pages, name) == usual
    assert allowed(pages, name + b",mcp-param-city") == [*usual, "mcp-param-city"]


def test_a_browsers_own_credentials_are_never_allowed(pages: Running) -> None:
    for request in (preflight(pages), pages.request(origin=PAGE), pages.request(origin=PAGE, authorization=None)):
        assert pages.ask(request).header("access-control-allow-credentials") is None


NOT_CONFIGURED: Final = [
    *(b"null", b"", b"*", b"https://evil.example", b"https://inspector.example.com.evil.example"),
    *(b"https://evil-inspector.example.com", b"https://xinspector.example.com", b"https://inspector.example.co"),
    *(b"http://inspector.example.com", b"https://inspector.example.com:443", b"https://inspector.example.com:8443"),
    *(b"https://inspector.example.com/", b"https://INSPECTOR.example.com", b"HTTPS://inspector.example.com"),
    *(b"https://inspector.example.com.", b"https://user@inspector.example.com", b"inspector.example.com"),
    *(b"https://inspector.example.com,https://evil.example", b"https://inspector.example.com https://evil.example"),
    *(b"https://example.com", b"https://sub.inspector.example.com", b"https://inspector.example.com#x"),
    *(b"https://inspector_example.com", b"https://localhost:6274", b"file://", b"chrome-extension://inspector"),
    *(b"https://inspector.example.com\x00", b"https://\xc3\xafnspector.example.com"),
]


@pytest.mark.parametrize("origin", NOT_CONFIGURED)
def test_m_12_a_page_of_any_other_origin_may_neither_ask_nor_call_nor_read(pages: Running, origin: bytes) -> None:
    before = len(pages.gateway.entries)
    requests = [preflight(pages, origin=origin), pages.request(origin=origin)]
    for request in requests:
        answer = pages.refused(request, 400 if b"\x00" in origin else 403)
        assert answer is not None
        assert cors(answer) == {}
        assert b"inspector" not in answer.body
        if answer.status == 403:
            assert answer.reason == "origin_refused"
    told = [entry["reason"] for entry in pages.gateway.entries[before:]]
    assert told == ([] if b"\x00" in origin else ["origin_refused"] * 2)
    assert pages.ask(preflight(pages)).status == 204
    assert readable(pages.ask(pages.request(origin=PAGE)))


def test_m_12_a_page_that_asks_by_a_rebound_name_is_refused(pages: Running) -> None:
    for host in (b"evil.example", b"127.0.0.1.nip.io", b"inspector.example.com"):
        answer = pages.refused(preflight(pages, host=host), 403)
        assert answer is not None
        assert answer.reason == "origin_refused"
    pages.refused(preflight(pages, b"Host: 127.0.0.1"), 400)
    assert pages.ask(preflight(pages)).status == 204


def test_m_12_two_origins_are_none(pages: Running) -> None:
    for second in (PAGE, OTHER_PAGE, b"https://evil.example"):
        for request in (preflight(pages, b"Origin: " + second), pages.request(b"Origin: " + second, origin=PAGE)):
            answer = pages.refused(request, 400)
            assert answer is not None
            assert (answer.reason, cors(answer)) == ("bad_header", {})
    assert pages.ask(preflight(pages)).status == 204


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b"Content-Length: 2", b"{}"),
        (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"),
        (b"Access-Control-Request-Method: GET", b""),
    ],
    ids=["body", "chunks", "two methods"],
)
def test_m_11_an_options_that_is_no_preflight_is_405(pages: Running, line: bytes, body: bytes) -> None:
    answer = pages.refused(preflight(pages, line) + body, 405)
    assert answer is not None
    assert answer.header("allow") == "POST, GET, DELETE"
    assert answer.header("connection") == "close"
    assert readable(answer)
    assert pages.ask(preflight(pages, b"Content-Length: 0")).status == 204


def test_m_11_an_options_that_does_not_ask_for_a_method_is_405(pages: Running) -> None:
    answer = pages.refused(pages.head(**{**BARE, "verb": b"OPTIONS", "origin": PAGE}), 405)
    assert answer is not None
    assert answer.reason == "http_method_refused"


def test_m_11_only_options_asks(pages: Running) -> None:
    ask = b"Access-Control-Request-Method: POST"
    assert pages.ask(pages.request(ask, origin=PAGE)).status == 200
    pages.refused(pages.request(ask, origin=PAGE, authorization=None), 401)
    for verb in (b"HEAD", b"PUT", b"TRACE"):
        pages.refused(pages.request(ask, origin=PAGE, verb=verb), 405)


def test_h_05_no_header_makes_a_preflight_a_call_or_a_call_a_preflight(pages: Running) -> None:
    for header in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"):
        assert pages.refused(preflight(pages, header + b": POST"), 204) is not None
        calls = pages.server.calls
        assert pages.ask(pages.request(header + b": OPTIONS", origin=PAGE)).status == 200
        assert pages.server.calls == calls + 1
        pages.refused(pages.request(header + b": OPTIONS", origin=PAGE, authorization=None), 401)


def test_many_preflights_go_over_one_connection_and_leave_nothing_behind(pages: Running) -> None:
    before = len(pages.gateway.entries)
    with pages.wire() as wire:
        for _ in range(50):
            wire.send(preflight(pages) * 4)
            assert [answer.status for _ in range(4) if (answer := wire.answer("OPTIONS")) is not None] == [204] * 4
        wire.send(pages.request(origin=PAGE))
        last = wire.answer()
        assert last is not None
        assert last.status == 200
    assert [entry["event"] for entry in pages.gateway.entries[before:]] == ["intent", "outcome"]
    assert pages.gateway.pipeline.admission._calls == {}


# ---- answers --------------------------------------------------------------------------------------------------------


def body_of(method: str, params: dict[str, Any] | None = None) -> bytes:
    return json.dumps({**CALL, "method": method, "params": {**(params or {}), "_meta": META}}).encode()


ANSWERS: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "good": ({}, 200),
    "list": ({"mcp_method": b"tools/list", "mcp_name": None, "body": body_of("tools/list")}, 200),
    "no credential": ({"authorization": None}, 401),
    "bad credential": ({"authorization": b"Bearer nobody"}, 401),
    "two credentials": ({"x_api_key": b"x"}, 400),
    "other host": ({"host": b"evil.example"}, 403),
    "no address": ({"target": b"/mcp/weather/"}, 404),
    "no server": ({"target": b"/mcp/no-such-server"}, 404),
    "all servers": ({"target": b"/mcp"}, 400),
    "other verb": ({"verb": b"PUT"}, 405),
    "no JSON": ({"body": b"{"}, 400),
    "text": ({"content_type": b"text/plain"}, 415),
    "accepts nothing": ({"accept": b"text/html"}, 406),
    "deep": ({"body": b"[" * 5000 + b"]" * 5000}, 413),
    "other name": ({"mcp_name": b"other"}, 400),
    "no method": ({"mcp_method": b"x/y", "mcp_name": None, "body": body_of("x/y")}, 404),
}
"""What is changed in a good request, and what it gets."""


@pytest.mark.parametrize(("changes", "status"), ANSWERS.values(), ids=ANSWERS)
def test_every_answer_to_a_page_of_a_configured_origin_can_be_read(
    pages: Running, changes: dict[str, Any], status: int
) -> None:
    answer = pages.ask(pages.request(origin=PAGE, **changes))
    assert answer.status == status
    assert readable(answer)
    without = pages.ask(pages.request(**changes))
    assert (without.status, cors(without)) == (status, {})


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_can_be_read(pages: Running, code: str) -> None:
    pages.gateway.known.error = CallError(code, "for a test")
    try:
        answer = pages.ask(pages.request(origin=PAGE))
    finally:
        pages.gateway.known.error = None
    assert (answer.status, answer.reason) == (REASONS[code].status, code)
    assert readable(answer)


def test_a_page_can_read_which_scopes_it_lacks(pages: Running) -> None:
    header = insufficient_scope(ISSUER, "weather", ("mcp", "mcp:read"))
    pages.gateway.known.error = BadCall("insufficient_scope", "the token lacks a scope", headers=(header,))
    try:
        answer = pages.refused(pages.request(origin=PAGE), 403)
    finally:
        pages.gateway.known.error = None
    assert answer is not None
    assert (answer.message["error"]["code"], answer.reason) == (40304, "insufficient_scope")
    assert answer.header("www-authenticate") == header[1].decode()
    assert readable(answer)


def test_streams_can_be_read_and_so_can_what_breaks_off() -> None:
    note = event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})

    def streams(heard: Heard, line: Line) -> None:
        line.send(chunked(note, event(response(heard))))

    def breaks(heard: Heard, line: Line) -> None:
        line.send(chunked(note, end=False))
        line.close()

    def refuses(heard: Heard, line: Line) -> None:
        line.close()

    with HostileServer() as server, running(server, origins=(PAGE.decode(),)) as own:
        for answering, status, media in (
            (streams, 200, "text/event-stream"),
            (breaks, 200, "text/event-stream"),
            (refuses, 502, "application/json"),
            (plain, 200, "application/json"),
        ):
            server.answer = answering
            answer = own.ask(own.request(origin=PAGE))
            assert (answer.status, answer.header("content-type")) == (status, media)
            assert readable(answer)


def test_a_page_can_hold_a_legacy_session(pages: Running) -> None:
    """`initialize`, a call, the stream and the end of it: the session's id can be read, and sent."""
    bare: dict[str, Any] = {"origin": PAGE, "mcp_protocol_version": None, "mcp_method": None, "mcp_name": None}
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"}}
    opening = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}).encode()
    opened = pages.ask(pages.request(body=opening, **bare))
    assert opened.status == 200
    assert readable(opened)
    sealed = opened.header("mcp-session-id")
    assert sealed is not None
    session = b"Mcp-Session-Id: " + sealed.encode()
    for verb, body in ((b"POST", b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'), (b"GET", b""), (b"DELETE", b"")):
        media = b"application/json" if body else None
        more = (b"Content-Length: %d" % len(body), session) if body else (session,)
        answer = pages.ask(pages.head(*more, verb=verb, **{**bare, "content_type": media}) + body)
        assert answer.status in (200, 204)
        assert readable(answer)


def test_without_an_origin_and_from_the_gateways_own_nothing_is_added(pages: Running) -> None:
    """The gateway's own pages need no leave."""
    for origin in (None, b"http://127.0.0.1:%d" % pages.port, b"http://localhost:3000"):
        answer = pages.ask(pages.request(origin=origin))
        assert (answer.status, cors(answer)) == (200, {})
        refused = pages.refused(preflight(pages, origin=origin), 405)
        assert refused is not None
        assert cors(refused) == {}


def test_c_04_where_no_origin_is_configured_no_page_gets_anything(web: Running) -> None:
    for request in (preflight(web), web.request(origin=PAGE)):
        answer = web.refused(request, 403)
        assert answer is not None
        assert cors(answer) == {}
    web.good()


# ---- the parts ------------------------------------------------------------------------------------------------------


def inbound(*origins: bytes, verb: str = "POST") -> Inbound:
    lines = [(b"host", b"gateway.example.com"), *((b"origin", origin) for origin in origins)]
    return Inbound(verb, "weather", tuple(lines), b"", "192.0.2.7")


@pytest.mark.parametrize("origins", [(), (b"https://evil.example",), (PAGE, PAGE), (PAGE + b"/",)])
def test_for_no_configured_origin_an_answer_gets_no_headers(origins: tuple[bytes, ...]) -> None:
    known = Cors((PAGE.decode(),))
    assert known.headers(inbound(*origins)) == ()
    assert (b"access-control-allow-origin", PAGE) in known.headers(inbound(PAGE))


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        (b"x-tenant-id", b", x-tenant-id"),
        (b"X-Tenant-Id, mcp-param-city", b", X-Tenant-Id, mcp-param-city"),
        (b"x-tenant-id,x-unnamed", b", x-tenant-id"),
        (b"x-unnamed", b""),
        (b"", b""),
    ],
)
def test_a_page_may_send_a_header_that_some_server_gets_by_name(asked: bytes, more: bytes) -> None:
    """And it is not told of one that it did not ask about."""
    known = Cors((PAGE.decode(),), ("X-Tenant-Id", "X-Case"))
    head = Inbound("OPTIONS", "weather", ((b"access-control-request-headers", asked),), b"", "192.0.2.7")
    usual = dict(Cors((PAGE.decode(),)).preflight_answer(inbound(PAGE)))[b"access-control-allow-headers"]
    assert dict(known.preflight_answer(head))[b"access-control-allow-headers"] == usual + more


def test_hosts_takes_a_configured_origin_and_still_its_own() -> None:
    hosts = Hosts("https://gateway.example.com", (PAGE.decode(),))
    local = ("192.0.2.1", 8460)
    for origin in (PAGE, b"https://gateway.example.com"):
        hosts.check(inbound(origin), local)
    for other in NOT_CONFIGURED:
        with pytest.raises(BadCall) as told:
            hosts.check(inbound(other), local)
        assert told.value.reason.code == "origin_refused"
    with pytest.raises(BadCall):
        Hosts("https://gateway.example.com").check(inbound(PAGE), local)


def test_the_requests_here_are_good_ones(pages: Running) -> None:
    assert pages.ask(pages.request(origin=PAGE, body=BODY)).message["id"] == "mine"
