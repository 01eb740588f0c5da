"""The HTTP client: what it takes from a server, and that nothing of one exchange reaches the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from counterseal import httpclient
from counterseal.httpclient import Client, HttpError, HttpTimeout, Response, Target, Timeouts
from tests.support.certificates import Authority

SOON = Timeouts(connect=2, idle=2, total=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each connection by a behaviour, and counts connections and requests."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.connections = 0
        self.heads: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._behaviour(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        return head


@asynccontextmanager
async def server(*answers: bytes, then: bytes | None = None) -> AsyncIterator[Server]:
    """A server that gives these answers one after the other on each connection, and then, where `then` is None, waits for
    the client to close; else sends that and closes."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await one.request(reader)
            writer.write(answer)
            await writer.drain()
        if then is None:
            await reader.read()
        else:
            writer.write(then)

    one = Server(behave)
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/mcp?x=1"
    async with listening:
        yield one


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    one = Client()
    try:
        yield one
    finally:
        await one.close()


async def body(response: Response) -> bytes:
    return b"".join([chunk async for chunk in response.chunks()])


async def get(one: Client, url: str, timeouts: Timeouts = SOON) -> Response:
    return await one.send("GET", Target(url), (("Accept", "text/plain"),), None, timeouts)


async def test_a_request_is_sent_as_it_is_said_and_its_answer_read() -> None:
    async with server(OK) as at, client() as one:
        response = await one.send("POST", Target(at.url), (("X-One", "1"),), b"body", SOON)
        assert (response.status, await body(response)) == (200, b"ok")
        host = at.url.split("/")[2].encode()
        assert at.heads == [b"POST /mcp?x=1 HTTP/1.1\r\nHost: " + host + b"\r\nX-One: 1\r\nContent-Length: 4\r\n\r\n"]


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with server(OK, OK, OK) as at, client() as one:
        for _ in range(3):
            assert await body(await get(one, at.url)) == b"ok"
        assert at.connections == 1


@pytest.mark.parametrize(("most", "connections"), [(3, 3), (2, 4)], ids=["room for all", "one too few"])
async def test_where_no_more_connections_are_kept_the_longest_idle_one_ends(
    monkeypatch: pytest.MonkeyPatch, most: int, connections: int
) -> None:
    """Whosever it is: what is in use stays."""
    monkeypatch.setattr(httpclient, "_IDLE_CONNECTIONS", most)
    async with server(*[OK] * 6) as at, client() as one:
        for owner in (b"gone", b"a", b"b", b"a", b"b", b"gone"):
            response = await one.send("GET", Target(at.url), (), None, SOON, owner)
            assert await body(response) == b"ok"
        assert at.connections == connections
        async with asyncio.timeout(5):
            while len(one._open) > most:  # what was closed is told of a turn later
                await asyncio.sleep(0)
        assert len(one._open) == most


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"more than was asked for",
        OK + OK,
    ],
)
async def test_h_12_a_connection_that_is_in_doubt_is_not_used_again(answer: bytes) -> None:
    async with server(answer, OK) as at, client() as one:
        assert await body(await get(one, at.url)) == b"ok"
        assert await body(await get(one, at.url)) == b"ok"
        assert at.connections == 2


async def test_h_12_an_answer_that_was_not_read_to_its_end_never_meets_the_next_request() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst"), client() as one:
        pass
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst") as at, client() as one:
        first = await get(one, at.url)
        first.abort()
        second = await get(one, at.url)
        first.abort()  # late, and of another exchange: nothing happens
        assert second.status == 200
        assert at.connections == 2
        second.abort()


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    async with server(OK, then=OK) as at, client() as one:
        assert await body(await get(one, at.url)) == b"ok"
        while at.connections == 1:
            assert await body(await get(one, at.url)) == b"ok"


@pytest.mark.parametrize("asked", [True, False], ids=["after the request has left", "before"])
async def test_h_12_bytes_that_come_before_a_request_has_left_are_no_answer_to_it(asked: bool) -> None:
    async with server(OK, b"") as one, client() as http:
        await body(await http.send("POST", Target(one.url), [], b"1", SOON))
        (connection,) = http._open
        sending = asyncio.create_task(http.send("POST", Target(one.url), [], b"2", SOON))
        for _ in range(2 if asked else 1):
            await asyncio.sleep(0)
        connection.data_received(OK)
        if asked:
            assert await body(await sending) == b"ok"
        else:
            with pytest.raises(HttpError, match="the connection was closed"):
                await sending
            await asyncio.sleep(0)
            assert len(one.heads) == 1


