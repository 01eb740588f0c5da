"""An endpoint that fails, stalls or lies makes nobody a caller, and nothing that it was asked with shows anywhere."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import quote_plus

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import CallError
from counterseal.gateway.ids import Ids
from counterseal.identity.client_auth import Basic, ClientAuth, Post, PrivateKeyJwt, Proof
from counterseal.identity.fetch import Document, FetchFailed
from counterseal.issuer.signers.local import LocalSigner
from tests.identity.introspecting import (
    WEATHER,
    Answers,
    caller_of,
    doubt,
    endpoint,
    good,
    introspection,
    refusal,
)
from tests.support.authorization_server import AuthorizationServer, Posting, whole
from tests.support.tokens import FixedClock, private_key

GOOD = json.dumps(good()).encode()
QUICK = dataclasses.replace(LIMITS, fetch_seconds=1.0)


FAULTS = {
    "500": whole(GOOD, "500 Internal Server Error"),
    "503 in HTML": whole(b"<html>down</html>", "503 Service Unavailable", "text/html"),
    "429": whole(GOOD, "429 Too Many Requests"),
    "404": whole(GOOD, "404 Not Found"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "201": whole(GOOD, "201 Created"),
    "a redirect": whole(GOOD, "307 Temporary Redirect", more="location: /elsewhere\r\n"),
    "HTML": whole(b"<html>active</html>", media="text/html"),
    "nothing": whole(b""),
    "half of it": whole(GOOD[:40]),
    "an end too soon": whole(GOOD)[:-10],
    "a reset": b"",
    "bytes": b"\x00\xff\xfe",
    "a signed answer (RFC 9701)": whole(b"eyJ0eXAi.eyJ0b2tlbiI.c2ln", media="application/token-introspection+jwt"),
    "too much": whole(GOOD[:-1] + b" " * (64 * 1024) + b"}"),
    "too many members": whole(json.dumps(good(groups=["x"] * 300)).encode()),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_n_02_n_08_an_endpoint_that_fails_is_503_and_nothing_of_it_is_kept(
    server: AuthorizationServer, post: Posting, fault: bytes
) -> None:
    asking = introspection(endpoint(post, server.url))
    server.raw = fault
    for count in (1, 2):
        assert (await doubt(asking)).startswith("issuer corp: ")
        assert server.count == count
    assert asking.healthy()["corp"] is not None
    server.raw = None
    assert (await caller_of(asking)).subject == "alice"
    assert asking.healthy() == {"corp": None}


async def test_n_02_an_answer_may_be_as_large_as_the_ceiling_and_no_larger() -> None:
    answers = Answers(GOOD[:-1] + b" " * (LIMITS.introspection_bytes - len(GOOD)) + b"}")
    asking = introspection(endpoint(answers))
    assert len(answers.body) == LIMITS.introspection_bytes
    await caller_of(asking)
    answers.body += b" "
    assert "more than 65536 bytes" in await doubt(asking, b"another-token")


async def test_n_02_an_answer_without_an_end_is_cut(server: AuthorizationServer, post: Posting) -> None:
    server.raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    server.endless = b"400\r\n" + b" " * 0x400 + b"\r\n"
    assert "more than 65536 bytes" in await doubt(introspection(endpoint(post, server.url)))


async def test_n_02_an_endpoint_that_hangs_is_given_up(server: AuthorizationServer, post: Posting) -> None:
    asking = introspection(endpoint(post, server.url), limits=QUICK)
    server.gate.clear()
    assert "no end in time" in await doubt(asking)
    server.gate.set()
    assert (await caller_of(asking)).subject == "alice"


async def test_n_02_an_endpoint_that_hangs_holds_up_no_other_and_no_kept_answer(
    server: AuthorizationServer, post: Posting
) -> None:
    async with AuthorizationServer(good(sub="bob")) as other:
        asking = introspection(endpoint(post, server.url), endpoint(post, other.url, name="other", prefix=b"other-"))
        await caller_of(asking, b"known")
        server.gate.clear()
        hanging = [asyncio.ensure_future(asking.authenticate(b"t%d" % number, WEATHER)) for number in range(40)]
        await server.until(1 + LIMITS.introspection_count)
        assert (await caller_of(asking, b"other-1")).subject == "bob"
        assert (await caller_of(asking, b"known")).subject == "alice"
        assert sum(not one.done() for one in hanging) >= LIMITS.introspection_count
        server.gate.set()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_n_02_an_endpoint_that_is_not_there_is_503_also_for_what_it_once_accepted(
    server: AuthorizationServer, post: Posting
) -> None:
    clock = FixedClock()
    asking = introspection(endpoint(post, server.url), clock=clock)
    await caller_of(asking)
    await server.stop()
    clock.advance(LIMITS.introspection_kept_seconds - 0.001)
    assert (await caller_of(asking)).subject == "alice"
    clock.advance(0.001)
    assert "no connection" in await doubt(asking)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_an_endpoint_that_does_not_take_our_own_credentials_is_503_with_an_alarm(
    server: AuthorizationServer, post: Posting, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """Nothing that the caller sent was wrong."""
    asking = introspection(endpoint(post, server.url))
    server.raw = whole(b'{"error": "invalid_client"}', status)
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert "client credentials" in await doubt(asking)
        assert "client credentials" in await doubt(asking)
    (told,) = caplog.messages
    assert "corp" in told
    assert "client credentials" in told
    server.raw = None
    assert (await caller_of(asking)).subject == "alice"


async def test_what_fails_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Answers):
        error: Exception | None = FetchFailed("no connection")

        async def __call__(
            self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]
        ) -> Document:
            if self.error is not None:
                raise self.error
            return await super().__call__(url, form, headers)

    post = Failing(b'{"active": false}')
    asking = introspection(endpoint(post))
    with caplog.at_level(logging.WARNING, "counterseal"):
        for _ in range(3):
            await doubt(asking)
        assert len(caplog.messages) == 1
        post.error = RuntimeError("with the-secret in it")
        assert await doubt(asking) == "issuer corp: RuntimeError"
        assert len(caplog.messages) == 2
        post.error = None
        await refusal(asking)
        post.error = FetchFailed("no connection")
        await doubt(asking, b"another-token")
        assert len(caplog.messages) == 3
    assert "the-secret" not in caplog.text


async def test_a_failure_counts_against_readiness_for_a_cool_down_and_no_longer() -> None:
    """A worker that gets no calls because it isn't ready could never find its endpoint mended."""
    clock, post = FixedClock(), Answers(b"garbage")
    asking = introspection(endpoint(post), clock=clock)
    assert asking.healthy() == {"corp": None}
    problem = await doubt(asking)
    clock.advance(LIMITS.refetch_cooldown_seconds - 0.001)
    assert asking.healthy()["corp"] == problem.removeprefix("issuer corp: ")
    clock.advance(0.001)
    assert asking.healthy() == {"corp": None}


