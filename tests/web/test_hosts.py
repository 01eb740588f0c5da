"""Names and origins: a page of another site can reach this gateway, but not call it (M-12)."""

from __future__ import annotations

import pytest

from counterseal.core.call import Inbound
from counterseal.errors import BadCall
from counterseal.web.hosts import Hosts
from tests.web.building import Running

PUBLIC = "https://gateway.example.com"
LOCAL = "http://127.0.0.1:8460"
OUTSIDE, INSIDE, SIX = ("192.0.2.1", 8460), ("127.0.0.1", 8460), ("::1", 8460)


def check(host: bytes, origin: bytes | None = None, *, issuer: str = PUBLIC, bound: tuple[str, int] = OUTSIDE) -> None:
    headers = [(b"host", host)]
    if origin is not None:
        headers.append((b"origin", origin))
    Hosts(issuer).check(Inbound("POST", "weather", tuple(headers), b"", "192.0.2.7"), bound)


def refused(
    host: bytes, origin: bytes | None = None, *, issuer: str = PUBLIC, bound: tuple[str, int] = OUTSIDE
) -> None:
    with pytest.raises(BadCall) as told:
        check(host, origin, issuer=issuer, bound=bound)
    assert (told.value.reason.code, told.value.reason.status) == ("origin_refused", 403)
    assert not host or host.decode("latin-1") not in told.value.message


@pytest.mark.parametrize(
    ("host", "issuer", "bound"),
    [
        (b"gateway.example.com", PUBLIC, OUTSIDE),
        (b"GATEWAY.Example.COM", PUBLIC, OUTSIDE),
        (b"gateway.example.com:443", PUBLIC, OUTSIDE),
        (b"gateway.example.com:8460", PUBLIC, OUTSIDE),
        (b"192.0.2.1:8460", PUBLIC, OUTSIDE),
        (b"192.0.2.1", PUBLIC, OUTSIDE),
        (b"localhost:8460", PUBLIC, INSIDE),
        (b"127.0.0.1:8460", PUBLIC, INSIDE),
        (b"[::1]:8460", PUBLIC, SIX),
        (b"localhost", LOCAL, INSIDE),
        (b"127.0.0.1:8460", LOCAL, INSIDE),
        (b"gateway.example.com", "https://gateway.example.com:8443/tenant", OUTSIDE),
        (b"gateway.example.com:8443", "https://gateway.example.com:8443/tenant", OUTSIDE),
        (b"[2001:db8::1]:8460", "https://[2001:db8::1]:8460", OUTSIDE),
    ],
)
def test_m_12_a_host_of_ours_is_taken(host: bytes, issuer: str, bound: tuple[str, int]) -> None:
    check(host, issuer=issuer, bound=bound)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"gateway.example.com.evil.example",
        b"evil-gateway.example.com",
        b"xgateway.example.com",
        b"gateway.example.co",
        b"gateway.example.com.",
        b"gateway.example.com:444",
        b"gateway.example.com:",
        b"gateway.example.com:0443x",
        b"gateway.example.com:443:443",
        b"gateway.example.com@evil.example",
        b"user@gateway.example.com",
        b"gateway.example.com/",
        b"gateway.example.com#",
        b"gateway.example.com ",
        b" gateway.example.com",
        b"gateway.example.com,evil.example",
        b"gateway_example.com",
        b"gateway.example.com\x00",
        b"gateway.ex\xc3\xa4mple.com",
        b"",
        b":443",
        b"localhost",
        b"127.0.0.1",
        b"127.1",
        b"2130706433",
        b"0.0.0.0",
        b"[::1]",
        b"[::ffff:192.0.2.1]",
        b"192.0.2.2",
        b"192.0.2.1:80",
        b"*",
    ],
)
def test_m_12_any_other_host_is_refused(host: bytes) -> None:
    refused(host)
    check(b"gateway.example.com")


@pytest.mark.parametrize("host", [b"localhost.evil.example", b"127.0.0.1.nip.io", b"127.0.0.2", b"localhost:81", b"0"])
def test_m_12_a_name_that_only_resolves_to_this_machine_is_refused(host: bytes) -> None:
    """DNS rebinding."""
    refused(host, issuer=LOCAL, bound=INSIDE)
    check(b"localhost", issuer=LOCAL, bound=INSIDE)