@pytest.mark.parametrize("others", [True, False], ids=["and another call gets its connection", "and none does"])
async def test_h_12_who_waits_while_somebody_else_ends_his_exchange_reads_nothing_of_the_next(others: bool) -> None:
    """As a stream does whose caller cancels it by another request."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    async with server(start, OK) as at, client() as one:
        first = await get(one, at.url)
        assert await first.next_chunk() == b"first"
        waiting = asyncio.create_task(first.next_chunk())
        await asyncio.sleep(0)
        asked = asyncio.create_task(get(one, at.url)) if others else None  # it runs before the one who waits is woken
        (connection,) = one._open
        connection.data_received(b"0\r\n\r\n")
        first.abort()
        if asked is None:
            assert await waiting is None
        else:
            with pytest.raises(HttpError, match="the exchange was ended"):
                await waiting
            assert await body(await asked) == b"ok"
        assert at.connections == 1


async def test_chunks_arrive_as_they_are_sent() -> None:
    sent = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await at.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await sent.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await reader.read()

    at = Server(behave)
    listening = await asyncio.start_server(at.serve, "127.0.0.1", 0)
    async with listening, client() as one:
        response = await get(one, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
        chunks = response.chunks()
        assert await anext(chunks) == b"one"
        sent.set()
        assert await anext(chunks) == b"two"
        assert await anext(chunks, None) is None


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\nall", then=b" of it") as at, client() as one:
        assert await body(await get(one, at.url)) == b"all of it"


async def test_interim_answers_are_passed_over() -> None:
    async with server(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 16 + OK) as at, client() as one:
        response = await get(one, at.url)
        assert await body(response) == b"ok"
        assert response.headers == [(b"content-length", b"2")]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"not http at all\r\n\r\n",
        b"\x00" * 100,
    ],
)
async def test_h_11_an_answer_that_two_readers_could_frame_differently_is_none(answer: bytes) -> None:
    async with server(answer) as at, client() as one:
        with pytest.raises(HttpError):
            await body(await get(one, at.url))
        with pytest.raises(HttpError):  # and nothing of it is left for the next
            await body(await get(one, at.url))
        assert at.connections == 2


_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2"
LINES = {
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"\r\nContent-Length: 2\r\n\r\nok"),
    "header's name": (b"HTTP/1.1 200 OK\r\nX", b": x\r\nContent-Length: 2\r\n\r\nok"),
    "reason": (b"HTTP/1.1 200 ", b"\r\nContent-Length: 2\r\n\r\nok"),
    "chunk's extension": (_CHUNKS + b";", b"\r\nok\r\n0\r\n\r\n"),
    "trailer": (_CHUNKS + b"\r\nok\r\n0\r\nX: ", b"\r\n\r\n"),
}


@pytest.mark.parametrize(("start", "end"), LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("ends", [True, False])
async def test_h_11_a_line_without_an_end_is_not_kept_until_time_is_up(start: bytes, end: bytes, ends: bool) -> None:
    """The parser keeps what it has of it, and copies that with each piece."""
    answer = start + b"x" * 60_000 + end if ends else start + b"x" * 1_000_000
    async with server(answer) as at, client() as one:
        if ends:
            assert await body(await get(one, at.url)) == b"ok"
        else:
            with pytest.raises(HttpError, match="too large"):
                await body(await get(one, at.url))
            assert not one._open or next(iter(one._open)).closing


async def test_m_24_an_answer_in_too_many_too_small_pieces_is_none() -> None:
    """Each costs as much as a thousand bytes do, and nobody else is answered meanwhile."""
    head, most = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", httpclient._MOST_PIECES
    for piece, count in ((b"x", most - 1000), (b"x" * 16, most + 1)):
        async with server(head + b"%x\r\n%b\r\n" % (len(piece), piece) * count + b"0\r\n\r\n") as at, client() as one:
            assert len(await body(await get(one, at.url))) == len(piece) * count
    async with server(head + b"1\r\nx\r\n" * (most + 1) + b"0\r\n\r\n") as at, client() as one:
        with pytest.raises(HttpError, match="small pieces"):
            await body(await get(one, at.url))


async def test_h_11_what_follows_a_body_has_the_ceiling_of_a_head() -> None:
    async with server(_CHUNKS + b"\r\nok\r\n0\r\n" + b"X: y\r\n" * 20_000) as at, client() as one:
        with pytest.raises(HttpError, match="too large"):
            await body(await get(one, at.url))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_an_error_and_is_not_asked_for_again(answer: bytes) -> None:
    async with server(answer, then=b"") as at, client() as one:
        with pytest.raises(HttpError):
            await body(await get(one, at.url))
        assert len(at.heads) == 1


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    async with server() as at, client() as one:
        with pytest.raises(HttpTimeout):
            await get(one, at.url, Timeouts(connect=1, idle=0.05, total=5))
        with pytest.raises(HttpTimeout):
            await get(one, at.url, Timeouts(connect=1, idle=None, total=0.05))


async def test_a_body_that_stops_is_given_up_and_one_that_goes_on_is_not() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst") as at, client() as one:
        response = await get(one, at.url, Timeouts(connect=1, idle=0.05, total=5))
        with pytest.raises(HttpTimeout):
            await body(response)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_leaves_while_a_connection_is_made_leaves_none_behind(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """At whatever turn of the loop it is."""

    async def leave() -> None:
        async with server(OK) as at, client() as one:
            for turns in range(30):
                sending = asyncio.create_task(get(one, at.url))
                for _ in range(turns):
                    await asyncio.sleep(0)
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    (await sending).abort()
            async with asyncio.timeout(60):
                while one._open:
                    await asyncio.sleep(0)
            assert await body(await get(one, at.url)) == b"ok"
            assert len(one._open) == 1

    run(leave())


async def test_nobody_listens() -> None:
    async with server(OK) as at:
        url = at.url
    async with client() as one:
        with pytest.raises(HttpError):
            await get(one, url)


class Told:
    """Says which addresses a host has, and keeps what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.addresses


