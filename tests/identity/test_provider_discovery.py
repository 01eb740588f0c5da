"""A provider by its discovery document: how it is followed, how long it is believed, and that a look at it changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell
from counterseal.identity.egress import Egress
from counterseal.identity.fetch import HttpFetch
from counterseal.identity.inspection import NONE_USABLE, Problem
from counterseal.identity.provider import Provider
from counterseal.jose.refusal import TokenRefused
from tests.identity.providing import (
    DISCOVERY,
    DOWN,
    GOOD,
    ISSUER,
    KEYS,
    KNOWN,
    UNKNOWN,
    Idp,
    by_discovery,
    by_keys,
    keys,
    of_kid,
    one_key,
    says_nothing,
    settled,
)
from tests.support.certificates import Authority
from tests.support.jwks_server import Handler, JwksServer
from tests.support.leaping import LeapingTime
from tests.support.tokens import FixedClock

MOVED = f"{ISSUER}/moved"


async def nobody_can_tell(provider: Provider) -> str:
    with pytest.raises(CannotTell) as told:
        await provider.find(KNOWN)
    assert told.value.reason.code == "identity_unavailable"
    return told.value.detail or ""


async def test_the_document_says_where_the_keys_are() -> None:
    idp = Idp()
    provider = by_discovery(idp, FixedClock())
    for _ in range(3):
        assert (await provider.find(KNOWN)).kid == "ES256"
    assert idp.asked == [DISCOVERY, KEYS]
    assert provider.healthy() is None


async def test_k_06_a_thousand_calls_at_a_cold_start_ask_for_each_document_once() -> None:
    idp = Idp()
    provider = by_discovery(idp, FixedClock())
    gate = idp.hang(DISCOVERY)
    calls = [asyncio.ensure_future(provider.find(KNOWN)) for _ in range(1000)]
    await settled()
    assert idp.asked == [DISCOVERY]
    gate.set()
    assert {key.kid for key in await asyncio.gather(*calls)} == {"ES256"}
    assert idp.asked == [DISCOVERY, KEYS]


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": ISSUER.upper()},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": "http://idp.example.com/keys"},
        {"jwks_uri": "https://169.254.169.254/keys"},
        {"jwks_uri": None},
    ],
    ids=str,
)
async def test_k_01_k_02_a_document_of_another_issuer_or_with_keys_elsewhere_is_not_followed(
    discovery: dict[str, Any],
) -> None:
    clock, idp = FixedClock(), Idp(**discovery)
    provider = by_discovery(idp, clock)
    member = next(iter(discovery))
    assert member in await nobody_can_tell(provider)
    assert f"`{member}`" in (provider.healthy() or "")
    assert idp.asked == [DISCOVERY]
    idp.documents[DISCOVERY] = {"issuer": ISSUER, "jwks_uri": KEYS}
    clock.advance(1)
    assert (await provider.find(KNOWN)).kid == "ES256"
    assert provider.healthy() is None


async def test_k_02_another_host_for_the_keys_is_one_that_the_operator_lists() -> None:
    elsewhere = "https://keys.example.net/keys"
    idp = Idp(jwks_uri=elsewhere)
    idp.documents[elsewhere] = GOOD
    assert "add keys.example.net to `jwks_hosts`" in await nobody_can_tell(by_discovery(idp, FixedClock()))
    assert (await by_discovery(idp, FixedClock(), hosts=("keys.example.net",)).find(KNOWN)).kid == "ES256"


@pytest.mark.parametrize(("max_age", "life"), [(None, 300), (0, 60), (999_999_999, 3600)])
async def test_k_14_s_03_keys_that_moved_are_followed_when_the_documents_life_is_over(
    max_age: int | None, life: int
) -> None:
    clock, idp = FixedClock(), Idp()
    idp.max_age = {KEYS: 3600} | ({} if max_age is None else {DISCOVERY: max_age})
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    idp.documents[DISCOVERY] = {"issuer": ISSUER, "jwks_uri": MOVED}
    idp.documents[MOVED] = keys(one_key("new", "new"))
    clock.advance(life)
    await provider.find(KNOWN)
    await settled()
    assert idp.asked == [DISCOVERY, KEYS]
    clock.advance(0.001)
    for _ in range(2):  # once the document is there, the keys are asked for
        provider.look()
        await settled()
    assert idp.asked == [DISCOVERY, KEYS, DISCOVERY, MOVED]
    assert (await provider.find(of_kid("new"))).kid == "new"
    with pytest.raises(TokenRefused):
        await provider.find(KNOWN)


async def test_keys_stay_in_force_while_those_that_moved_cannot_be_had() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    idp.documents[DISCOVERY] = {"issuer": ISSUER, "jwks_uri": MOVED}
    clock.advance(301)
    for _ in range(3):
        assert (await provider.find(KNOWN)).kid == "ES256"
        await settled()
    assert MOVED in idp.asked
    assert provider.healthy() is None


@pytest.mark.parametrize(
    "bad",
    [DOWN, b"<html>", {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}, {"issuer": ISSUER}],
    ids=["down", "html", "another issuer", "no address"],
)
async def test_k_07_a_document_that_fails_leaves_the_old_one_until_the_limit(bad: Any) -> None:
    """And where the keys are still fine: they are believed because the document says so."""
    clock, idp = FixedClock(), Idp()
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    idp.documents[DISCOVERY] = bad
    clock.advance(301)
    while clock.monotonic() <= 1000 + 300 + LIMITS.keys_stale_seconds:
        assert (await provider.find(KNOWN)).kid == "ES256"
        await settled()
        assert provider.healthy() is None
        clock.advance(100)
    assert idp.count(KEYS) >= 10
    assert "https://evil.example/keys" not in idp.asked
    await nobody_can_tell(provider)
    assert provider.healthy()
    idp.documents[DISCOVERY] = {"issuer": ISSUER, "jwks_uri": KEYS}
    clock.advance(1)
    assert (await provider.find(KNOWN)).kid == "ES256"


async def test_j_29_the_generation_changes_when_the_document_is_not_believed_any_more() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    before = provider.generation
    idp.documents[DISCOVERY] = DOWN
    for _ in range(39):
        clock.advance(100)
        provider.look()
        await settled()
    assert provider.generation == before
    clock.advance(0.001)
    assert provider.generation != before


async def test_k_09_a_document_that_hangs_does_not_hold_up_the_keys_nor_a_known_kid() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    idp.hang(DISCOVERY)
    idp.documents[KEYS] = keys(one_key("new", "new"), *GOOD["keys"])
    clock.advance(301)
    with pytest.raises(StopIteration):
        provider.find(KNOWN).send(None)
    await settled()
    assert idp.asked == [DISCOVERY, KEYS, DISCOVERY, KEYS]
    assert (await provider.find(of_kid("new"))).kid == "new"


async def test_k_09_both_documents_together_are_given_up_in_the_time_for_one() -> None:
    idp = Idp()
    provider = by_discovery(idp, FixedClock())
    slow, _ = idp.hang(DISCOVERY), idp.hang(KEYS)
    time = LeapingTime()
    asking = asyncio.ensure_future(nobody_can_tell(provider))
    await time.leap_when(lambda: idp.asked == [DISCOVERY], 0.6 * LIMITS.fetch_seconds)
    slow.set()
    await time.leap_when(lambda: idp.asked == [DISCOVERY, KEYS], 0.6 * LIMITS.fetch_seconds)
    assert "no end in time" in await asking


async def test_a_refresh_asks_for_both_whatever_their_life() -> None:
    idp = Idp()
    provider = by_discovery(idp, FixedClock())
    for count in (1, 2, 3):
        await provider.refresh()
        assert idp.asked == [DISCOVERY, KEYS] * count
    idp.documents = {}
    await provider.refresh()
    assert (await provider.find(KNOWN)).kid == "ES256"


async def test_k_05_a_made_up_kid_asks_for_the_keys_alone() -> None:
    clock, idp = FixedClock(), Idp()
    provider = by_discovery(idp, clock)
    await provider.find(KNOWN)
    clock.advance(LIMITS.refetch_cooldown_seconds)
    for _ in range(10):
        with pytest.raises(TokenRefused):
            await provider.find(UNKNOWN)
    assert idp.asked == [DISCOVERY, KEYS, KEYS]


# ---- a look at it ----


async def test_an_inspection_asks_anew_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    idp = Idp()
    provider = by_discovery(idp, FixedClock())
    await provider.find(KNOWN)
    generation = provider.generation
    idp.documents[KEYS] = keys(one_key("new", "new"), {"kty": "oct", "k": "AAAA"})
    with caplog.at_level(logging.INFO, "counterseal"):
        assert [key.kid for key in (await provider.inspect()).keys] == ["new", None]
        idp.documents = {}
        assert (await provider.inspect()).problems
    assert (await provider.find(KNOWN)).kid == "ES256"
    assert (provider.generation, provider.healthy(), caplog.records) == (generation, None, [])


# ---- over real sockets ----


def stalled(start: bytes, more: bytes = b"") -> Callable[[Handler], None]:
    """Begins like this and never ends, where there is `more` not even with sending."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            while more:
                handler.wfile.write(more)
                threading.Event().wait(0.02)
            handler.rfile.read(1)  # until the other side leaves

    return answer


