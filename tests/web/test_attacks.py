"""Attacks that worked once: each stays here beside its accepted twin."""

from __future__ import annotations

from tests.web.building import BODY, Running

CHUNKED = b"Transfer-Encoding: chunked"
WHOLE = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)


def test_h_01_a_body_behind_an_upgrade_is_never_read_as_the_next_request(web: Running) -> None:
    inner = web.request()
    for upgrade in (b"h2c", b"websocket", b"TLS/1.0"):
        outer = web.head(
            b"Connection: upgrade", b"Upgrade: " + upgrade, b"Content-Length: %d" % len(inner), authorization=None
        )
        calls = web.server.calls
        with web.wire() as wire:
            wire.send(outer)
            first = wire.answer()
            assert first is not None
            assert first.status == 400
            wire.send(inner)
            assert wire.answer() is None
        assert web.server.calls == calls
        web.refused(outer + inner, 400)
    web.good()


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
