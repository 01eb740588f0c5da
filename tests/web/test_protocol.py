"""HTTP/1.1 byte by byte: what is framed in two ways is refused, and everything has a ceiling."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from counterseal.core.limits import LIMITS
from counterseal.web import app, protocol
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, event, plain, response, whole
from tests.support.rawhttp import Wire
from tests.web.building import BODY, Running, running

GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def test_a_good_request_is_answered(web: Running) -> None:
    web.good()


def test_a_body_in_chunks_is_a_body(web: Running) -> None:
    cut = len(BODY) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:cut], BODY[cut:])) + b"0\r\n\r\n"
    assert web.ask(web.head(b"Transfer-Encoding: chunked") + chunks).status == 200
    assert web.server.seen[-1].call["params"]["arguments"] == {"city": "Oslo"}


def test_a_body_may_arrive_byte_by_byte(web: Running) -> None:
    with web.wire() as wire:
        for byte in web.request():
            wire.send(bytes([byte]))
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200


# ---- framing ----------------------------------------------------------------------------------------------------------

FRAMING = {
    "length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", CHUNKS),
    "chunks and length": (b"Transfer-Encoding: chunked\r\n" + LENGTH, BODY),
    "two lengths": (LENGTH + b"\r\nContent-Length: 1", BODY),
    "the same length twice": (LENGTH + b"\r\n" + LENGTH, BODY),
    "list of lengths": (b"Content-Length: %d, %d" % (len(BODY), len(BODY)), BODY),
    "signed length": (b"Content-Length: +%d" % len(BODY), BODY),
    "negative length": (b"Content-Length: -1", BODY),
    "hexadecimal length": (b"Content-Length: 0x10", BODY),
    "fractional length": (b"Content-Length: 1.0", BODY),
    "unicode length": ("Content-Length: \u0661".encode(), BODY),
    "empty length": (b"Content-Length: ", BODY),
    "length of many zeros": (b"Content-Length: " + b"0" * 5000 + b"%d" % len(BODY), BODY),
    "huge length": (b"Content-Length: 99999999999999999999999", BODY),
    "coding after chunked": (b"Transfer-Encoding: chunked, identity", CHUNKS),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked", CHUNKS),
    "xchunked": (b"Transfer-Encoding: xchunked", CHUNKS),
    "chunkedx": (b"Transfer-Encoding: chunkedx", CHUNKS),
    "vertical tab": (b"Transfer-Encoding: \x0bchunked", CHUNKS),
    "identity": (b"Transfer-Encoding: identity", BODY),
    "gzip": (b"Transfer-Encoding: gzip", BODY),
    "space before the colon": (b"Transfer-Encoding : chunked", CHUNKS),
    "folded": (b"Transfer-Encoding:\r\n chunked", CHUNKS),
    "chunked in two lines": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKS),
    "two codings": (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", CHUNKS),
    "chunk size": (b"Transfer-Encoding: chunked", b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "signed chunk size": (b"Transfer-Encoding: chunked", b"+" + CHUNKS),
    "0x chunk size": (b"Transfer-Encoding: chunked", b"0x" + CHUNKS),
    "huge chunk size": (b"Transfer-Encoding: chunked", b"f" * 17 + b"\r\n" + BODY),
    "space in chunk size": (b"Transfer-Encoding: chunked", b"1 0\r\n" + BODY),
    "chunk too short": (b"Transfer-Encoding: chunked", b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "LF after chunk size": (b"Transfer-Encoding: chunked", CHUNKS.replace(b"\r\n", b"\n", 1)),
    "LF in a chunk extension": (b"Transfer-Encoding: chunked", CHUNKS.replace(b"\r\n", b";a\nb\r\n", 1)),
    "CR in a chunk extension": (b"Transfer-Encoding: chunked", CHUNKS.replace(b"\r\n", b";a\rb\r\n", 1)),
}


@pytest.mark.parametrize(("lines", "rest"), FRAMING.values(), ids=FRAMING.keys())
def test_h_01_h_02_a_body_that_could_end_in_two_places_is_refused_and_the_connection_with_it(
    web: Running, lines: bytes, rest: bytes
) -> None:
    smuggled = web.request()
    calls = web.server.calls
    with web.wire() as wire:
        wire.send(web.head(lines) + rest + smuggled)
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 400
        assert wire.closed(), "the connection goes on"
    assert web.server.calls == calls, "the server was called"
    web.good()


def test_h_01_a_length_of_so_many_digits_is_taken_and_no_longer_one(web: Running) -> None:
    for digits, status in ((32, 200), (33, 400)):
        head = web.head(b"Content-Length: " + (b"%d" % len(BODY)).zfill(digits))
        assert web.ask(head + BODY).status == status


def test_h_02_what_follows_the_last_chunk_is_no_header(web: Running) -> None:
    chunks = CHUNKS[:-2] + b"Authorization: Bearer key-of-bob\r\nMcp-Name: other\r\nX-Trailer: canary\r\n\r\n"
    answer = web.ask(web.head(b"Transfer-Encoding: chunked") + chunks)
    if answer.status == 200:
        assert b"canary" not in web.server.seen[-1].raw
        assert web.gateway.entries[-2]["sub"] == "alice"
    calls = web.server.calls
    late = web.head(b"Transfer-Encoding: chunked", authorization=None) + chunks
    assert web.ask(late).status in (400, 401)
    assert web.server.calls == calls


HEADS = {
    "bare LF": lambda head: head.replace(b"\r\n", b"\n"),
    "one bare LF": lambda head: head.replace(b"\r\nAccept", b"\nAccept").replace(b"\r\naccept", b"\naccept"),
    "bare CR": lambda head: head.replace(b"\r\naccept", b"\rX: y\r\naccept"),
    "NUL in a value": lambda head: head.replace(b"application/json,", b"application\0/json,"),
    "NUL in a name": lambda head: head.replace(b"accept:", b"acc\0ept:"),
    "control in a value": lambda head: head.replace(b"application/json,", b"\x01application/json,"),
    "folded": lambda head: head.replace(b"\r\naccept: ", b"\r\naccept:\r\n "),
    "space before the colon": lambda head: head.replace(b"accept:", b"accept :"),
    "tab before the colon": lambda head: head.replace(b"accept:", b"accept\t:"),
    "no name": lambda head: head.replace(b"accept:", b":"),
    "no colon": lambda head: head.replace(b"\r\naccept", b"\r\nwhat\r\naccept"),
    "name not ASCII": lambda head: head.replace(b"accept:", b"acc\xc3\xa9pt:"),
    "space in a name": lambda head: head.replace(b"accept:", b"acc ept:"),
    "leading space": lambda head: head.replace(b"\r\n", b"\r\n ", 1),
    "method with a space": lambda head: b" " + head,
    "method not ASCII": lambda head: b"\xc3" + head,
    "unknown method": lambda head: head.replace(b"POST", b"PWN", 1),
    "lower-case method": lambda head: head.replace(b"POST", b"post", 1),
    "no target": lambda head: head.replace(b" /mcp/weather ", b" ", 1),
    "tab": lambda head: head.replace(b"POST ", b"POST\t", 1),
    "HTTP/0.9": lambda head: head.replace(b" HTTP/1.1", b"", 1),
    "HTTP/1.2": lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.2", 1),
    "HTTP/2.0": lambda head: head.replace(b"HTTP/1.1", b"HTTP/2.0", 1),
    "HTTP/11": lambda head: head.replace(b"HTTP/1.1", b"HTTP/11", 1),
    "http": lambda head: head.replace(b"HTTP/1.1", b"http/1.1", 1),
    "HTTPS": lambda head: head.replace(b"HTTP/1.1", b"HTTPS/1.1", 1),
    "NUL in the target": lambda head: head.replace(b"/weather", b"/weather\0", 1),
    "space in the target": lambda head: head.replace(b"/weather", b"/wea ther", 1),
    "CONNECT": lambda head: head.replace(b"POST /mcp/weather", b"CONNECT evil.example:443", 1),
    "PRI": lambda head: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + head,
    "TLS": lambda head: bytes.fromhex("16030100c8010000c40303") + head,
}


@pytest.mark.parametrize("spell", HEADS.values(), ids=HEADS.keys())
def test_h_03_h_16_a_head_that_is_not_plain_http_is_refused_and_the_connection_with_it(
    web: Running, spell: object
) -> None:
    """H-16: HTTP/2 is not spoken."""
    good = web.head(LENGTH)
    bad = spell(good)  # type: ignore[operator]
    assert bad != good
    calls = web.server.calls
    with web.wire() as wire:
        wire.send(bad + BODY)
        answer = wire.answer()
        assert answer is None or answer.status in (400, 404, 405)
        assert wire.closed(), "the connection goes on"
    assert web.server.calls == calls, "the server was called"
    web.good()


# ---- one after the other ----------------------------------------------------------------------------------------------


def test_h_07_requests_on_one_connection_are_answered_in_order(web: Running) -> None:
    with web.wire() as wire:
        wire.send(b"".join(web.request(body=BODY.replace(b"mine", b"id-%d" % number)) for number in range(20)))
        answers = [wire.answer() for _ in range(20)]
        assert [each.message["id"] for each in answers if each] == [f"id-{number}" for number in range(20)]


@pytest.mark.parametrize("target", [b"/mcp/weather", b"/healthz"])
@pytest.mark.parametrize("over", [0, 1])
def test_h_08_so_many_requests_may_wait_for_the_answer_before_them_and_no_more(
    quick: Running, over: int, target: bytes
) -> None:
    """Read and kept, they would cost a hundred times their bytes."""
    answered = threading.Event()

    def answer(heard: Heard, line: Line) -> None:
        assert answered.wait(60)
        plain(heard, line)

    quick.server.answer = answer
    last = quick.request() if target == b"/mcp/weather" else GET
    with quick.wire() as wire:
        wire.send(quick.request())
        assert quick.server_heard(1)
        wire.send(last * (LIMITS.waiting_request_count + over))
        if over:
            assert wire.closed()
        answered.set()
        if not over:
            answers = [wire.answer() for _ in range(1 + LIMITS.waiting_request_count)]
            assert [each.status for each in answers if each is not None] == [200] * len(answers)
    assert quick.settled()
    assert quick.server.calls == (1 if over or target == b"/healthz" else 1 + LIMITS.waiting_request_count)


def test_h_07_a_refusal_of_a_whole_request_leaves_its_connection_as_it_is(web: Running) -> None:
    with web.wire() as wire:
        for changes in ({"authorization": None}, {"mcp_name": b"other"}, {"body": b"{"}, {}):
            wire.send(web.request(**changes))
            answer = wire.answer()
            assert answer is not None
            assert answer.header("connection") is None
        assert answer.status == 200


def test_a_connection_may_carry_any_number_of_large_bodies(web: Running) -> None:
    padded = BODY + b" " * (LIMITS.body_bytes - len(BODY))
    with web.wire() as wire:
        for _ in range(5):
            wire.send(web.request(body=padded))
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200


def test_h_07_a_refused_request_whose_body_was_not_read_ends_its_connection(web: Running) -> None:
    """Or it reads the whole body first: never is it read as a request."""
    calls = web.server.calls
    inner = web.request()
    for changes in ({"target": b"/mcp/a/b"}, {"host": b"evil.example"}, {"verb": b"PUT"}):
        with web.wire() as wire:
            wire.send(web.head(b"Content-Length: %d" % len(inner), **changes) + inner[:50])
            answer = wire.answer()
            assert answer is not None
            assert answer.status in (403, 404, 405)
            wire.send(inner[50:])
            assert wire.closed(), "the rest was answered"
    assert web.server.calls == calls


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"TLS/1.2", b"x"])
def test_m_11_no_other_protocol_is_spoken(web: Running, upgrade: bytes) -> None:
    lines = (b"Connection: Upgrade", b"Upgrade: " + upgrade, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: YWJj")
    calls = web.server.calls
    head = web.head(*lines, verb=b"GET", mcp_protocol_version=None, mcp_method=None, mcp_name=None, authorization=None)
    with web.wire() as wire:
        wire.send(head)
        answer = wire.answer()
        assert answer is None or answer.status in (400, 401, 405, 426)
    assert web.server.calls == calls
    web.good()


OFFER = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")


def test_an_upgrade_that_is_offered_beside_a_good_call_is_ignored(web: Running) -> None:
    """RFC 9110 section 7.8, as for Java's own client."""
    for request in (web.request(*OFFER), web.head(*OFFER, b"Transfer-Encoding: chunked") + CHUNKS):
        answer = web.ask(request)
        assert answer.status == 200
        assert web.server.seen[-1].names.isdisjoint({"connection", "upgrade", "http2-settings"})
    assert (
        web.ask(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%b\r\n\r\n" % (web.port, b"\r\n".join(OFFER))).status
        == 200
    )


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_an_upgrade_is_ignored_on_each_call_of_a_connection_however_its_bytes_come(web: Running, size: int) -> None:
    calls, whole = web.server.calls, b"".join([web.request(*OFFER), web.request(), web.request(*OFFER)])
    with web.wire() as wire:
        for start in range(0, len(whole), size):
            wire.send(whole[start : start + size])
        assert [answer and answer.status for answer in (wire.answer(), wire.answer(), wire.answer())] == [200] * 3
        for _ in range(2):  # whose head is known by now
            wire.send(web.request(*OFFER))
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200
    assert web.server.calls == calls + 5


def test_h_08_a_caller_who_waits_for_100_continue_gets_it(web: Running) -> None:
    with web.wire() as wire:
        wire.send(web.head(LENGTH, b"Expect: 100-continue"))
        assert wire.interim() == 100
        wire.send(BODY)
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200


def test_h_08_a_caller_who_waits_with_too_much_is_told_before_it_sends_it(web: Running) -> None:
    with web.wire() as wire:
        wire.send(web.head(b"Content-Length: %d" % (LIMITS.body_bytes + 1), b"Expect: 100-continue"))
        head = wire.head()
        assert head is not None
        assert head.status == 413


# ---- ceilings ---------------------------------------------------------------------------------------------------------


def head_bytes(head: bytes) -> int:
    """What the ceiling counts: the target, and each header line with its end."""
    line, *lines = head.split(b"\r\n")
    return len(line.split(b" ")[1]) + sum(len(each) + 2 for each in lines if each)


def test_h_08_a_head_may_be_as_large_as_the_ceiling_and_no_larger(web: Running) -> None:
    lines = [b"X-%d: %s" % (number, b"y" * 7000) for number in range(4)]
    room = LIMITS.header_bytes - head_bytes(web.head(LENGTH, *lines, b"X-Last: "))
    fits = web.head(LENGTH, *lines, b"X-Last: " + b"y" * room)
    assert head_bytes(fits) == LIMITS.header_bytes
    assert web.ask(fits + BODY).status == 200
    answer = web.refused(web.head(LENGTH, *lines, b"X-Last: " + b"y" * (room + 1)) + BODY, 431)
    assert answer is not None
    assert answer.header("connection") == "close"


def test_h_08_a_head_may_have_so_many_lines_and_no_more(web: Running) -> None:
    more = LIMITS.header_count - (len(web.head(LENGTH).split(b"\r\n")) - 3)
    lines = [b"X-%d: y" % number for number in range(more)]
    assert web.ask(web.head(LENGTH, *lines) + BODY).status == 200
    web.refused(web.head(LENGTH, *lines, b"X: y") + BODY, 431)


def test_h_08_a_value_may_be_so_long_and_no_longer(web: Running) -> None:
    longest = b"X: " + b"y" * LIMITS.header_value_bytes
    assert web.ask(web.head(LENGTH, longest) + BODY).status == 200
    web.refused(web.head(LENGTH, longest + b"y") + BODY, 431)


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        b"POST " + b"/" * 100_000,
    ],
    ids=["target", "value", "name", "lines", "unfinished target"],
)
def test_h_08_a_head_without_an_end_is_cut_at_the_ceiling(web: Running, flood: bytes) -> None:
    with web.wire() as wire:
        wire.send(flood)
        answer = wire.answer()
        assert answer is None or answer.status in (400, 414, 431)
        assert answer is None or wire.closed()
    web.good()


