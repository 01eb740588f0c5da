"""One document from one address, held to every ceiling, from real sockets."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.verify.fetch import Address, Document, Unreachable, fetch
from tests.support.jwks_server import JwksServer

QUICK = replace(LIMITS, fetch_seconds=0.5, fetch_connect_seconds=0.5)


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer({"keys": []}) as running:
        yield running


def get(url: str, limits: Any = LIMITS) -> Document:
    return fetch(Address.parse(url, allow_insecure=False), limits)


def test_a_document_comes_with_its_cache_control(server: JwksServer) -> None:
    assert get(server.url) == Document(b'{"keys": []}')
    server.headers = {"Cache-Control": "max-age=60"}
    assert get(server.url) == Document(b'{"keys": []}', "max-age=60")
    assert server.paths == ["/.well-known/jwks.json"] * 2


def test_the_query_belongs_to_the_address(server: JwksServer) -> None:
    get(f"{server.origin}/keys?a=b&c=d")
    assert server.paths == ["/keys?a=b&c=d"]


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example.com/keys",
        "https://10.0.0.1:8443/keys",
        "http://127.0.0.1/k",
        "http://localhost:1/k",
        "http://[::1]:1/k",
    ],
)
def test_https_and_loopback_http_are_addresses(url: str) -> None:
    assert Address.parse(url, allow_insecure=False).host


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.com/keys",
        "http://10.0.0.1/keys",
        "http://169.254.169.254/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost.evil.example/keys",
        "http://[::ffff:10.0.0.1]/keys",
        "http://0.0.0.0/keys",
        "http://2130706433/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "://x",
        "https://",
        "https:///keys",
        "https://user@gateway.example.com/keys",
        "https://user:password@gateway.example.com/keys",
        "https://gateway.example.com/keys#x",
        "https://gateway.example.com:99999/keys",
        "https://gateway.example.com/a b",
        "https://gateway.example.com/a\r\nX: y",
        "https://gateway.example.com/\u00e9",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    """K-02, at this level: nothing is fetched from an address that is not https, or http on this machine."""
    with pytest.raises(ValueError):
        Address.parse(url, allow_insecure=False)


def test_http_from_elsewhere_needs_a_word() -> None:
    assert not Address.parse("http://gateway.example.com/keys", allow_insecure=True).loopback_only


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: JwksServer, status: int) -> None:
    """K-04."""
    server.fail(status, Location=f"{server.origin}/elsewhere")
    with pytest.raises(Unreachable, match="redirects are not followed"):
        get(server.url)
    assert server.count == 1


@pytest.mark.parametrize("status", [204, 400, 401, 404, 500, 503])
def test_only_200_is_an_answer(server: JwksServer, status: int) -> None:
    """K-07."""
    server.fail(status, b'{"keys": []}' if status != 204 else b"")
    with pytest.raises(Unreachable, match=str(status)):
        get(server.url)


def test_a_document_ends_at_256_kib(server: JwksServer) -> None:
    """K-10: n and n + 1."""
    server.fail(200, b" " * LIMITS.jwks_bytes)
    assert len(get(server.url).body) == LIMITS.jwks_bytes
    server.fail(200, b" " * (LIMITS.jwks_bytes + 1))
    with pytest.raises(Unreachable, match="more than"):
        get(server.url)


def test_an_endless_body_is_cut(server: JwksServer) -> None:
    """K-10: chunked, without an end."""

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
        except OSError:
            pass

    server.answer = endless
    with pytest.raises(Unreachable, match="more than"):
        get(server.url)


def test_a_content_coding_is_refused(server: JwksServer) -> None:
    """K-10: nothing is unpacked."""
    server.fail(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    with pytest.raises(Unreachable, match="coding"):
        get(server.url)


def test_a_body_that_ends_early_is_no_document(server: JwksServer) -> None:
    def short(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"keys": []}')

    server.answer = short
    with pytest.raises(Unreachable):
        get(server.url)


def drip(what: bytes) -> Any:
    """Send a byte now and then, so that no single read ever waits long, until the other side has had enough."""

    def answer(handler: Any) -> None:
        for byte in what:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if select.select([handler.connection], [], [], 0.1)[0]:
                return

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"x" * 1000),
        drip(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1000),
        lambda handler: select.select([handler.connection], [], [], 60),
    ],
    ids=["headers", "body", "silence"],
)
def test_a_slow_answer_is_given_up_as_a_whole(server: JwksServer, answer: Any) -> None:
    """K-09: the limit is for the answer, not for each of its bytes."""
    server.answer = answer
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"no whole answer within 0\.5 seconds"):
        get(server.url, QUICK)
    assert time.monotonic() - began < 30


def test_a_silent_answer_is_late_also_where_the_timer_gets_no_turn(
    server: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket's own limit comes first on a machine that is busy."""
    monkeypatch.setattr(threading.Timer, "run", lambda timer: None)
    server.answer = lambda handler: select.select([handler.connection], [], [], 60)
    with pytest.raises(Unreachable, match=r"no whole answer within 0\.5 seconds"):
        get(server.url, QUICK)


def test_nobody_there_is_out_of_reach() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="no connection"):
            get(f"http://127.0.0.1:{taken.getsockname()[1]}/keys")


def test_something_that_does_not_speak_tls_is_out_of_reach(server: JwksServer) -> None:
    """K-16."""
    with pytest.raises(Unreachable, match="no connection"):
        get(server.url.replace("http://", "https://"), QUICK)


def test_a_stalled_tls_handshake_is_given_up() -> None:
    """K-09."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="no connection"):
        get(f"https://127.0.0.1:{silent.getsockname()[1]}/keys", QUICK)


def test_what_is_not_http_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable):
            get(f"http://127.0.0.1:{listening.getsockname()[1]}/keys")
        thread.join()


def test_proxy_settings_are_not_read(server: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """K-17."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert get(server.url).body
