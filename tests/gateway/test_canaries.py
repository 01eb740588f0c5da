"""Credentials go where they belong and nowhere else (M-19): every byte that leaves is searched for them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from counterseal.core.call import Era, Inbound
from counterseal.core.caller import Channel
from counterseal.errors import CallError
from counterseal.servers.streamable_http import Destination
from counterseal.wire.rounds import TASKS
from tests.gateway.building import ALICE, CALLERS, CELLS, Built, built, legacy, modern, request_of, task
from tests.identity.channels import CHANNELS, claims, rules
from tests.servers.permits import PARAMS, read
from tests.support.hostile import Heard, HostileServer, Line, chunked, event, plain, response, whole
from tests.support.tokens import token

KEY = b"key-of-alice"
WEATHERS, FILES = "weather-credential-canary-81f2", "files-credential-canary-97ac"
SENT_ALONG = (
    (b"cookie", b"session=cookie-canary"),
    (b"proxy-authorization", b"Basic proxy-canary"),
    (b"x-forwarded-for", b"10.0.0.1, forwarded-canary"),
    (b"x-forwarded-host", b"forwarded-canary.example"),
    (b"x-original-url", b"/forwarded-canary"),
    (b"forwarded", b"for=forwarded-canary"),
    (b"x-user", b"header-canary"),
    (b"email", b"header-canary@example.com"),
    (b"user_id", b"header-canary"),
    (b"x-mcp-channel-token", b"header-canary"),
    (b"x-channel-token", b"header-canary"),
    (b"user-agent", b"agent-canary"),
    (b"accept-language", b"header-canary"),
    (b"connection", b"authorization, header-canary"),
    (b"te", b"trailers, header-canary"),
    (b"expect", b"header-canary"),
    (b"traceparent", b"00-header-canary"),
    (b"host", b"host-canary.example"),
    (b"origin", b"https://origin-canary.example"),
    (b"x-counterseal-debug", b"header-canary"),
)


def spellings(secret: bytes) -> list[bytes]:
    """The secret itself, and what could be made of it."""
    made = [secret, secret[::-1], base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")]
    made += [secret.hex().encode(), secret[:12], secret[-12:]]
    for digest in (hashlib.sha256(secret), hashlib.md5(secret), hashlib.sha1(secret)):
        made += [digest.hexdigest().encode(), digest.hexdigest()[:16].encode()]
        made += [base64.b64encode(digest.digest()).rstrip(b"="), base64.urlsafe_b64encode(digest.digest()).rstrip(b"=")]
    return made


def assert_clean(text: bytes, *secrets: bytes) -> None:
    """Also where a token hides it in its segments."""
    readable = [text]
    for word in text.replace(b'"', b" ").split():
        for segment in word.split(b"."):
            try:
                readable.append(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
            except ValueError:
                continue
    for secret in secrets:
        for spelling in spellings(secret):
            for place in readable:
                assert spelling not in place, f"{spelling!r} leaked"


def test_the_search_finds_what_it_is_to_find() -> None:
    token = "e30." + base64.urlsafe_b64encode(b'{"sub": "key-of-alice"}').decode().rstrip("=") + ".c2ln"
    hashed = hashlib.sha256(KEY).hexdigest()
    for leak in (b"x key-of-alice x", token.encode(), f"apikey:{hashed}".encode(), base64.b64encode(KEY)):
        with pytest.raises(AssertionError):
            assert_clean(leak, KEY)
    assert_clean(b"nothing to see", KEY)


@pytest.fixture
def weather() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def files() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


def two(weather: HostileServer, files: HostileServer) -> Any:
    """A gateway with two servers, each with a credential of its own."""
    other = Destination("files", files.url, "Authorization", (("X-Files-Key", FILES),), "counterseal/test")
    return built(weather, static=(("X-Weather-Key", WEATHERS),), others={"files": other})


def with_more(inbound: Inbound) -> Inbound:
    return Inbound(inbound.verb, inbound.server, (*inbound.headers, *SENT_ALONG), inbound.body, inbound.peer)


async def told(gateway: Built, inbound: Inbound) -> bytes:
    """Everything that the caller gets to see."""
    try:
        reply = await gateway.handler.handle(inbound)
        return b"\n".join([*(name + b": " + value for name, value in reply.headers), await read(reply)])
    except CallError as error:
        return f"{error.message} {error.data} {error.headers}".encode()


@pytest.mark.parametrize("cell", CELLS, ids=[f"{era.value} {method}" for era, method in CELLS])
async def test_m_19_nothing_that_the_caller_sends_about_itself_reaches_a_server(
    weather: HostileServer, files: HostileServer, cell: tuple[Era, str]
) -> None:
    async with two(weather, files) as gateway:
        out = await told(gateway, with_more(request_of(cell, gateway)))
        (heard,) = weather.seen
        assert_clean(heard.raw.replace(WEATHERS.encode(), b""), KEY, FILES.encode(), b"canary")
        assert heard.all("x-weather-key") == [WEATHERS]
        assert_clean(out, KEY, WEATHERS.encode(), FILES.encode(), heard.token.encode())
        assert files.calls == 0


@pytest.mark.parametrize("cell", CELLS, ids=[f"{era.value} {method}" for era, method in CELLS])
async def test_i_11_a_channel_token_reaches_no_server_and_no_record(
    weather: HostileServer, cell: tuple[Era, str]
) -> None:
    """Verified or ignored: what goes on is what it says about the channel, signed by us."""
    presented = token(claims()).encode()
    secrets = (presented, presented.rpartition(b".")[2])
    for taken, said in ((rules(), "verified"), (rules(trusted=None), "ignored")):
        async with built(weather, channel=taken) as gateway:
            inbound = request_of(cell, gateway)
            caller = dataclasses.replace(ALICE, channel=Channel(issuer=CHANNELS, subject="line-1", client_id="app"))
            if taken.trusted is not None and cell[1] in TASKS:
                inbound = modern(cell[1], {**PARAMS[cell[1]], "taskId": task(caller=caller)})
            if taken.trusted is not None and cell[1] != "initialize" and inbound.all(b"mcp-session-id"):
                session = (b"mcp-session-id", gateway.sealed(caller))
                others = tuple(pair for pair in inbound.headers if pair[0] != b"mcp-session-id")
                inbound = Inbound(inbound.verb, inbound.server, (*others, session), inbound.body, inbound.peer)
            headers = (*inbound.headers, (b"x-channel-token", b"Bearer " + presented))
            out = await told(gateway, Inbound(inbound.verb, inbound.server, headers, inbound.body, inbound.peer))
            assert_clean(weather.seen[-1].raw, *secrets)
            assert_clean(json.dumps(gateway.entries).encode() + out, *secrets)
            assert [entry["channel_token"] for entry in gateway.entries if entry["event"] == "intent"] == [said]


async def test_m_19_a_servers_own_credential_goes_to_that_server_alone(
    weather: HostileServer, files: HostileServer
) -> None:
    async with two(weather, files) as gateway:
        for server in ("weather", "files", "weather", "files"):
            await told(gateway, modern(server=server))
        for heard in weather.seen:
            assert_clean(heard.raw, FILES.encode(), KEY)
        for heard in files.seen:
            assert_clean(heard.raw, WEATHERS.encode(), KEY)
        tokens = {heard.token for heard in (*weather.seen, *files.seen)}
        assert len(tokens) == 4
        assert_clean(
            json.dumps(gateway.entries).encode(), KEY, WEATHERS.encode(), FILES.encode(), *map(str.encode, tokens)
        )


def echo(heard: Heard, line: Line) -> None:
    """Sends back all it heard, in the headers; the body is a good answer."""
    copies = {f"x_{name}": value for name, value in heard.headers if name.lower() not in ("host", "content-length")}
    line.send(whole(response(heard), set_cookie=f"token={heard.token}", mcp_session_id=heard.token[:900], **copies))


def refuses(status: str, **more: str) -> Callable[[Heard, Line], None]:
    def answer(heard: Heard, line: Line) -> None:
        text = f"you sent {heard.raw!r}".encode()
        line.send(whole(text, status, content_type="text/plain", **more))

    return answer


def lies(heard: Heard, line: Line) -> None:
    line.send(whole(heard.raw))


def breaks(heard: Heard, line: Line) -> None:
    line.send(heard.raw)
    line.close()


def lies_in_events(heard: Heard, line: Line) -> None:
    line.send(chunked(event(heard.raw.replace(b"\r\n", b" "))))


ECHOES = {
    "headers": echo,
    "400": refuses("400 Bad Request"),
    "401": refuses("401 Unauthorized", www_authenticate='Bearer realm="x"'),
    "403": refuses("403 Forbidden"),
    "404": refuses("404 Not Found"),
    "500": refuses("500 Oops"),
    "302": refuses("302 Found", location="http://127.0.0.1:1/?token="),
    "not JSON": lies,
    "not HTTP": breaks,
    "not JSON in events": lies_in_events,
}


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES.keys())
async def test_m_19_a_server_that_echoes_what_it_got_tells_the_caller_nothing(
    weather: HostileServer, files: HostileServer, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    weather.answer = answer
    async with two(weather, files) as gateway:
        for inbound in (modern(), legacy(session=gateway.sealed())):
            out = await told(gateway, inbound)
            secrets = (WEATHERS.encode(), weather.seen[-1].token.encode(), KEY)
            assert_clean(out, *secrets)
            assert_clean(json.dumps(gateway.entries).encode(), *secrets)
            assert_clean(caplog.text.encode(), *secrets)


async def test_m_09_neither_side_sees_the_session_id_of_the_other(weather: HostileServer, files: HostileServer) -> None:
    server_id = "session-canary-of-the-server"

    def answer(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "initialize":
            line.send(whole(response(heard), mcp_session_id=server_id))
        else:
            plain(heard, line)

    weather.answer = answer
    async with two(weather, files) as gateway:
        opened = await gateway.handler.handle(legacy("initialize"))
        sealed = dict(opened.headers)[b"mcp-session-id"]
        out = await told(gateway, legacy(session=sealed))
        assert weather.seen[1].all("mcp-session-id") == [server_id]
        assert_clean(weather.seen[1].raw, sealed)
        assert_clean(out + sealed, server_id.encode())
        assert sealed in out


async def test_refusals_say_nothing_of_credentials_either(
    weather: HostileServer, files: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with two(weather, files) as gateway:
        for bad in (b"a.b.credential-canary", b"csk_credential-canary", b"credential-canary"):
            out = await told(gateway, with_more(modern(key=bad)))
            assert_clean(out, b"canary", *CALLERS)
        assert_clean(json.dumps(gateway.entries).encode() + caplog.text.encode(), b"canary", *CALLERS)
        assert weather.calls == 0
