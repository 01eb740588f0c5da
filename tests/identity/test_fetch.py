"""One strict GET: what an identity provider may answer, and what it may not make us do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from counterseal.core.limits import LIMITS
from counterseal.httpclient import Client
from counterseal.identity.fetch import FetchFailed, HttpFetch
from tests.support.jwks_server import Handler, JwksServer

QUICK = dataclasses.replace(LIMITS, fetch_seconds=0.4, fetch_connect_seconds=0.4)
BODY = b'{"keys": []}'


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer({"keys": []}) as running:
        yield running


@pytest.fixture
async def fetch() -> AsyncIterator[HttpFetch]:
    client = Client()
    yield HttpFetch(client, QUICK, 1000)
    await client.close()


def raw(text: bytes, *, after: Callable[[Handler], None] | None = None) -> Callable[[Handler], None]:
    """Answers with these bytes and ends the connection, unless `after` does more."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(text)
            handler.wfile.flush()
            if after is not None:
                after(handler)

    return answer


async def test_a_document_comes_with_its_life(server: JwksServer, fetch: HttpFetch) -> None:
    server.headers = {"Cache-Control": "public, max-age=120"}
    document = await fetch(server.url)
    assert (json.loads(document.body), document.max_age) == ({"keys": []}, 120)


async def test_k_10_a_document_may_be_as_large_as_the_ceiling_and_no_larger(
    server: JwksServer, fetch: HttpFetch
) -> None:
    server.fail(200, b"x" * 1000)
    assert len((await fetch(server.url)).body) == 1000
    server.fail(200, b"x" * 1001)
    with pytest.raises(FetchFailed, match="more than 1000 bytes"):
        await fetch(server.url)


async def test_k_10_a_document_without_an_end_is_cut_at_the_ceiling(server: JwksServer, fetch: HttpFetch) -> None:
    cut = threading.Event()

    def endless(handler: Handler) -> None:
        try:
            while True:
                handler.wfile.write(b"400\r\n" + b"x" * 0x400 + b"\r\n")
        except OSError:
            cut.set()

    server.answer = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", after=endless)
    with pytest.raises(FetchFailed, match="more than 1000 bytes"):
        await fetch(server.url)
    assert await asyncio.to_thread(cut.wait, 5), "the connection was left open"


async def test_k_10_a_compressed_document_is_never_unpacked(server: JwksServer, fetch: HttpFetch) -> None:
    server.fail(200, gzip.compress(b"x" * 900), **{"Content-Encoding": "gzip"})
    with pytest.raises(FetchFailed, match="content coding"):
        await fetch(server.url)
    server.fail(200, BODY, **{"Content-Encoding": "identity"})
    assert (await fetch(server.url)).body == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_k_04_a_redirect_is_never_followed(server: JwksServer, fetch: HttpFetch, status: int) -> None:
    with JwksServer({"keys": []}) as elsewhere:
        server.fail(status, b"", Location=elsewhere.url)
        with pytest.raises(FetchFailed, match=str(status)):
            await fetch(server.url)
        assert (server.count, elsewhere.count) == (1, 0)
        assert (await fetch(elsewhere.url)).body == BODY


@pytest.mark.parametrize("status", [201, 204, 206, 304, 401, 404, 500, 503])
async def test_only_a_200_is_a_document(server: JwksServer, fetch: HttpFetch, status: int) -> None:
    server.fail(status, b"" if status in (204, 304) else BODY)
    with pytest.raises(FetchFailed, match=str(status)):
        await fetch(server.url)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\xfe",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname\x00: value\r\n\r\n",
    ],
    ids=["nothing", "bytes", "ssh", "length list", "short", "length and chunked", "chunk size", "head", "101", "NUL"],
)
async def test_k_07_garbage_is_no_document(server: JwksServer, fetch: HttpFetch, garbage: bytes) -> None:
    server.answer = raw(garbage)
    with pytest.raises(FetchFailed):
        await fetch(server.url)
    server.recover()
    assert (await fetch(server.url)).body == BODY


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nx-slow: ",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
    ids=["accepts only", "head without end", "body without end", "chunks without end"],
)
async def test_k_09_a_slow_provider_takes_no_longer_than_the_ceiling(
    server: JwksServer, fetch: HttpFetch, start: bytes
) -> None:
    left = threading.Event()

    def drip(handler: Handler) -> None:
        while start and not left.wait(0.05):
            handler.wfile.write(b"1\r\n \r\n" if b"chunked" in start else b" ")
        left.wait(5)

    server.answer = raw(start, after=drip)
    began = time.monotonic()
    try:
        with pytest.raises(FetchFailed):
            await fetch(server.url)
        assert time.monotonic() - began < 2
    finally:
        left.set()


async def test_a_provider_that_is_not_there_is_a_failed_fetch(fetch: HttpFetch) -> None:
    with pytest.raises(FetchFailed):
        await fetch("http://127.0.0.1:1/jwks")


async def test_nothing_of_ours_is_sent_along_and_no_cookie_comes_back(server: JwksServer, fetch: HttpFetch) -> None:
    seen: list[set[str]] = []

    def keep(handler: Handler) -> None:
        seen.append({name.lower() for name in handler.headers})
        server.send(handler, 200, BODY, {"Set-Cookie": "a=b"})

    server.answer = keep
    await fetch(server.url)
    await fetch(server.url)
    assert seen == [{"host", "accept", "accept-encoding", "user-agent"}] * 2


async def test_k_17_a_proxy_of_the_environment_is_not_asked(
    server: JwksServer, fetch: HttpFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JwksServer({"keys": ["the proxy's"]}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        assert (await fetch(server.url)).body == BODY
        assert proxy.count == 0


@pytest.mark.parametrize(
    ("cache_control", "life"),
    [
        ("max-age=120", 120),
        ("public, max-age=120, must-revalidate", 120),
        ("Max-Age=120", 120),
        ('max-age="120"', 120),
        ("max-age=0", 0),
        ("max-age=315360000", 315360000),
        ("max-age=99999999999", None),
        ("max-age=-1", None),
        ("max-age=1e3", None),
        ("max-age=", None),
        ("max-age=120, max-age=60", None),
        ("s-maxage=120", None),
        ("x-max-age=120", None),
        ("no-store", None),
        ("", None),
        ("\xff\xfe", None),
    ],
)
async def test_k_14_the_life_of_a_document_is_read_or_left_to_us(
    server: JwksServer, fetch: HttpFetch, cache_control: str, life: int | None
) -> None:
    server.headers = {"Cache-Control": cache_control}
    assert (await fetch(server.url)).max_age == life


async def test_k_14_a_life_that_is_said_twice_says_nothing(server: JwksServer, fetch: HttpFetch) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\ncache-control: max-age=60\r\n"
    server.answer = raw(head + b"cache-control: max-age=120\r\n\r\n" + BODY)
    assert (await fetch(server.url)).max_age is None
    server.answer = raw(head + b"\r\n" + BODY)
    assert (await fetch(server.url)).max_age == 60