def test_h_08_a_body_may_be_as_large_as_the_ceiling_and_no_larger(web: Running) -> None:
    padded = BODY + b" " * (LIMITS.body_bytes - len(BODY))
    assert web.ask(web.request(body=padded)).status == 200
    answer = web.refused(web.request(body=padded + b" "), 413)
    assert answer is not None
    assert (answer.reason, answer.header("connection")) == ("too_large", "close")


def test_h_08_a_body_in_chunks_has_the_same_ceiling(web: Running) -> None:
    padded = BODY + b" " * (LIMITS.body_bytes - len(BODY))
    for extra, status in ((b"", 200), (b" ", 413)):
        body = padded + extra
        chunks = b"".join(
            b"%x\r\n%s\r\n" % (len(part), part)
            for part in (body[start : start + 65_536] for start in range(0, len(body), 65_536))
        )
        calls = web.server.calls
        with web.wire() as wire:
            wire.send(web.head(b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
            answer = wire.answer()
            assert answer is not None
            assert answer.status == status
        assert web.server.calls == calls + (status == 200)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"gzip, gzip", b"x", b"GZIP"])
def test_h_10_a_body_with_a_content_coding_is_refused_and_not_unpacked(web: Running, coding: bytes) -> None:
    web.refused(web.request(b"Content-Encoding: " + coding, body=b"\x1f\x8b" + b"\0" * 100), 415)
    assert web.ask(web.request(b"Content-Encoding: identity")).status == 200


