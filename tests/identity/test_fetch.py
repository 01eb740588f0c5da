"""Strict requests: what an identity provider may answer, and what it may not make us do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from counterseal.core.limits import LIMITS
from counterseal.identity.egress import Egress
from counterseal.identity.fetch import FetchFailed, HttpFetch
from tests.identity.providing import says_nothing
from tests.support.certificates import Authority
from tests.support.jwks_server import Handler, JwksServer
from tests.support.leaping import LeapingTime

HERE = Egress(loopback=True)
QUICK = dataclasses.replace(LIMITS, fetch_seconds=0.4, fetch_connect_seconds=0.4)
HANGS = 30
"""Seconds; what is slow here goes on for longer."""
BODY = b'{"keys": []}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer({"keys": []}) as running:
        yield running


@pytest.fixture
async def fetch() -> AsyncIterator[HttpFetch]:
    made = HttpFetch(HERE, LIMITS, 1000)
    yield made
    await made.close()


@pytest.fixture
async def hasty() -> AsyncIterator[HttpFetch]:
    """For providers that are slow, and for nothing that should come: a machine that stands still is slow, too."""
    made = HttpFetch(HERE, QUICK, 1000)
    yield made
    await made.close()


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


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_k_04_a_redirect_is_never_followed(server: JwksServer, fetch: HttpFetch, status: int) -> None:
    with JwksServer({"keys": []}) as elsewhere:
        for location in (elsewhere.url, server.url, "http://169.254.169.254/", "file:///etc/passwd", "//evil.example"):
            server.fail(status, BODY, Location=location, Refresh=f"0; url={location}")
            before = server.count
            with pytest.raises(FetchFailed, match=str(status)):
                await fetch(server.url)
            with pytest.raises(FetchFailed, match=str(status)):
                await fetch.post(server.url, (("token", "t"),), (("Authorization", "Basic c2VjcmV0"),))
            assert (server.count - before, elsewhere.count) == (2, 0)
        assert (await fetch(elsewhere.url)).body == BODY
        with pytest.raises(FetchFailed, match="a redirect, which is never followed; configure the address itself"):
            await fetch(server.url)


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
    server: JwksServer, hasty: HttpFetch, start: bytes
) -> None:
    left = threading.Event()

    def drip(handler: Handler) -> None:
        while start and not left.wait(0.05):
            handler.wfile.write(b"1\r\n \r\n" if b"chunked" in start else b" ")
        left.wait(60)

    server.answer = raw(start, after=drip)
    began = time.monotonic()
    try:
        with pytest.raises(FetchFailed):
            await hasty(server.url)
        assert time.monotonic() - began < HANGS
    finally:
        left.set()


async def test_k_09_a_provider_that_never_speaks_tls_takes_no_longer_than_the_ceiling(hasty: HttpFetch) -> None:
    listening = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    async with listening:
        began = time.monotonic()
        with pytest.raises(FetchFailed, match="in time"):
            await hasty(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys")
        assert time.monotonic() - began < HANGS


async def test_k_09_a_name_that_nobody_resolves_takes_no_longer_than_the_ceiling(server: JwksServer) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    fetch = HttpFetch(Egress(loopback=True, resolve=never), LIMITS, 1000)
    time = LeapingTime()
    asking = asyncio.ensure_future(fetch(server.url.replace("127.0.0.1", "localhost")))
    await asyncio.sleep(0)
    time.leap(LIMITS.fetch_connect_seconds)
    with pytest.raises(FetchFailed, match="no connection in time"):
        await asking
    assert (await fetch(server.url)).body == BODY  # which needs no resolver
    await fetch.close()


async def test_k_09_the_time_for_the_whole_holds_whatever_part_takes_it() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    limits = dataclasses.replace(LIMITS, fetch_seconds=0.1, fetch_connect_seconds=20)
    fetch = HttpFetch(Egress(resolve=never), limits, 1000)
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="no end in time"):
        await fetch("https://idp.example.com/keys")
    assert time.monotonic() - began < limits.fetch_connect_seconds


async def test_k_03_what_was_resolved_and_checked_is_what_is_asked(server: JwksServer) -> None:
    answers = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["169.254.169.254"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    server.headers = {"Connection": "close"}
    fetch = HttpFetch(Egress(loopback=True, resolve=rebinding), LIMITS, 1000)
    url = server.url.replace("127.0.0.1", "localhost")
    assert (await fetch(url)).body == BODY
    for kind in ("private", "link-local"):
        with pytest.raises(FetchFailed, match=kind):
            await fetch(url)
    assert (server.count, answers) == (1, [])
    await fetch.close()


async def test_k_02_what_may_not_be_asked_is_not_asked(server: JwksServer) -> None:
    strict = HttpFetch(Egress(), QUICK, 1000)
    for url in (server.url, server.url.replace("http:", "https:"), server.url.replace("127.0.0.1", "0x7f.1")):
        with pytest.raises(FetchFailed):
            await strict(url)
        with pytest.raises(FetchFailed):
            await strict.post(url, (), ())
    assert server.count == 0


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


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "no_proxy"])
async def test_k_17_a_proxy_of_the_environment_is_not_asked(
    server: JwksServer, fetch: HttpFetch, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with JwksServer({"keys": ["the proxy's"]}) as proxy:
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, proxy.origin)
        assert (await fetch(server.url)).body == BODY
        with pytest.raises(FetchFailed):
            await fetch(server.url.replace("http:", "https:"))  # it doesn't speak TLS
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
        ("max-age=99999999999", 9999999999),
        ("max-age=0000000000060", 60),
        ("max-age=-1", None),
        ("max-age=1.5", None),
        ("max-age= 60", None),
        ("max-age=\uff11", None),
        ("max-age=1e3", None),
        ("max-age=", None),
        ("max-age=120, max-age=60", None),
        ("s-maxage=120", None),
        ("x-max-age=120", None),
        ("no-store", 0),
        ("no-cache, max-age=120", 0),
        ("No-Store", 0),
        ("not-no-store-at-all", None),
        ("", None),
        ("\xff\xfe", None),
    ],
)
async def test_k_14_the_life_of_a_document_is_read_or_left_to_us(
    server: JwksServer, fetch: HttpFetch, cache_control: str, life: int | None
) -> None:
    server.answer = raw(HEAD + b"cache-control: " + cache_control.encode() + b"\r\n\r\n" + BODY)
    assert (await fetch(server.url)).max_age == life


async def test_k_14_a_life_that_is_said_twice_says_nothing(server: JwksServer, fetch: HttpFetch) -> None:
    head = HEAD + b"cache-control: max-age=60\r\n"
    server.answer = raw(head + b"cache-control: max-age=120\r\n\r\n" + BODY)
    assert (await fetch(server.url)).max_age is None
    server.answer = raw(head + b"\r\n" + BODY)
    assert (await fetch(server.url)).max_age == 60


async def test_k_14_a_life_of_sixty_thousand_digits_is_read_in_no_time(server: JwksServer, fetch: HttpFetch) -> None:
    for digits in (b"0" * 60_000, b"9" * 60_000, b"0" * 60_000 + b"x"):
        server.answer = raw(HEAD + b"cache-control: max-age=" + digits + b"\r\n\r\n" + BODY)
        began = time.process_time()
        await fetch(server.url)
        assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("head", "date"),
    [
        (b"Date: Fri, 15 Jan 2027 08:00:00 GMT", 1_800_000_000),
        (b"date: Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
        (b"Date: Thu, 29 Feb 2023 23:59:59 GMT", None),
        (b"Date: Fri, 15 Jan 2027 08:00:60 GMT", None),
        (b"Date: Fri, 15 Jan 0000 08:00:00 GMT", None),
        (b"Date: Fri, 15 Jnu 2027 08:00:00 GMT", None),
        (b"Date: Friday, 15-Jan-27 08:00:00 GMT", None),
        (b"Date: Fri Jan 15 08:00:00 2027", None),
        (b"Date: Fri, 15 Jan 2027 08:00:00 +0000", None),
        (b"Date: Fri, 15 Jan 2027 08:00:00 GMT (UTC)", None),
        ("Date: Fri, \uff11\uff15 Jan 2027 08:00:00 GMT".encode(), None),
        (b"Date: 1800000000", None),
        (b"Date:", None),
        (b"X-Date: Fri, 15 Jan 2027 08:00:00 GMT", None),
        (b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT", None),
        (b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\nAge: 7", None),
    ],
    ids=str,
)
async def test_the_time_of_an_answer_is_read_where_it_is_certain(
    server: JwksServer, fetch: HttpFetch, head: bytes, date: float | None
) -> None:
    """RFC 9110 section 5.6.7, in the one form that may be sent. What a cache kept says nothing of a clock."""
    server.answer = raw(HEAD + head + b"\r\n\r\n" + BODY)
    assert (await fetch(server.url)).date == date


# ---- a form ----


async def test_a_form_is_sent_as_it_is_said_and_its_answer_read(server: JwksServer, fetch: HttpFetch) -> None:
    seen: list[dict[str, str]] = []

    def keep(handler: Handler) -> None:
        seen.append({name.lower(): value for name, value in handler.headers.items() if name.lower() != "host"})
        server.send(handler, 200, BODY, JSON)

    server.answer = keep
    form = (("token", "a&b=c+d/e \u00fc"), ("token_type_hint", "access_token"))
    document = await fetch.post(server.url, form, (("Authorization", "Basic Z3c6cw=="),))
    assert document.body == BODY
    assert server.forms == [b"token=a%26b%3Dc%2Bd%2Fe+%C3%BC&token_type_hint=access_token"]
    assert seen == [
        {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": "Basic Z3c6cw==",
            "content-length": str(len(server.forms[0])),
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "counterseal",
        }
    ]


@pytest.mark.parametrize(
    "types",
    [
        ["application/token-introspection+jwt"],
        ["application/jwt"],
        ["text/html"],
        ["text/json"],
        ["application/jsonp"],
        ["application/jwk-set+json"],
        ["application/problem+json"],
        ["application/json, text/html"],
        ["application/json", "application/json"],
        [""],
        [],
    ],
    ids=str,
)
async def test_n_08_only_plain_json_answers_a_form(server: JwksServer, fetch: HttpFetch, types: list[str]) -> None:
    lines = "".join(f"content-type: {value}\r\n" for value in types).encode()
    server.answer = raw(HEAD + lines + b"\r\n" + BODY)
    with pytest.raises(FetchFailed, match="not application/json"):
        await fetch.post(server.url, (), ())
    assert (await fetch(server.url)).body == BODY  # providers differ in what they call a key set
    for good in ("application/json", "Application/JSON", "application/json;charset=utf-8", "application/json ; a=b"):
        server.answer = raw(HEAD + f"content-type: {good}\r\n\r\n".encode() + BODY)
        assert (await fetch.post(server.url, (), ())).body == BODY


async def test_n_02_only_a_200_answers_a_form(server: JwksServer, fetch: HttpFetch) -> None:
    for status in (201, 204, 400, 401, 429, 500, 503):
        server.fail(status, b"" if status == 204 else BODY, **JSON)
        with pytest.raises(FetchFailed, match=str(status)):
            await fetch.post(server.url, (), ())
    server.fail(200, BODY, **JSON)
    assert (await fetch.post(server.url, (), ())).body == BODY


async def test_k_10_an_answer_to_a_form_has_the_same_ceiling(server: JwksServer, fetch: HttpFetch) -> None:
    server.fail(200, b"x" * 1001, **JSON)
    with pytest.raises(FetchFailed, match="more than 1000 bytes"):
        await fetch.post(server.url, (), ())
    server.fail(200, gzip.compress(BODY), **JSON, **{"Content-Encoding": "gzip"})
    with pytest.raises(FetchFailed, match="content coding"):
        await fetch.post(server.url, (), ())
    server.fail(200, b"x" * 1000, **JSON)
    assert len((await fetch.post(server.url, (), ())).body) == 1000


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("canary", "canary\r\nX: y"),
        ("canary", "canary\0"),
        ("canary", "canary\u20ac"),
        ("canary\udc80", "canary"),
        ("canary", "canary"),
    ],
    ids=["line end", "NUL", "not Latin-1", "lone surrogate", "all fine, and the server fails"],
)
async def test_n_06_nothing_of_a_form_or_its_headers_is_in_a_message(
    server: JwksServer, fetch: HttpFetch, caplog: pytest.LogCaptureFixture, form: str, header: str
) -> None:
    server.fail(500, b"canary")
    with pytest.raises(FetchFailed) as told:
        await fetch.post(server.url, (("token", form),), (("Authorization", header),))
    assert "canary" not in f"{told.value!r} {told.value.__cause__!r} {caplog.text}"
    assert told.value.__suppress_context__ or told.value.__context__ is None
    assert server.count == (header == form)


# ---- TLS ----


@contextlib.asynccontextmanager
async def over_tls(authority: Authority, host: str, **wrong: int) -> AsyncIterator[str]:
    """A JWKS over TLS on a loopback address; its URL says localhost, whatever the certificate says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"\r\n" + BODY)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.server(host, **wrong))
    async with listening:
        yield f"https://localhost:{listening.sockets[0].getsockname()[1]}/keys"