def at_name(at: Server, name: str) -> str:
    return at.url.replace("127.0.0.1", name)


async def test_k_03_a_connection_goes_to_the_address_that_was_told_and_the_name_is_not_resolved_again() -> None:
    told = Told("127.0.0.1")
    one = Client(addresses=told)
    async with server(OK, OK) as at:
        url = at_name(at, "no-such-name.invalid")
        for _ in range(2):
            assert await body(await get(one, url)) == b"ok"
        assert told.asked == [("no-such-name.invalid", Target(url).port)]  # once for the connection, which was kept
        assert b"Host: no-such-name.invalid:" in at.heads[0]
        told.addresses = ("127.0.0.2",)
        await one.close()
        with pytest.raises(HttpError):
            await get(one, url)
        assert at.connections == 1
    await one.close()


async def test_a_second_address_is_tried_where_the_first_does_not_answer() -> None:
    async with server(OK) as at:
        one = Client(addresses=Told("127.0.0.2", "::1", "127.0.0.1"))
        assert await body(await get(one, at_name(at, "idp.invalid"))) == b"ok"
        await one.close()
        one = Client(addresses=Told("127.0.0.2", "127.0.0.3"))
        with pytest.raises(HttpError, match="no connection"):
            await get(one, at_name(at, "idp.invalid"))
        await one.close()


async def test_an_address_that_hangs_leaves_time_for_the_next(tmp_path: Path) -> None:
    """K-09: the first accepts, and never speaks TLS."""
    authority = Authority(tmp_path)
    certified = authority.server("idp.invalid")

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if at.connections > 1:
            await writer.start_tls(certified)
            await at.request(reader)
            writer.write(OK)
        await reader.read()

    at = Server(behave)
    listening = await asyncio.start_server(at.serve, "127.0.0.1", 0)
    one = Client(authority.client(), Told("127.0.0.1", "127.0.0.1"))
    async with listening:
        url = f"https://idp.invalid:{listening.sockets[0].getsockname()[1]}/"
        assert await body(await get(one, url, Timeouts(connect=1, idle=1, total=2))) == b"ok"
        assert at.connections == 2
        await one.close()


