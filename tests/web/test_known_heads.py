"""A head that was parsed before on its connection is not parsed again, and nobody can tell: the same requests are seen, and
answered in the same bytes, as where every head is parsed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterseal.errors import Unauthenticated
from counterseal.identity.credentials import REFUSED
from counterseal.web.exchange import Head
from counterseal.web.protocol import CeilingProtocol
from tests.support.rawhttp import Wire
from tests.web.building import Running
from tests.web.connections import Application, Caller, Seen, connected, request


class Parsing(CeilingProtocol):
    """Ours, but for the one thing that is compared."""

    def _know(self, data: bytes) -> None:
        """Nothing is known."""


class Counting(CeilingProtocol):
    """Ours, and how often it was spared the parser."""

    spared = 0

    def _again(self, head: Head, body: bytes) -> None:
        self.spared += 1
        super()._again(head, body)


async def told(protocol: type[CeilingProtocol], pieces: Sequence[bytes]) -> tuple[Seen, bytes, bool, CeilingProtocol]:
    """What one connection sees of these pieces: requests, the bytes of the answers, whether it was closed."""
    app, caller = Application(), Caller()
    connection = connected(protocol, app, caller)
    for piece in pieces:
        if not caller.closed:
            connection.data_received(piece)
        for _ in range(12):
            await asyncio.sleep(0)
    connection.connection_lost(None)
    return app.mcp.seen, caller.written, caller.closed, connection


A: Final = request(b'{"a":1}')
CHUNKED: Final = b"POST /mcp/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
REQUESTS: Final = (
    A,
    A,
    request(b'{"a":2}'),
    request(b'{"a":22}'),
    request(b'{"a":"1234"}'),
    A.replace(b"Content-Length: 7", b"Content-Length: 6"),
    A.replace(b"Content-Length: 7", b"Content-Length: 8"),
    A.replace(b"Content-Length: 7", b"Content-Length: +"),
    A.replace(b"Content-Length: 7", b"content-length:  7 "),
    request(b"\r\n\r\n123"),
    request(b""),
    request(b"{}", b"X-A: 1"),
    request(b"{}", start=b"POST /mcp/b?c HTTP/1.1"),
    request(b"{}", start=b"POST /healthz HTTP/1.1"),
    request(b"{}", start=b"DELETE /mcp/a HTTP/1.1"),
    request(b"{}", start=b"POST /mcp/a HTTP/1.0"),
    request(b"{}", b"Connection: close"),
    request(b"{}", b"Expect: 100-continue"),
    CHUNKED,
    b"GET /mcp/a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    A.replace(b"\r\n", b"\n"),
    b"POST /mcp/a HTTP/1.1\nHost: a\nContent-Length: 26\n\n\r\nContent-Length: 2\r\n\r\n{}",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r\r\r",
    b"POST /mcp/a HTTP/1.1\r\n",
    b"{}",
    b"\x00",
)
"""Requests and what is none; most of them differ from the first in one thing."""


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A connection's bytes in pieces: often one request each, sometimes cut or put together."""
    pieces: list[bytes] = []
    for sent in draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6)):
        how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "together"]))
        if how == "cut" and len(sent) > 1:
            at = draw(st.integers(1, len(sent) - 1))
            pieces += [sent[:at], sent[at:]]
        elif how == "together" and pieces:
            pieces[-1] += sent
        else:
            pieces.append(sent)
    return pieces


@given(streams())
@example([A, A, A])
@example([request(b""), b"\r\r\r", b"\r\r\r"])
@example([request(b""), b"\r\n\r\n", b"\r\n\r\n"])
@example([b"\r\n", A, A])
@example([A, A[:-3], A[-3:], A])
@example([A + A, A, A + A, A])
@example([request(b"\r\n\r\n123"), request(b"\r\n\r\n123"), request(b"1234567")])
def test_nobody_can_tell_whether_a_head_was_parsed_again(pieces: list[bytes]) -> None:
    async def both() -> None:
        assert (await told(CeilingProtocol, pieces))[:3] == (await told(Parsing, pieces))[:3]

    asyncio.run(both())