@pytest.mark.parametrize(
    ("origin", "issuer", "bound"),
    [
        (b"https://gateway.example.com", PUBLIC, OUTSIDE),
        (b"https://gateway.example.com:443", PUBLIC, OUTSIDE),
        (b"https://Gateway.example.com", PUBLIC, OUTSIDE),
        (b"http://localhost:3000", LOCAL, INSIDE),
        (b"http://127.0.0.1", LOCAL, INSIDE),
        (b"http://[::1]:5173", LOCAL, SIX),
    ],
)
def test_m_12_an_origin_of_ours_is_taken(origin: bytes, issuer: str, bound: tuple[str, int]) -> None:
    host = b"gateway.example.com" if issuer == PUBLIC else b"localhost"
    check(host, origin, issuer=issuer, bound=bound)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"https://evil.example",
        b"https://gateway.example.com.evil.example",
        b"https://evil.example/gateway.example.com",
        b"http://gateway.example.com",
        b"https://gateway.example.com:444",
        b"https://gateway.example.com/",
        b"https://gateway.example.com:",
        b"https://gateway.example.com@evil.example",
        b"https://gateway.example.com https://evil.example",
        b"https://gateway.example.com,https://evil.example",
        b"gateway.example.com",
        b"//gateway.example.com",
        b"https:gateway.example.com",
        b"file://gateway.example.com",
        b"file://",
        b"chrome-extension://abc",
        b"wss://gateway.example.com",
        b"https://xn--gteway-bta.example.com",
        b"http://localhost",
        b"http://127.0.0.1:8460",
    ],
)
def test_m_12_any_other_origin_is_refused(origin: bytes) -> None:
    refused(b"gateway.example.com", origin)
    check(b"gateway.example.com", b"https://gateway.example.com")


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"https://evil.example",
        b"http://localhost.evil.example",
        b"http://127.0.0.1.nip.io",
        b"https://localhost",
    ],
)
def test_m_12_a_gateway_of_this_machine_takes_pages_of_this_machine_alone(origin: bytes) -> None:
    refused(b"localhost", origin, issuer=LOCAL, bound=INSIDE)
    check(b"localhost", b"http://localhost:3000", issuer=LOCAL, bound=INSIDE)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"host", b"gateway.example.com"), (b"host", b"gateway.example.com")),
        ((b"host", b"gateway.example.com"), (b"host", b"evil.example")),
        (
            (b"host", b"gateway.example.com"),
            (b"origin", b"https://gateway.example.com"),
            (b"origin", b"https://gateway.example.com"),
        ),
    ],
    ids=["none", "twice", "two", "two origins"],
)
def test_h_04_host_and_origin_are_sent_once(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(BadCall) as told:
        Hosts(PUBLIC).check(Inbound("POST", "weather", headers, b"", ""), OUTSIDE)
    assert told.value.reason.code == "bad_header"


def test_what_was_refused_once_is_refused_again_and_what_was_taken_is_taken() -> None:
    hosts = Hosts(PUBLIC)

    def ask(host: bytes, bound: tuple[str, int]) -> bool:
        try:
            hosts.check(Inbound("POST", "weather", ((b"host", host),), b"", ""), bound)
        except BadCall:
            return False
        return True

    for _ in range(3):
        assert ask(b"localhost", INSIDE)
        assert not ask(b"localhost", OUTSIDE)
        assert not ask(b"evil.example", INSIDE)
    for number in range(1000):
        ask(b"localhost:%d" % number, INSIDE)
    assert not ask(b"evil.example", INSIDE)


@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1:1", b"127.0.0.1.nip.io"])
def test_m_12_a_rebound_name_reaches_no_server(web: Running, host: bytes) -> None:
    web.refused(web.request(host=host), 403)
    web.refused(web.request(host=host, authorization=None), 403)
    web.good()


def test_m_12_a_page_of_another_site_reaches_no_server(web: Running) -> None:
    """CSRF: also with what a page may send without asking first."""
    for changes in ({}, {"content_type": b"text/plain"}, {"authorization": None}, {"accept": b"*/*"}):
        web.refused(web.request(origin=b"https://evil.example", **changes), 403)
    answer = web.refused(web.head(verb=b"OPTIONS", origin=b"https://evil.example"), 403)
    assert answer is not None
    assert not any(name.startswith("access-control") for name, _ in answer.headers)
    own = b"http://127.0.0.1:%d" % web.port
    assert web.ask(web.request(origin=own)).status == 200


def test_h_04_duplicate_hosts_reach_no_server(web: Running) -> None:
    web.refused(web.request(b"Host: evil.example"), 400)
    web.refused(web.request(b"Host: 127.0.0.1:%d" % web.port), 400)