SLOW = {
    "one byte after the other": stalled(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" "),
    "headers without end": stalled(b"HTTP/1.1 200 OK\r\nx-slow: ", b"x"),
    "accepts and says nothing": stalled(b""),
}


@contextlib.asynccontextmanager
async def slow_provider(mode: str) -> AsyncIterator[Provider]:
    """A provider of real sockets that is slow in one of five ways."""

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    tls = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    with JwksServer(GOOD) as server:
        server.answer = SLOW.get(mode)
        url = {
            "TLS stalls": f"https://127.0.0.1:{tls.sockets[0].getsockname()[1]}/keys",
            "DNS stalls": server.url.replace("127.0.0.1", "localhost"),
        }.get(mode, server.url)
        fetch = HttpFetch(Egress(loopback=True, resolve=never), LIMITS, LIMITS.jwks_bytes)
        async with tls:
            yield by_keys(fetch, FixedClock(), url=url)
        await fetch.close()


@pytest.mark.parametrize("mode", [*SLOW, "TLS stalls", "DNS stalls"])
async def test_k_09_a_slow_provider_is_given_up_in_time_and_holds_up_no_other(mode: str) -> None:
    with JwksServer(GOOD) as fine:
        fetch = HttpFetch(Egress(loopback=True), LIMITS, LIMITS.jwks_bytes)
        async with slow_provider(mode) as slow:
            time = LeapingTime()
            waiting = [asyncio.ensure_future(slow.find(KNOWN)) for _ in range(100)]
            other = by_keys(fetch, FixedClock(), url=fine.url)
            assert (await other.find(KNOWN)).kid == "ES256"
            assert not any(task.done() for task in waiting)
            for _ in range(100):
                assert (await other.find(KNOWN)).kid == "ES256"
            assert not any(task.done() for task in waiting)
            time.leap(LIMITS.fetch_seconds)
            told = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(error, CannotTell) for error in told)
            assert "in time" in (slow.healthy() or "")
        await fetch.close()
        assert fine.count == 1