async def test_k_09_to_find_the_address_counts_against_the_time_for_a_connection() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    one = Client(addresses=never)
    with pytest.raises(HttpTimeout, match="no connection in time"):
        await get(one, "http://idp.invalid/", Timeouts(connect=0.05, idle=5, total=5))


async def test_what_refuses_a_host_is_told_and_nothing_is_connected() -> None:
    async def refuses(host: str, port: int) -> Sequence[str]:
        raise HttpError("not there")

    async with server(OK) as at:
        with pytest.raises(HttpError, match="not there"):
            await get(Client(addresses=refuses), at.url)
        with pytest.raises(HttpError, match="no address"):
            await get(Client(addresses=Told()), at.url)
        assert at.connections == 0


def test_a_host_in_another_script_is_asked_for_in_its_xn_form() -> None:
    for url in ("https://b\u00fccher.example/mcp", "https://xn--bcher-kva.example/mcp"):
        target = Target(url)
        assert target.host == "xn--bcher-kva.example"
        assert b"Host: xn--bcher-kva.example\r\n" in target.head("GET", (), None)


async def test_m_29_whoever_is_cancelled_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await at.request(reader)
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    at = Server(behave)
    asked = asyncio.Event()
    listening = await asyncio.start_server(at.serve, "127.0.0.1", 0)
    async with listening, client() as one:
        task = asyncio.ensure_future(get(one, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 60)


async def test_a_slow_reader_slows_the_server_down() -> None:
    """Back-pressure: a large body that nobody reads is not kept in memory."""
    size = 64 * 1024 * 1024
    written = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await at.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536
            full.set() if written > 32 * 1024 * 1024 else None

    at = Server(behave)
    full = asyncio.Event()
    listening = await asyncio.start_server(at.serve, "127.0.0.1", 0)
    async with listening, client() as one:
        response = await get(one, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(full.wait(), 0.3)
        total = 0
        async for chunk in response.chunks():
            total += len(chunk)
        assert total == size


@pytest.mark.parametrize(
    "header", [("X", "a\r\nB: c"), ("X", "a\nb"), ("X\r\nY", "a"), ("X", "a\0"), ("X", "a\rb"), ("X", "\u20ac")]
)
async def test_no_header_can_hold_a_second_line(header: tuple[str, str]) -> None:
    async with server(OK) as at, client() as one:
        with pytest.raises(ValueError):
            await one.send("GET", Target(at.url), (header,), None, SOON)
        assert at.heads == []
        assert await body(await one.send("GET", Target(at.url), (("X", "a"),), None, SOON)) == b"ok"


@pytest.mark.parametrize("url", ["ftp://a/", "http:///x", "/mcp", "file:///etc/passwd"])
def test_only_http_has_a_target(url: str) -> None:
    with pytest.raises(ValueError):
        Target(url)


async def test_trailers_of_an_answer_are_not_its_headers() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nMcp-Session-Id: late\r\n\r\n"
    async with server(answer) as at, client() as one:
        response = await get(one, at.url)
        assert await body(response) == b"ok"
        assert response.headers == [(b"transfer-encoding", b"chunked")]


async def test_whoever_waits_hears_that_the_client_was_closed() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst") as at, client() as one:
        response = await get(one, at.url)
        chunks = response.chunks()
        assert await anext(chunks) == b"first"
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        await one.close()
        with pytest.raises(HttpError):
            await asyncio.wait_for(waiting, 60)


# ---- addresses of one origin


@pytest.mark.parametrize("path", ["/", "/a%2Fb", "/%2e%2e/x", "/a//b?c=%20&d=+e", "/~a;b=c:@!$&'()*,[]"])
def test_another_address_of_the_origin_goes_out_as_it_stands(path: str) -> None:
    base = Target("http://[::1]:8080/base?x=1")
    other = base.at(path)
    assert other.head("GET", (), None) == f"GET {path} HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n".encode()
    assert (other.origin, other.host, other.port, other.tls) == (base.origin, base.host, base.port, base.tls)
    assert base.head("GET", (), None).startswith(b"GET /base?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "path",
    ["", "a", "*", "/a b", "/a\r\nX: y", "/a#b", "/ü", "/a\x00", "http://evil.example.com/", "/a\n", '/"', "/{a}"],
)
def test_what_is_no_path_is_no_address(path: str) -> None:
    with pytest.raises(ValueError):
        Target("http://127.0.0.1/").at(path)