@pytest.mark.parametrize(
    ("host", "wrong", "why"),
    [
        ("localhost", {"days": -1}, "expired"),
        ("idp.example.com", {}, "mismatch"),
        ("127.0.0.1", {}, "mismatch"),
        ("localhost", {"self_signed": True}, "self-signed"),
    ],
    ids=["expired", "another name", "its address only", "self-signed"],
)
async def test_k_16_a_certificate_that_proves_nothing_is_refused(
    tmp_path: Path, host: str, wrong: dict[str, int], why: str
) -> None:
    authority = Authority(tmp_path)
    fetch = HttpFetch(HERE, LIMITS, 1000, authority.client())
    async with over_tls(authority, host, **wrong) as url:
        with pytest.raises(FetchFailed, match=why):
            await fetch(url)
        with pytest.raises(FetchFailed, match=why):
            await fetch.post(url, (("token", "t"),), ())
    async with over_tls(authority, "localhost") as url:
        assert (await fetch(url)).body == BODY
    await fetch.close()


async def test_k_16_an_authority_that_nobody_configured_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with over_tls(authority, "localhost") as url:
        for tls in (None, Authority(tmp_path).client()):
            fetch = HttpFetch(HERE, LIMITS, 1000, tls)
            with pytest.raises(FetchFailed, match="certificate"):
                await fetch(url)
            await fetch.close()


async def test_k_16_a_server_of_tls_1_0_is_refused(tmp_path: Path) -> None:
    """Its first words: a ServerHello of that version (RFC 2246 section 7.4.1.3)."""
    hello = b"\x03\x01" + bytes(32) + b"\x00\xc0\x13\x00"
    handshake = b"\x02" + len(hello).to_bytes(3, "big") + hello

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    fetch = HttpFetch(HERE, LIMITS, 1000, Authority(tmp_path).client())
    listening = await asyncio.start_server(old, "127.0.0.1", 0)
    async with listening:
        with pytest.raises(FetchFailed, match="SSLError"):
            await fetch(f"https://localhost:{listening.sockets[0].getsockname()[1]}/keys")
    await fetch.close()