async def test_k_10_a_large_set_is_cut_off_and_never_held_in_memory() -> None:
    gone = threading.Event()

    def endless(handler: Handler) -> None:
        sent = 0
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while sent < 64 * 1024 * 1024:
                sent += handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            gone.set()

    with JwksServer(GOOD) as server:
        server.answer = endless
        fetch = HttpFetch(Egress(loopback=True), LIMITS, LIMITS.jwks_bytes)
        provider = by_keys(fetch, FixedClock(), url=server.url)
        assert "more than 262144 bytes" in await nobody_can_tell(provider)
        assert await asyncio.to_thread(gone.wait, 5)
        await fetch.close()


async def test_discovery_over_tls_with_a_name_that_is_pinned_to_its_address(tmp_path: Path) -> None:
    """K-03, K-16: the certificate is checked against the name, the connection made to the address that was checked."""
    authority = Authority(tmp_path)
    documents = {
        "/.well-known/openid-configuration": b'{"issuer": "https://idp.test", "jwks_uri": "https://idp.test:%d/keys"}',
        "/keys": b'{"keys": []}',
    }
    asked: list[tuple[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                asked.append((path, head.split("Host: ")[1].split("\r\n")[0]))
                body = documents[path].replace(b"%d", b"%d" % port)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert host == "idp.test"
        return ["127.0.0.1"]

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.server("idp.test"))
    port = listening.sockets[0].getsockname()[1]
    fetch = HttpFetch(Egress(loopback=True, resolve=resolve), LIMITS, LIMITS.jwks_bytes, authority.client())
    provider = Provider(
        "corp",
        issuer="https://idp.test",
        discovery_uri=f"https://idp.test:{port}/.well-known/openid-configuration",
        jwks_uri=None,
        jwks_hosts=(),
        fetch=fetch,
        clock=FixedClock(),
        limits=LIMITS,
    )
    async with listening:
        found = await provider.inspect()
        assert (found.issuer, found.problems) == ("https://idp.test", (Problem("keys", NONE_USABLE),))
        assert asked == [("/.well-known/openid-configuration", f"idp.test:{port}"), ("/keys", f"idp.test:{port}")]
        refusing = HttpFetch(Egress(resolve=resolve), LIMITS, LIMITS.jwks_bytes, authority.client())
        provider = by_discovery(refusing, FixedClock(), url=f"https://idp.test:{port}/.well-known/openid-configuration")
        (problem,) = (await provider.inspect()).problems
        assert (problem.at, "loopback" in problem.text) == ("discovery", True)
        assert len(asked) == 2
        await fetch.close()