OTHERS: Final = {
    "a length of more digits": request(b'{"a":"1234"}'),
    "a length that is too small": A.replace(b"Content-Length: 7", b"Content-Length: 6"),
    "a length that is too large": A.replace(b"Content-Length: 7", b"Content-Length: 8"),
    "a length that is none": A.replace(b"Content-Length: 7", b"Content-Length: x"),
    "another header": request(b'{"a":1}', b"X-A: 1"),
    "another target": request(b'{"a":1}', start=b"POST /mcp/b HTTP/1.1"),
    "a header in other letters": A.replace(b"Host", b"host"),
    "one byte more": A + b" ",
    "two calls at once": A + A,
    "one call in two pieces": A[:-1],
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_only_the_same_head_but_for_its_length_with_a_whole_body_is_known(other: bytes) -> None:
    seen, _, _, connection = await told(Counting, [A, request(b'{"a":2}'), request(b'{"a":22}'), A, other])
    assert connection.spared == 3  # type: ignore[attr-defined]
    assert [(body, dict(headers)[b"content-length"]) for _, _, headers, body, _ in seen[:4]] == [
        (b'{"a":1}', b"7"),
        (b'{"a":2}', b"7"),
        (b'{"a":22}', b"8"),
        (b'{"a":1}', b"7"),
    ]
    _, _, _, connection = await told(Counting, [A, other, A])
    assert connection.spared == 0  # type: ignore[attr-defined]


NEVER: Final = {
    "a verb that is no call": request(b"{}", start=b"DELETE /mcp/a HTTP/1.1"),
    "chunks": CHUNKED,
    "no body": b"GET /mcp/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "another address": request(b"{}", start=b"POST /healthz HTTP/1.1"),
    "who waits for 100": request(b"{}", b"Expect: 100-continue"),
}


@pytest.mark.parametrize("sent", NEVER.values(), ids=NEVER)
async def test_a_head_that_does_more_than_begin_a_call_is_never_known(sent: bytes) -> None:
    _, written, _, connection = await told(Counting, [sent, sent])
    assert connection.spared == 0  # type: ignore[attr-defined]
    assert written.count(b"HTTP/1.1 200 OK") == 2


async def test_a_call_that_comes_before_the_answer_to_the_last_one_is_parsed_and_waits_its_turn() -> None:
    seen, written, _, connection = await told(Counting, [A, A + A, A])
    assert [body for _, _, _, body, _ in seen] == [b'{"a":1}'] * 4
    assert written.count(b"HTTP/1.1 200 OK") == 4
    assert connection.spared == 0  # type: ignore[attr-defined]


def test_each_call_with_a_known_head_is_a_call_of_its_own(web: Running) -> None:
    before = len(web.gateway.entries)
    with web.wire() as wire:
        for _ in range(3):
            _answered(web, wire, 200)
    assert web.settled()
    intents = [entry for entry in web.gateway.entries[before:] if entry["event"] == "intent"]
    assert len({entry["jti"] for entry in intents}) == len(intents) == 3


def test_who_calls_is_asked_at_each_call_with_a_known_head(web: Running) -> None:
    with web.wire() as wire:
        _answered(web, wire, 200)
        calls = web.server.calls
        web.gateway.known.error = Unauthenticated("credential_invalid", REFUSED, detail="revoked meanwhile")
        try:
            _answered(web, wire, 401)
        finally:
            web.gateway.known.error = None
        assert web.server.calls == calls
        _answered(web, wire, 200)


def _answered(web: Running, wire: Wire, status: int) -> None:
    wire.send(web.request())
    answer = wire.answer()
    assert answer is not None
    assert answer.status == status


@pytest.mark.parametrize("last", [A, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", A[:-1]])
async def test_a_connection_that_is_over_waits_for_no_collector(last: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        *_, connection = await told(CeilingProtocol, [A, A, last])
        for _ in range(6):
            await asyncio.sleep(0)
        gone = weakref.ref(connection)
        del connection, _
        assert gone() is None
    finally:
        gc.enable()
