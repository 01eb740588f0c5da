"""Attacks that worked once: each stays here beside its accepted twin."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

import pytest

from counterseal.core.limits import LIMITS
from counterseal.web import app
from tests.support.hostile import Heard, HostileServer, Line, response, whole
from tests.web.building import BODY, Running, running, until

CHUNKED = b"Transfer-Encoding: chunked"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
WHOLE = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)


def test_h_01_a_body_behind_an_upgrade_is_never_read_as_the_next_request(web: Running) -> None:
    """What is offered is ignored, so the body is framed as the head says: it is refused for its head, and answered once."""
    inner = web.request()
    for upgrade in (b"h2c", b"websocket", b"TLS/1.0"):
        for framing, sent in (
            (b"Content-Length: %d" % len(inner), inner),
            (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)),
        ):
            outer = web.head(b"Connection: upgrade", b"Upgrade: " + upgrade, framing, authorization=None)
            calls = web.server.calls
            for pieces in ([outer + sent + NEXT], [outer, sent + NEXT]):
                with web.wire() as wire:
                    for piece in pieces:
                        wire.send(piece)
                    first = wire.answer()
                    assert first is not None
                    assert first.status == 401
                    second = wire.answer()
                    assert second is None or second.body == web.ask(NEXT).body
            assert web.server.calls == calls
    web.good()


def test_h_01_what_stands_behind_an_offer_is_framed_as_everything_else(web: Running) -> None:
    """A body of another length, two lengths, and a CONNECT are refused with an offer as without one."""
    offer = (b"Connection: Upgrade", b"Upgrade: h2c")
    for lines in (
        (b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % (len(BODY) + 1)),
        (CHUNKED, b"Content-Length: %d" % len(BODY)),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Content-Length: -1",),
    ):
        web.refused(web.head(*offer, *lines) + BODY, 400)
        web.refused(web.head(*lines, *offer) + BODY, 400)
    web.refused(web.head(*offer, b"Content-Length: %d" % len(BODY), verb=b"CONNECT") + BODY, 400)
    web.refused(web.head(*offer, CHUNKED) + b"5\r\n" + BODY + b"\r\n0\r\n\r\n", 0, 400)
    assert web.ask(web.request(*offer)).status == 200


def test_h_02_a_trailer_is_no_header_whenever_it_arrives(web: Running) -> None:
    head = web.head(CHUNKED, authorization=None)
    trailer = b"Authorization: Bearer key-of-alice\r\n\r\n"
    web.refused(head + WHOLE + trailer, 0, 400, 401)
    calls = web.server.calls
    with web.wire() as wire:
        wire.send(head + WHOLE)
        wire.send(trailer)
        answer = wire.answer()
        assert answer is None or answer.status in (400, 401)
    assert web.server.calls == calls
    assert web.ask(web.head(CHUNKED) + WHOLE + b"\r\n").status == 200


def test_h_08_trailers_without_end_end_the_connection(web: Running) -> None:
    calls = web.server.calls
    with web.wire() as wire:
        wire.send(web.head(CHUNKED) + WHOLE)
        wire.send(b"a: " + b"b" * (10 * 1024 * 1024))
        answer = wire.answer()
        assert answer is None or answer.status == 400
    assert web.server.calls == calls
    web.good()


def test_a_body_that_is_still_to_come_is_not_waited_for_before_its_caller_is_known(web: Running) -> None:
    """H-09: nobody's bytes are kept."""
    length = b"Content-Length: %d" % len(BODY)
    calls = web.server.calls
    with web.wire() as wire:
        wire.send(web.head(length, authorization=b"Bearer of-nobody") + BODY[:10])
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 401
        assert answer.header("connection") == "close"
    assert web.server.calls == calls
    with web.wire() as wire:
        wire.send(web.head(length) + BODY[:10])
        wire.send(BODY[10:])
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200


def test_m_04_no_server_gets_a_second_name_in_other_letters(web: Running) -> None:
    """A server whose reader ignores case called the later of the two, and the decision was about the other."""
    for member in (b'"Name":"delete_all"', b'"ARGUMENTS":{"city":"Bergen"}', b'"\\u004eame":"delete_all"'):
        web.refused(web.request(body=BODY.replace(b'"params": {', b'"params": {' + member + b",")), 400)
        web.refused(web.request(body=BODY.replace(b'"_meta"', member + b',"_meta"')), 400)
    assert web.ask(web.request(body=BODY.replace(b'"_meta"', b'"Nombre":"delete_all","_meta"'))).status == 200


MIB = 1024 * 1024


@pytest.mark.parametrize(
    "changes",
    [{"calls_per_caller": 2}, {"bodies_per_caller_bytes": MIB // 4}],
)
def test_h_09_bodies_on_their_way_of_one_caller_leave_room_for_others(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]
) -> None:
    """They took every place of a worker, for half a minute each, and 4 MiB of memory."""
    monkeypatch.setattr(app, "LIMITS", dataclasses.replace(LIMITS, **changes))
    with HostileServer() as server, running(server) as own, ExitStack() as wires:
        head = own.head(b"Content-Length: %d" % (MIB // 2), b"Expect: 100-continue")
        for _ in range(2):
            wire = wires.enter_context(own.wire())
            wire.send(head)
            assert wire.interim() == 100
            wire.send(b" " * 10)
        with own.wire() as wire:
            wire.send(head)
            if "calls_per_caller" not in changes:
                assert wire.interim() == 100
                wire.send(b" " * (MIB // 2 - 1))
            answer = wire.answer()
            assert answer is not None
            assert (answer.status, answer.reason) == (429, "too_many")
        assert server.calls == 0
        others = own.head(b"Content-Length: %d" % len(BODY), authorization=b"Bearer key-of-bob")
        with own.wire() as wire:
            wire.send(others + BODY[:10])
            wire.send(BODY[10:])
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200


def _large(heard: Heard, line: Line) -> None:
    line.send(whole(response(heard, {"content": [{"type": "text", "text": "x" * 8 * MIB}], "resultType": "complete"})))


def test_h_09_answers_that_one_caller_does_not_take_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls have ended, so they counted for nobody; and a caller who takes one byte each half minute keeps them for good."""
    monkeypatch.setattr(app, "LIMITS", dataclasses.replace(LIMITS, untaken_per_caller_bytes=17 * MIB))
    with HostileServer(_large) as server, running(server) as own, ExitStack() as wires:
        slow = [wires.enter_context(own.wire(takes=4096)) for _ in range(2)]
        for wire in slow:
            wire.send(own.request())
            answer = wire.head()
            assert answer is not None
            assert answer.status == 200
        answer = own.ask(own.request())
        assert (answer.status, answer.reason, answer.header("retry-after")) == (429, "too_many", "2")
        assert own.gateway.events().count("refusal") == 1
        answer = own.ask(own.request(authorization=b"Bearer key-of-bob"))
        assert (answer.status, len(answer.body) > 8 * MIB) == (200, True)
        slow[0].reset()
        assert until(lambda: own.ask(own.request()).status == 200)


def test_h_09_nobody_takes_longer_over_an_answer_than_a_whole_call_may(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = dataclasses.replace(LIMITS, server_total_seconds=1.0, untaken_per_caller_bytes=9 * MIB)
    monkeypatch.setattr(app, "LIMITS", limits)
    with HostileServer(_large) as server, running(server) as own, own.wire(takes=4096) as wire:
        wire.send(own.request())
        answer = wire.head()
        assert answer is not None
        assert own.ask(own.request()).status == 429
        assert until(lambda: own.ask(own.request()).status == 200)
        assert len(wire.rest()) < int(answer.header("content-length") or 0)