async def test_a_token_that_the_endpoint_chokes_on_is_503_for_whoever_sent_it_and_makes_nobody_unready(
    server: AuthorizationServer, post: Posting, caplog: pytest.LogCaptureFixture
) -> None:
    asking = introspection(endpoint(post, server.url))
    server.raw = whole(b'{"error": "invalid_request"}', "400 Bad Request")
    with caplog.at_level(logging.WARNING, "counterseal"):
        assert "status is 400" in await doubt(asking)
    assert (asking.healthy(), caplog.messages) == ({"corp": None}, [])
    server.raw = whole(b"", "500 Internal Server Error")
    assert "status is 500" in await doubt(asking)
    assert asking.healthy()["corp"] is not None


async def test_a_signature_that_cannot_be_made_is_503(server: AuthorizationServer, post: Posting) -> None:
    class Broken:
        async def prove(self, url: str) -> Proof:
            raise RuntimeError("the key is out of reach")

    assert await doubt(introspection(endpoint(post, server.url, auth=Broken()))) == "issuer corp: RuntimeError"
    assert server.count == 0
    assert (await caller_of(introspection(endpoint(post, server.url)))).subject == "alice"


# N-06: what must not be seen

TOKEN_CANARY = b"token-canary-3f9a+/~=="
SECRET_CANARY = "secret-canary%c41d"


def proofs() -> list[ClientAuth]:
    signer = LocalSigner(private_key("ES256"), "ES256")
    signs = PrivateKeyJwt("gw", signer.sign, kid=signer.kid, algorithm="ES256", clock=FixedClock(), new_id=Ids().new)
    return [Basic("gw", SECRET_CANARY), Post("gw", SECRET_CANARY), signs]


def spellings(secret: bytes) -> list[str]:
    made = [
        secret.decode(),
        quote_plus(secret),
        base64.b64encode(secret).decode()[:16],
        secret.hex(),
        secret.decode()[:16],
    ]
    return [*made, base64.b64encode(b"gw:" + quote_plus(secret).encode()).decode()[:16]]


@pytest.mark.parametrize("auth", proofs(), ids=repr)
async def test_n_06_neither_token_nor_secret_is_in_a_log_an_error_or_a_repr(
    server: AuthorizationServer, post: Posting, caplog: pytest.LogCaptureFixture, auth: ClientAuth
) -> None:
    def echo(_: Any) -> bytes:
        return b'{"active": true, "error": "' + server.bytes[-400:].replace(b"\r\n", b" ") + b'"}'

    asking = introspection(endpoint(post, server.url, auth=auth), limits=QUICK)
    said: list[str] = []
    faults: list[bytes | None] = [*FAULTS.values(), whole(b"x", "401 Unauthorized"), None]
    with caplog.at_level(logging.DEBUG):
        for make, hang in ((None, False), (echo, False), (None, True)):
            server.make = make
            server.gate.set() if not hang else server.gate.clear()
            for fault in faults if not hang else [None]:
                server.raw = fault
                server.answer = {"active": False}
                try:
                    await asking.authenticate(TOKEN_CANARY, WEATHER)
                except CallError as error:
                    said += [repr(error), str(error), error.message, str(error.detail), str(error.data)]
                    said += [str(error.headers), "".join(traceback.format_exception(error))]
        server.gate.set()
        said += [repr(asking), repr(asking.__dict__), repr(asking.healthy())]
        said += [repr(part.__dict__) for part in asking._questions]
    said += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    assert len(said) > 50
    for secret in (TOKEN_CANARY, SECRET_CANARY.encode()):
        for spelling in spellings(secret):
            assert not [text for text in said if spelling in text], spelling
    assert quote_plus(TOKEN_CANARY).encode() in server.bytes


async def test_n_06_a_request_that_is_under_way_shows_nothing(server: AuthorizationServer, post: Posting) -> None:
    asking = introspection(endpoint(post, server.url))
    server.gate.clear()
    call = asyncio.ensure_future(asking.authenticate(TOKEN_CANARY, WEATHER))
    await server.until(1)
    assert TOKEN_CANARY.decode() not in repr(asking._questions[0].__dict__)
    server.gate.set()
    await call


def test_an_endpoint_shows_nothing_of_how_it_is_asked() -> None:
    async def never(*_: object) -> NoReturn:
        raise AssertionError

    shown = repr(endpoint(never, auth=Basic("gw", SECRET_CANARY)))
    assert "corp" in shown
    assert "auth" not in shown