# ---- time -------------------------------------------------------------------------------------------------------------

QUICK = 0.4
SOON = 9.0
"""Seconds: below the time that a head has where nothing is changed."""


@pytest.fixture
def own() -> Iterator[Running]:
    """A gateway of a test's own."""
    with HostileServer() as server, running(server) as one:
        yield one


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A gateway with little patience."""
    limits = dataclasses.replace(LIMITS, header_seconds=QUICK, body_seconds=QUICK)
    monkeypatch.setattr(protocol, "LIMITS", limits)
    monkeypatch.setattr(app, "LIMITS", limits)
    with HostileServer() as server, running(server) as one:
        yield one


def test_h_07_after_a_framing_error_nothing_that_follows_is_read(own: Running) -> None:
    with own.wire() as wire:
        wire.send(own.request() + own.head(b"Content-Length: x") + own.request() * 3)
        first = wire.answer()
        second = None if first is None else wire.answer()
        assert first is None or first.status == 200
        assert second is None or second.status == 400
        assert wire.closed()
    assert own.settled()
    assert own.server.calls <= 1


REFUSED = {
    "no request": (b"\0\r\n\r\n", 400),
    "no path": (b"GET x HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "no length": (b"POST /mcp/weather HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", 400),
    "no chunk": (b"POST /mcp/weather HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400),
    "no chunk elsewhere": (b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400),
    "large head": (b"GET /healthz HTTP/1.1\r\nx: " + b"y" * LIMITS.header_value_bytes + b"y\r\n\r\n", 431),
    "endless head": (b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 3 * LIMITS.header_bytes, 431),
}


@pytest.mark.parametrize(("bytes_sent", "status"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("begun", [None, False, True], ids=["alone", "behind a call", "within a stream"])
def test_h_07_a_refusal_is_never_read_as_the_answer_to_a_call_before_it(
    own: Running, bytes_sent: bytes, status: int, begun: bool | None
) -> None:
    """Behind a call that is not answered yet the connection ends without a word, and the call with it. begun: whether its stream
    has begun; None for no call."""
    note = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}})
    gone = threading.Event()

    def answer(heard: Heard, line: Line) -> None:
        if begun:
            line.send(chunked(note, end=False))
        if line.gone():
            gone.set()

    own.server.answer = answer
    with own.wire() as wire:
        if begun is not None:
            wire.send(own.request())
            assert own.server_heard(1)
        if begun:
            assert wire.head() is not None
            assert b'"notifications/message"' in wire.chunk()
        wire.send(bytes_sent)
        if begun is None:
            answered = wire.answer()
            assert answered is not None
            assert (answered.status, answered.header("connection")) == (status, "close")
        assert wire.closed()
    if begun is not None:
        assert gone.wait(60), "the call goes on"
        assert own.settled()
        assert [entry.get("outcome") for entry in own.gateway.entries] == [None, "aborted"]


def test_h_07_what_was_answered_before_its_body_came_is_not_answered_twice(own: Running) -> None:
    with own.wire() as wire:
        wire.send(b"POST /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n")
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 405
        wire.send(b"not a chunk\r\n")
        assert wire.closed()


HEAD_STARTS = [b"P", b"POST /mcp/weather HTTP/1.1\r\n", b"POST /mcp/weather HTTP/1.1\r\nhost: x\r\nx: "]


@pytest.mark.parametrize(
    ("start", "after_another"),
    [(b"", False), (b"\r\n", False), *((start, after) for start in HEAD_STARTS for after in (False, True))],
)
def test_h_09_a_head_that_does_not_end_in_time_closes_the_connection(
    quick: Running, start: bytes, after_another: bool
) -> None:
    """Between two requests a connection may be idle for longer."""
    with quick.wire(SOON) as wire:
        if after_another:
            wire.send(GET)
            assert wire.answer("GET") is not None
        wire.send(start)
        assert wire.closed()
    quick.good()


def test_h_09_a_head_that_drips_closes_the_connection_all_the_same(quick: Running) -> None:
    ended = threading.Event()
    with quick.wire(SOON) as wire:

        def drip() -> None:
            wire.send(b"POST /mcp/weather HTTP/1.1\r\n")
            while not ended.wait(0.05):
                wire.send(b"x: y\r\n")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert wire.closed()
        finally:
            ended.set()
            dripping.join()


@pytest.mark.parametrize("part", [b"", BODY[:10]], ids=["none of it", "some of it"])
@pytest.mark.parametrize("framing", [LENGTH, b"Transfer-Encoding: chunked"], ids=["length", "chunked"])
def test_h_09_a_body_that_does_not_end_in_time_is_refused(quick: Running, part: bytes, framing: bytes) -> None:
    with quick.wire(SOON) as wire:
        sent = b"%x\r\n%s\r\n" % (len(part), part) if part and framing != LENGTH else part
        wire.send(quick.head(framing) + sent)
        answer = wire.answer()
        assert answer is None or answer.status in (400, 408)
        assert answer is None or wire.closed(), "the connection goes on"
    assert quick.server.calls == 0
    quick.good()


def flood(heard: Heard, line: Line) -> None:
    """Events up to a little below the ceiling for an answer, as fast as they are taken."""
    line.send(chunked(end=False))
    note = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 60_000}})
    for _ in range(LIMITS.server_answer_bytes // len(note) - 1):
        line.send(chunk(note))
    line.send(chunk(event(response(heard))) + b"0\r\n\r\n")


def test_h_09_a_caller_who_reads_nothing_ends_its_call(quick: Running) -> None:
    quick.server.answer = flood
    with Wire(quick.port, takes=4096) as wire:
        wire.send(quick.request())
        assert quick.server_heard(1)
        assert quick.settled(), "the call goes on"
        assert [entry.get("outcome") for entry in quick.gateway.entries] == [None, "aborted"]
    quick.server.answer = plain
    quick.good()


def test_h_09_a_caller_who_reads_slowly_gets_it_all(quick: Running) -> None:
    """Unless he stops for as long as a body may take, which he does not, as long as his machine does not."""
    quick.server.answer = flood
    chunks, longest, last = [b"x"], 0.0, time.monotonic()
    with Wire(quick.port, takes=4096) as wire:
        wire.send(quick.request())
        head = wire.head()
        assert head is not None
        with contextlib.suppress(ValueError, ConnectionError):  # where it is cut off
            while chunks[-1]:
                chunks.append(wire.chunk())
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
    if longest < QUICK / 2:
        assert chunks[-1] == b""
    if chunks[-1] == b"":
        assert dataclasses.replace(head, body=b"".join(chunks[1:])).message["id"] == "mine"
        assert sum(map(len, chunks)) > 15_000_000


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the gateway has a connection no more."""
    event, usual = threading.Event(), protocol.CeilingProtocol.connection_lost

    def connection_lost(self: protocol.CeilingProtocol, error: Exception | None) -> None:
        usual(self, error)
        event.set()

    monkeypatch.setattr(protocol.CeilingProtocol, "connection_lost", connection_lost)
    return event


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A gateway with little patience, whose system takes little for callers who do not read; an answer has 60,000 bytes."""
    monkeypatch.setattr(protocol, "LIMITS", dataclasses.replace(LIMITS, body_seconds=0.4))
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    text = [{"type": "text", "text": "x" * 60_000}]
    with (
        HostileServer(lambda heard, line: line.send(whole(response(heard, {"content": text})))) as server,
        running(server, bound=bound) as one,
    ):
        yield one


ENDS = {"it said so": b"", "it sends what is no request": b"x\r\n\r\n", "it sends no more": None}


@pytest.mark.parametrize("then", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("reads", [True, False])
def test_h_09_the_rest_of_a_last_answer_waits_for_its_caller_no_longer_than_a_body(
    narrow: Running, lost: threading.Event, then: bytes | None, reads: bool
) -> None:
    """However the connection ends: what is left is too little to stop anybody from writing."""
    with Wire(narrow.port, takes=4096) as wire:
        wire.send(narrow.request(*([b"Connection: close"] if then == b"" else [])))
        assert narrow.server_heard(1)
        assert narrow.settled()
        wire.send(then or b"")
        if then is None:
            wire.end()
        if reads:
            answer = wire.answer()
            assert answer is not None
            assert len(answer.body) > 60_000
        assert lost.wait(60), "the connection stays"
        assert narrow.gateway.entries[-1]["outcome"] == "answered"


def test_h_09_whoever_takes_some_of_the_rest_is_waited_for_again(
    narrow: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow this machine is: the gateway looks at him when he has taken something, twice before he takes the rest."""
    looked, usual = threading.Event(), protocol.CeilingProtocol._look_at_reader

    def look(self: protocol.CeilingProtocol, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            usual(self, before)
            looked.set()
        else:
            self.loop.call_later(0.01, look, self, before)

    monkeypatch.setattr(protocol.CeilingProtocol, "_look_at_reader", look)
    with Wire(narrow.port, takes=4096) as wire:
        wire.send(narrow.request(b"Connection: close"))
        came = b""
        for _ in range(2):
            looked.clear()
            while not looked.wait(1):
                taken = wire.some(4096)
                assert taken, "he was cut off"
                came += taken
        came += wire.rest()
    head, _, body = came.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
    assert len(body) > 60_000


def test_h_09_many_who_send_nothing_hold_up_nobody(quick: Running) -> None:
    wires = [quick.wire() for _ in range(200)]
    try:
        for wire in wires:
            wire.send(b"POST /mcp/weather HTTP/1.1\r\nhost:")
        began = time.monotonic()
        for _ in range(5):
            quick.good()
        assert time.monotonic() - began < SOON
        assert all(wire.closed() for wire in wires)
    finally:
        for wire in wires:
            wire.reset()
