"""What every HTTP client for servers keeps to. Derive from `HttpContract` and give it the fixtures `http`, made with LIMITS of
this module, `within`, which makes another one of the same connections with other ceilings, and `server`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import random
import threading
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from counterseal.core.limits import LIMITS as USUAL
from counterseal.core.limits import Limits
from counterseal.errors import ServerError
from counterseal.httpclient import Target
from counterseal.servers.http import Http, Request, Response
from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, whole

LIMITS: Final = dataclasses.replace(USUAL, server_answer_bytes=100_000)
HASTY: Final = dataclasses.replace(LIMITS, server_idle_seconds=0.3)
"""For servers that fall silent, and for nothing that should be answered: a machine that stands still is silent, too."""
DRIPPING: Final = dataclasses.replace(LIMITS, server_idle_seconds=2.0, server_total_seconds=2.5)
Within = Callable[[Limits], Http]
HEAD: Final = b"HTTP/1.1 200 OK\r\n"


def request(
    server: HostileServer,
    verb: str = "POST",
    body: bytes | None = b"{}",
    *,
    headers: Sequence[tuple[str, str]] = (),
    listens: float | None = None,
    owner: bytes | None = None,
) -> Request:
    return Request(verb, Target(server.url), headers, body, listens, owner=owner)


def saying(*parts: bytes, then: Callable[[Line], object] = Line.close) -> Callable[[Heard, Line], None]:
    """Answers with these bytes, and then ends the connection or does something else."""

    def answer(_: Heard, line: Line) -> None:
        for part in parts:
            line.send(part)
        then(line)

    return answer


def stays(_: Line) -> None:
    """Leaves the connection as it is."""


def tagged(heard: Heard, line: Line) -> None:
    """Answers with what was asked."""
    line.send(whole(heard.body))


async def fails(http: Http, asked: Request) -> str:
    """The code of the ServerError with which a request ends, from its head or its body."""
    with pytest.raises(ServerError) as failed:
        response = await http.send(asked)
        await response.read(LIMITS.server_answer_bytes)
    error = failed.value
    assert error.reason.fault == "server"
    return error.reason.code


async def answered(http: Http, asked: Request) -> bytes:
    return await (await http.send(asked)).read(LIMITS.server_answer_bytes)


MALFORMED: Final = {
    "nothing": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.0\r\n",
    "HTTP/0.9": b"hello",
    "HTTP/2": b"HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "head cut": HEAD + b"content-le",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "list of lengths": HEAD + b"content-length: 5, 5\r\n\r\nhello",
    "signed length": HEAD + b"content-length: +5\r\n\r\nhello",
    "negative length": HEAD + b"content-length: -5\r\n\r\nhello",
    "hexadecimal length": HEAD + b"content-length: 0x5\r\n\r\nhello",
    "huge length": HEAD + b"content-length: 99999999999999999999\r\n\r\nhello",
    "length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "another coding": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "coding after chunked": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "signed chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "huge chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "no end of a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
    "no last chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "body cut": HEAD + b"content-length: 50\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\nx: y\n\n",
    "bare CR": HEAD + b"x: a\rcontent-length: 0\r\n\r\n",
    "NUL": HEAD + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
    "no name": HEAD + b": value\r\ncontent-length: 0\r\n\r\n",
    "space before the colon": HEAD + b"content-length : 5\r\n\r\nhello",
    "head of 128 KiB": HEAD + b"x: " + b"y" * 131072 + b"\r\ncontent-length: 0\r\n\r\n",
    "1,000 headers": HEAD + b"x: y\r\n" * 1000 + b"content-length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "1xx flood": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
}


class HttpContract:
    # ---- what is sent

    async def test_a_request_goes_out_as_it_was_built_and_with_nothing_added(
        self, http: Http, server: HostileServer
    ) -> None:
        headers = [("Authorization", "Bearer abc"), ("Mcp-Name", "x"), ("X-Zeta", "1"), ("Accept", "a/b")]
        await answered(http, request(server, body=b'{"a": 1}', headers=headers))
        (heard,) = server.seen
        assert (heard.verb, heard.target, heard.body) == ("POST", "/mcp", b'{"a": 1}')
        assert [pair for pair in heard.headers if pair[0] in dict(headers)] == headers
        assert heard.names - {"authorization", "mcp-name", "x-zeta", "accept"} == {"host", "content-length"}
        assert heard.all("host") == [f"127.0.0.1:{server.port}"]

    @pytest.mark.parametrize("verb", ["GET", "DELETE"])
    async def test_a_request_without_a_body_has_none(self, http: Http, server: HostileServer, verb: str) -> None:
        await answered(http, request(server, verb, None))
        (heard,) = server.seen
        assert (heard.verb, heard.body, heard.names) == (verb, b"", {"host"})

    async def test_a_large_body_arrives_whole(self, http: Http, server: HostileServer) -> None:
        server.answer = lambda heard, line: line.send(whole(str(len(heard.body)).encode()))
        assert await answered(http, request(server, body=b"x" * 4_000_000)) == b"4000000"

    @pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\0b", "a\r\n\r\nGET / HTTP/1.1"])
    async def test_a_header_that_would_be_two_is_never_sent(
        self, http: Http, server: HostileServer, value: str
    ) -> None:
        with pytest.raises(ValueError):
            await http.send(request(server, headers=[("X-Name", value)]))
        assert server.calls == 0
        await answered(http, request(server, headers=[("X-Name", "a b")]))
        assert server.seen[0].all("x-name") == ["a b"]

    async def test_k_17_a_proxy_of_the_environment_is_not_asked(
        self, http: Http, server: HostileServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with HostileServer() as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            await answered(http, request(server))
            assert (server.calls, proxy.calls) == (1, 0)

    # ---- what comes back

    async def test_an_answer_comes_with_its_status_its_headers_and_its_body(
        self, http: Http, server: HostileServer
    ) -> None:
        server.answer = saying(whole(b"hello", "418 Teapot", x_name="Value"), then=stays)
        response = await http.send(request(server))
        assert (response.status, response.header(b"x-name"), response.header(b"x-other")) == (418, "Value", None)
        assert await response.read(5) == b"hello"

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    async def test_a_status_that_has_no_body_has_none(self, http: Http, server: HostileServer, status: str) -> None:
        server.answer = saying(whole(b"", status, content_type="", content_length=""), then=stays)
        assert await answered(http, request(server)) == b""
        assert await answered(http, request(server)) == b""
        assert server.lines == 1

    async def test_a_body_that_ends_with_the_connection_is_whole(self, http: Http, server: HostileServer) -> None:
        server.answer = saying(HEAD + b"content-type: text/plain\r\n\r\nhel", b"lo")
        assert await answered(http, request(server)) == b"hello"
        assert await answered(http, request(server)) == b"hello"
        assert server.lines == 2

    async def test_chunks_arrive_as_they_are_sent(self, http: Http, server: HostileServer) -> None:
        step = threading.Event()

        def answer(_: Heard, line: Line) -> None:
            line.send(chunked(b"one", end=False))
            step.wait(60)
            line.send(chunk(b"two") + b"0\r\n\r\n")

        server.answer = answer
        chunks = (await http.send(request(server))).chunks()
        assert await anext(chunks) == b"one"
        step.set()
        assert [each async for each in chunks] == [b"two"]

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
    async def test_m_20_a_redirect_is_an_answer_like_any_other_and_nobody_follows_it(
        self, http: Http, server: HostileServer, status: int
    ) -> None:
        with HostileServer() as elsewhere:
            server.answer = saying(whole(b"", f"{status} Moved", location=elsewhere.url), then=stays)
            response = await http.send(request(server, headers=[("Authorization", "Bearer abc")]))
            assert response.status == status
            await response.read(10)
            assert (server.calls, elsewhere.lines) == (1, 0)

    async def test_m_20_a_challenge_is_not_answered(self, http: Http, server: HostileServer) -> None:
        for status in ("401 Unauthorized", "407 Proxy Authentication Required"):
            server.answer = saying(whole(b"", status, www_authenticate='Basic realm="x"'), then=stays)
            response = await http.send(request(server))
            await response.read(10)
        assert server.calls == 2

    async def test_a_cookie_is_not_kept(self, http: Http, server: HostileServer) -> None:
        server.answer = saying(whole(b"{}", set_cookie="session=canary; Path=/"), then=stays)
        await answered(http, request(server))
        await answered(http, request(server))
        assert "cookie" not in server.seen[1].names

    async def test_h_11_nothing_is_unpacked(self, http: Http, server: HostileServer) -> None:
        packed = gzip.compress(b"x" * 1_000_000)
        server.answer = saying(whole(packed, content_encoding="gzip"), then=stays)
        response = await http.send(request(server))
        assert response.header(b"content-encoding") == "gzip"
        assert await response.read(10_000) == packed

    async def test_a_header_that_was_sent_twice_has_no_value(self, http: Http, server: HostileServer) -> None:
        head = HEAD + b"content-length: 0\r\nmcp-session-id: a\r\n"
        server.answer = saying(head + b"Mcp-Session-Id: b\r\n\r\n", then=stays)
        response = await http.send(request(server))
        with pytest.raises(ServerError):
            response.header(b"mcp-session-id")
        server.answer = saying(head + b"\r\n", then=stays)
        assert (await http.send(request(server))).header(b"mcp-session-id") == "a"

    @pytest.mark.parametrize(
        "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]
    )
    async def test_an_interim_answer_is_passed_over(self, http: Http, server: HostileServer, interim: bytes) -> None:
        server.answer = saying(interim, interim, whole(b"hello"), then=stays)
        assert await answered(http, request(server)) == b"hello"
        assert await answered(http, request(server)) == b"hello"
        assert server.lines == 1

    @pytest.mark.parametrize("bytes_sent", MALFORMED.values(), ids=MALFORMED.keys())
    async def test_h_11_what_is_not_plain_http_is_no_answer(
        self, http: Http, server: HostileServer, bytes_sent: bytes
    ) -> None:
        server.answer = saying(bytes_sent)
        assert await fails(http, request(server)) == "server_unreachable"
        assert server.calls == 1, "it was tried again"
        server.answer = tagged
        assert await answered(http, request(server, body=b"next")) == b"next"
        assert server.lines == 2

    async def test_a_server_that_resets_has_not_answered(self, http: Http, server: HostileServer) -> None:
        server.answer = saying(then=Line.reset)
        assert await fails(http, request(server)) == "server_unreachable"
        assert server.calls == 1

    async def test_a_server_that_is_not_there_is_unreachable(self, http: Http) -> None:
        gone = Request("POST", Target("http://127.0.0.1:1/mcp"), (), b"{}", None)
        assert await fails(http, gone) == "server_unreachable"

    # ---- ceilings

    @pytest.mark.parametrize("framing", ["length", "chunks", "connection"])
    async def test_m_24_an_answer_may_be_as_large_as_the_ceiling_and_no_larger(
        self, http: Http, server: HostileServer, framing: str
    ) -> None:
        def sending(size: int) -> Callable[[Heard, Line], None]:
            if framing == "length":
                return saying(whole(b"x" * size), then=stays)
            if framing == "chunks":
                return saying(chunked(*[b"x" * 1000] * (size // 1000), b"x" * (size % 1000)), then=stays)
            return saying(HEAD + b"\r\n" + b"x" * size)

        for size in (1000 + 1, 5000 + 1):
            server.answer = sending(size)
            assert len(await (await http.send(request(server))).read(size)) == size
            with pytest.raises(ServerError) as failed:
                await (await http.send(request(server))).read(size - 1)
            assert failed.value.reason.code == "server_answer_too_large"

    @pytest.mark.parametrize(
        "parts",
        [(), (HEAD,), (HEAD + b"content-length: 10\r\n\r\n",), (chunked(b"one", end=False),)],
        ids=["nothing", "half a head", "no body", "half a body"],
    )
    async def test_m_24_a_server_that_falls_silent_is_given_up(
        self, http: Http, within: Within, server: HostileServer, parts: tuple[bytes, ...]
    ) -> None:
        gone: list[bool] = []
        server.answer = saying(*parts, then=lambda line: gone.append(line.gone(60)))
        assert await fails(within(HASTY), request(server)) == "server_timeout"
        await asyncio.sleep(0)
        server.answer = tagged
        assert await answered(http, request(server, body=b"next")) == b"next"
        assert await until(lambda: gone == [True])

    async def test_m_24_a_server_that_drips_is_given_up_at_the_total(
        self, within: Within, server: HostileServer
    ) -> None:
        def drip(line: Line) -> None:
            while not line.ended:
                line.send(chunk(b"x"))
                threading.Event().wait(0.05)

        server.answer = saying(chunked(end=False), then=drip)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await fails(within(DRIPPING), request(server)) == "server_timeout"
        assert DRIPPING.server_total_seconds - 0.05 <= loop.time() - began < LIMITS.server_idle_seconds

    async def test_a_stream_that_listens_may_be_quiet_until_its_own_end(
        self, within: Within, server: HostileServer
    ) -> None:
        server.answer = saying(chunked(b"one", end=False), then=lambda line: line.gone(60))
        listens = 2 * HASTY.server_idle_seconds
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ServerError) as failed:
            async for _ in (await within(HASTY).send(request(server, "GET", None, listens=listens))).chunks():
                pass
        assert failed.value.reason.code == "server_timeout"
        assert loop.time() - began >= listens - 0.01

    # ---- connections

    async def test_a_connection_is_used_again_after_a_whole_answer(self, http: Http, server: HostileServer) -> None:
        server.answer = tagged
        for number in range(5):
            assert await answered(http, request(server, body=b"%d" % number)) == b"%d" % number
        assert server.lines == 1

    async def test_m_07_a_connection_of_one_owner_is_nobody_elses(self, http: Http, server: HostileServer) -> None:
        """A server that answers twice has nobody else on the line for its second answer."""
        server.answer = tagged
        for owner in (b"alice", b"bob", None, b"alice", b"bob", None):
            assert await answered(http, request(server, owner=owner)) == b"{}"
        assert [heard.line for heard in server.seen] == [1, 2, 3, 1, 2, 3]

    async def test_requests_at_the_same_time_have_connections_of_their_own(
        self, http: Http, server: HostileServer
    ) -> None:
        server.answer = tagged
        bodies = [b"%d" % number for number in range(20)]
        assert await asyncio.gather(*(answered(http, request(server, body=body)) for body in bodies)) == bodies

    @pytest.mark.parametrize(
        "answer",
        [
            saying(whole(b"hello", connection="close"), then=stays),
            saying(whole(b"hello") + whole(b"second"), then=stays),
            saying(whole(b"hello") + b"garbage", then=stays),
            saying(whole(b"hello") + b"HTTP/1.1 20", then=stays),
            saying(whole(b"hello world", content_length="5"), then=stays),
            saying(whole(b"hello"), then=Line.close),
            saying(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", then=stays),
        ],
        ids=["close", "two answers", "garbage", "half an answer", "length too short", "closed", "HTTP/1.0"],
    )
    async def test_h_12_after_any_doubt_a_connection_is_not_used_again(
        self, http: Http, server: HostileServer, answer: Callable[[Heard, Line], None]
    ) -> None:
        sent = threading.Event()
        server.answer = lambda heard, line: (answer(heard, line), sent.set())[0]
        assert await answered(http, request(server)) == b"hello"
        assert await until(sent.is_set)
        await until(lambda: False, tries=5)  # what is there is read
        server.answer = tagged
        assert await answered(http, request(server, body=b"next")) == b"next"
        assert server.lines == 2

    async def test_h_12_bytes_that_come_after_the_answer_are_no_answer(self, http: Http, server: HostileServer) -> None:
        late, sent = threading.Event(), threading.Event()

        def answer(heard: Heard, line: Line) -> None:
            line.send(whole(heard.body))
            late.wait(60)
            line.send(whole(b"poison"))
            sent.set()

        server.answer = answer
        assert await answered(http, request(server, body=b"first")) == b"first"
        late.set()
        assert await until(sent.is_set)
        await until(lambda: False, tries=5)  # what is there is read
        server.answer = tagged
        assert await answered(http, request(server, body=b"next")) == b"next"
        assert server.lines == 2

    async def test_h_12_an_answer_before_the_request_was_read_leaves_no_rest_behind(
        self, http: Http, server: HostileServer
    ) -> None:
        answered_early = threading.Event()
        server.early = True
        server.answer = saying(whole(b"early"), then=lambda line: answered_early.wait(60))
        assert await answered(http, request(server, body=b"x" * 20_000_000)) == b"early"
        server.early, server.answer = False, tagged
        assert await answered(http, request(server, body=b"next")) == b"next"
        answered_early.set()
        assert server.lines == 2

    async def test_h_12_an_aborted_answer_ends_its_connection(self, http: Http, server: HostileServer) -> None:
        gone: list[bool] = []
        server.answer = saying(chunked(b"one", end=False), then=lambda line: gone.append(line.gone(60)))
        response = await http.send(request(server))
        assert await anext(aiter(response.chunks())) == b"one"
        response.abort()
        response.abort()
        assert await until(lambda: gone == [True])

    async def test_m_29_a_caller_who_leaves_ends_the_request(self, http: Http, server: HostileServer) -> None:
        gone: list[bool] = []
        server.answer = saying(then=lambda line: gone.append(line.gone(60)))
        sending = asyncio.ensure_future(http.send(request(server)))
        assert await until(lambda: server.calls == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await until(lambda: gone == [True])

    async def test_h_12_a_late_abort_does_not_hit_the_next_request(self, http: Http, server: HostileServer) -> None:
        server.answer = tagged
        first: Response = await http.send(request(server, body=b"first"))
        assert await first.read(10) == b"first"
        second = asyncio.ensure_future(answered(http, request(server, body=b"second")))
        await asyncio.sleep(0)
        first.abort()
        assert await second == b"second"

    async def test_h_12_whoever_leaves_when_no_answer_meets_another_request(
        self, http: Http, server: HostileServer
    ) -> None:
        server.answer = tagged
        chance = random.Random(7)

        async def one(number: int) -> None:
            asking = asyncio.ensure_future(answered(http, request(server, body=b"%d" % number)))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert await asking == b"%d" % number

        for start in range(0, 400, 20):
            await asyncio.gather(*map(one, range(start, start + 20)))


async def until(true: Callable[[], bool], tries: int = 6000) -> bool:
    """Whether it becomes true within so many hundredths of a second, or more where the machine is slow."""
    for _ in range(tries):
        if true():
            return True
        await asyncio.sleep(0.01)
    return true()
