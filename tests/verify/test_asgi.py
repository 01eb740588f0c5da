"""The ASGI middleware: what is countersigned reaches the application as it came, and nothing else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.verify import Verified, Verifier, current_verified
from counterseal.verify.asgi import CountersealMiddleware
from tests.support.jwks_server import JwksServer
from tests.support.tokens import AUDIENCE, ISSUER, FixedClock, call_claims, jwk, jwks, private_key, token

CITY = {"city": "Oslo"}
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "get_weather", "arguments": CITY}}


class Application:
    """Answers 200 with the body that it got, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes, Verified | None]] = []
        self.last: dict[str, Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["type"] == "http" and scope["method"] == "POST":
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            self.last = await receive()
        self.seen.append((scope["type"], body, scope.get("counterseal")))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    count: int = 0
    json: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.headers.get(b"content-type") == b"application/json":
            self.json = json.loads(self.body)

    @property
    def reason(self) -> str:
        reason: str = self.json["error"]["data"]["reason"]
        return reason


async def ask(
    guarded: CountersealMiddleware,
    message: Any = None,
    authorization: str | list[str] | None = None,
    *,
    method: str = "POST",
    path: str = "/mcp",
    root_path: str = "",
    chunk: int = 0,
    type: str = "http",
    leave: bool = False,
    state: dict[str, Any] | None = None,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    """One request, in chunks if asked for. message: JSON, or the bytes of the body. more: headers beside the usual ones."""
    body = message if isinstance(message, bytes) else b"" if message is None else json.dumps(message).encode()
    values = authorization if isinstance(authorization, list) else [] if authorization is None else [authorization]
    headers = [(b"content-type", b"application/json"), *((b"authorization", value.encode()) for value in values), *more]
    parts = [body[at : at + chunk] for at in range(0, len(body), chunk)] if chunk and body else [body]
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": leave or at < len(parts) - 1}
        for at, part in enumerate(parts)
    ]
    events.append({"type": "http.disconnect"})
    sent: list[Any] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": type,
        "method": method,
        "path": path,
        "root_path": root_path,
        "headers": headers,
        "query_string": b"",
        **({} if state is None else {"state": state}),
    }
    await guarded(scope, receive, send)
    if not sent or type != "http":
        return Answer(sent[0].get("code", 0) if sent else 0, {}, b"", len(sent))
    joined = b"".join(event.get("body", b"") for event in sent[1:])
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), joined, len(sent))


def guard(**settings: Any) -> tuple[CountersealMiddleware, Application]:
    app = Application()
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), clock=FixedClock())
    return CountersealMiddleware(app, verifier, **settings), app


def bearer(method: str = "tools/call", name: str | None = "get_weather", arguments: Any = CITY, **changes: Any) -> str:
    return f"Bearer {token(call_claims(method, name, arguments, **changes))}"


# ---- what passes ----


@pytest.mark.parametrize("chunk", [0, 1, 7])
async def test_a_countersigned_call_reaches_the_application_as_it_came(chunk: int) -> None:
    guarded, app = guard()
    body = json.dumps(CALL, indent=2).encode()
    answer = await ask(guarded, body, bearer(), chunk=chunk)
    assert (answer.status, answer.body) == (200, body)
    ((_, seen, verified),) = app.seen
    assert seen == body
    assert isinstance(verified, Verified)
    assert (verified.subject, verified.actors, verified.jti) == ("alice", ("agent-7",), "j1")
    assert app.last == {"type": "http.disconnect"}


async def test_what_was_verified_is_where_frameworks_and_tools_look_for_it() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope["counterseal"], scope["state"]["counterseal"], current_verified(), scope["state"]["pool"]])
        seen.append(await asyncio.to_thread(current_verified))

    state = {"pool": "the application's"}
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), clock=FixedClock())
    await ask(CountersealMiddleware(app, verifier), CALL, bearer(), state=state)
    assert {each.jti for each in (*seen[:3], seen[4])} == {"j1"}
    assert seen[3] == "the application's"
    assert state == {"pool": "the application's"}  # it is shared between requests
    with pytest.raises(LookupError):
        current_verified()


async def test_an_answer_goes_back_piece_by_piece() -> None:
    """A stream is not gathered: each piece is out before the application makes the next one."""
    sent: list[bytes] = []
    at_each_step: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(3):
            at_each_step.append(len(sent))
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(CALL).encode(), "more_body": False}

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            sent.append(event["body"])

    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), clock=FixedClock())
    headers = [(b"authorization", bearer().encode())]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers, "query_string": b""}
    await CountersealMiddleware(app, verifier)(scope, receive, send)
    assert at_each_step == [0, 1, 2]
    assert sent == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n", b""]


@pytest.mark.parametrize(
    ("message", "method", "name", "arguments"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, "tools/list", None, None),
        ({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}, "initialize", None, None),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, "notifications/initialized", None, None),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "file:///a"}},
            "resources/read",
            "file:///a",
            None,
        ),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "completion/complete",
                "params": {"ref": {"type": "ref/prompt", "name": "p"}},
            },
            "completion/complete",
            "p",
            None,
        ),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, "io.counterseal/reply", None, None),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}, "io.counterseal/reply", None, None),
    ],
)
async def test_every_kind_of_message_needs_its_own_token(message: Any, method: str, name: Any, arguments: Any) -> None:
    guarded, app = guard()
    assert (await ask(guarded, message, bearer(method, name, arguments))).status == 200
    other = await ask(guarded, message, bearer("ping", None, None, jti="j2"))
    assert (other.status, len(app.seen)) == (403, 1)


@pytest.mark.parametrize(
    ("verb", "method"), [("GET", "io.counterseal/stream"), ("DELETE", "io.counterseal/end-session")]
)
async def test_get_and_delete_need_their_own_tokens(verb: str, method: str) -> None:
    guarded, app = guard()
    assert (await ask(guarded, None, bearer(method, None, None), method=verb)).status == 200
    refused = await ask(guarded, None, bearer(), method=verb)
    assert (refused.status, refused.json["id"], len(app.seen)) == (403, None, 1)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """RFC 9110 section 11.1."""
    guarded, _ = guard()
    assert (await ask(guarded, CALL, bearer().replace("Bearer", scheme))).status == 200


# ---- what is refused ----


async def refused(message: Any, authorization: Any, **request: Any) -> Answer:
    """Ask; the answer is a refusal, complete, and nothing reached the application."""
    guarded, app = guard()
    answer = await ask(guarded, message, authorization, **request)
    assert app.seen == []
    assert answer.count == 2
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.headers[b"content-length"] == str(len(answer.body)).encode()
    assert answer.headers[b"cache-control"] == b"no-store"
    assert answer.json["error"]["code"] > 0 or answer.status == 400
    assert answer.json["error"]["message"]
    return answer


async def test_without_a_token_there_is_a_challenge_and_no_error_in_it() -> None:
    """RFC 6750 section 3.1."""
    answer = await refused(CALL, None)
    assert (answer.status, answer.reason, answer.json["id"]) == (401, "credential_missing", 7)
    assert answer.headers[b"www-authenticate"] == b"Bearer"


async def test_the_challenge_leads_to_the_metadata_where_there_is_any() -> None:
    """RFC 9728 section 5.1."""
    place = "https://weather.example.com/.well-known/oauth-protected-resource/mcp"
    guarded, _ = guard(resource_metadata=place)
    named = f'resource_metadata="{place}"'
    for authorization, challenge in (
        (None, f"Bearer {named}"),
        ("Bearer abc", f'Bearer error="invalid_token", {named}'),
        (bearer(name="x"), f'Bearer error="insufficient_scope", scope="mcp:tools/call:get_weather", {named}'),
    ):
        assert (await ask(guarded, CALL, authorization)).headers[b"www-authenticate"].decode() == challenge
    assert b"www-authenticate" not in (await ask(guarded, CALL, [bearer(), bearer()])).headers


@pytest.mark.parametrize("place", ['https://x.example/"', "https://x.example/\r\n", "https://x.example/é", "a b"])
def test_a_place_that_would_spoil_the_header_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="resource_metadata"):
        guard(resource_metadata=place)


@pytest.mark.parametrize("value", ["", "Basic YTpi", "Token abc", "Bearer", "bearerabc", "\tBearer x"])
async def test_another_scheme_is_no_token(value: str) -> None:
    """J-27."""
    assert (await refused(CALL, value)).reason == "credential_missing"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v.replace(" ", "  "),
        lambda v: v.replace(" ", "\t"),
        lambda v: v + " ",
        lambda v: v + ",",
        lambda v: v + ", " + v,
        lambda v: v + " x",
        lambda v: "Bearer ",
    ],
)
async def test_the_header_is_the_scheme_one_space_and_one_token(spoil: Any) -> None:
    """J-27: double space, tab, comma-joined."""
    answer = await refused(CALL, spoil(bearer()))
    assert answer.status == 401
    assert answer.reason in ("credential_invalid", "credential_missing")


async def test_two_headers_are_refused_even_if_both_are_good() -> None:
    """J-27."""
    for values in ([bearer(), bearer(jti="j2")], [bearer(), bearer()], ["Basic YTpi", bearer()]):
        answer = await refused(CALL, values)
        assert (answer.status, answer.reason, answer.json["id"]) == (400, "ambiguous_credentials", 7)


async def test_a_bad_token_is_invalid_and_says_no_more_before_its_signature_holds() -> None:
    """J-30: equal bodies for every reason."""
    bodies = set()
    for presented in (
        "abc",
        token(call_claims(), key=private_key("ES256", "other")),
        token(call_claims(), header={"kid": "x"}),
        token(call_claims(arguments=CITY, iss="https://x.example")),
    ):
        answer = await refused(CALL, f"Bearer {presented}")
        assert (answer.status, answer.reason, answer.json["id"]) == (401, "invalid_token", 7)
        assert answer.headers[b"www-authenticate"] == b'Bearer error="invalid_token"'
        bodies.add(answer.body)
    assert len(bodies) == 1


async def test_another_servers_token_is_401_and_says_how_the_audience_differs() -> None:
    answer = await refused(CALL, bearer(aud=AUDIENCE + "/"))
    assert (answer.status, answer.reason) == (401, "audience")
    assert "slash at the end" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (lambda: bearer(name="delete_all"), "scope"),
        (lambda: bearer(arguments={"city": "Bergen"}), "arguments"),
        (lambda: bearer("tools/list", None, None), "scope"),
    ],
)
async def test_another_calls_token_is_403_with_the_scope_that_is_needed(authorization: Any, reason: str) -> None:
    answer = await refused(CALL, authorization())
    assert (answer.status, answer.reason, answer.json["id"]) == (403, reason, 7)
    challenge = b'Bearer error="insufficient_scope", scope="mcp:tools/call:get_weather"'
    assert answer.headers[b"www-authenticate"] == challenge


async def test_the_scope_that_is_needed_is_named_as_the_servers_tokens_name_it() -> None:
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), clock=FixedClock(), profile="litellm")
    other = "mcp:tools/call mcp:tools/delete_all:call"
    presented = token(call_claims(name="delete_all", arguments=CITY, scope=other), header={"typ": "JWT"})
    answer = await ask(CountersealMiddleware(Application(), verifier), CALL, f"Bearer {presented}")
    assert answer.status == 403
    scope = b"mcp:tools/call mcp:tools/get_weather:call"
    assert answer.headers[b"www-authenticate"] == b'Bearer error="insufficient_scope", scope="' + scope + b'"'


async def test_a_name_of_any_length_or_text_makes_a_sound_header() -> None:
    for name in ('a"b\r\nX: y', "é" * 200_000):
        message = {**CALL, "params": {"name": name}}
        answer = await refused(message, bearer())
        assert answer.status == 403
        value = answer.headers[b"www-authenticate"]
        assert len(value) < 1000
        assert b"\r" not in value
        assert value.count(b'"') in (2, 4)


async def test_a_token_is_good_once() -> None:
    guarded, app = guard()
    value = bearer()
    assert (await ask(guarded, CALL, value)).status == 200
    again = await ask(guarded, CALL, value)
    assert (again.status, again.reason, len(app.seen)) == (401, "replayed", 1)


# ---- bodies ----


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "parse_error"),
        (b"{", 400, "parse_error"),
        (b'{"id":7,"id":8}', 400, "parse_error"),
        (json.dumps(CALL).encode("utf-16"), 400, "parse_error"),
        (b"\xef\xbb\xbf" + json.dumps(CALL).encode(), 400, "parse_error"),
        (json.dumps(CALL).replace("get_weather", "get_weather\\ud800").encode(), 400, "parse_error"),
        (json.dumps(CALL).encode() + b"x", 400, "parse_error"),
        (b'{"method":"x","params":' + b"[" * 100 + b"]" * 100 + b"}", 413, "too_large"),
        (b"1", 400, "invalid_request"),
        (b"null", 400, "invalid_request"),
        (b"{}", 400, "invalid_request"),
        (json.dumps({**CALL, "params": {}}).encode(), 400, "invalid_request"),
        (json.dumps({**CALL, "result": {}}).encode(), 400, "invalid_request"),
    ],
)
async def test_a_body_that_could_be_read_in_two_ways_is_refused(body: bytes, status: int, reason: str) -> None:
    answer = await refused(body, bearer())
    assert (answer.status, answer.reason) == (status, reason)


@pytest.mark.parametrize("batch", [[], [CALL], [CALL, CALL]])
async def test_batches_are_refused(batch: Any) -> None:
    answer = await refused(batch, bearer())
    assert (answer.status, answer.reason, answer.json["id"]) == (400, "batch_not_allowed", None)


async def test_a_missing_token_is_said_before_anything_about_the_body() -> None:
    for body in (b"{", [CALL], {"id": "x"}):
        assert (await refused(body, None)).status == 401


async def test_bodies_end_at_4_mib() -> None:
    """n and n + 1, in one piece and in several."""
    guarded, app = guard()
    body = json.dumps(CALL).encode()
    body += b" " * (LIMITS.body_bytes - len(body))
    assert (await ask(guarded, body, bearer(), chunk=1 << 20)).status == 200
    for chunk in (0, 1 << 20):
        answer = await ask(guarded, body + b" ", bearer(jti="j2"), chunk=chunk)
        assert (answer.status, answer.reason, len(app.seen)) == (413, "too_large", 1)


async def test_who_leaves_before_the_end_of_the_body_gets_no_answer() -> None:
    guarded, app = guard()
    answer = await ask(guarded, CALL, bearer(), leave=True)
    assert (answer.count, app.seen) == (0, [])


@pytest.mark.parametrize(
    ("id", "said"), [("a", "a"), (0, 0), (-1, -1), (None, None), (True, None), (1.5, None), ([1], None), (2**60, None)]
)
async def test_a_refusal_answers_to_an_id_only_if_it_is_one(id: Any, said: Any) -> None:
    assert (await refused({**CALL, "id": id}, None)).json["id"] == said


# ---- what is guarded ----


@pytest.mark.parametrize("verb", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "post"])
async def test_other_verbs_reach_nothing(verb: str) -> None:
    answer = await refused(None, bearer(), method=verb)
    assert answer.status == 405
    assert answer.headers[b"allow"] == b"POST, GET, DELETE"


@pytest.mark.parametrize(
    ("path", "root_path", "guarded"),
    [
        ("/mcp", "", True),
        ("/mcp/", "", True),
        ("/mcp/x", "", True),
        ("/api/mcp", "/api", True),
        ("/mcp", "/api", True),
        ("/mcpx", "", False),
        ("/", "", False),
        ("/health", "", False),
        ("/api/mcp", "", False),
    ],
)
async def test_paths_are_guarded_with_all_below_them_and_others_pass_untouched(
    path: str, root_path: str, guarded: bool
) -> None:
    middleware, app = guard(paths=("/mcp/",))
    answer = await ask(middleware, CALL, None, path=path, root_path=root_path)
    assert (answer.status, len(app.seen)) == ((401, 0) if guarded else (200, 1))
    if not guarded:
        assert app.seen[0][2] is None


async def test_without_paths_everything_is_guarded() -> None:
    for path in ("/", "/health", "/mcp", ""):
        assert (await refused(CALL, None, path=path)).status == 401
    middleware, app = guard(paths=("/",))
    assert (await ask(middleware, CALL, None, path="/x")).status == 401
    assert app.seen == []


@pytest.mark.parametrize("paths", ["/mcp", (), ("mcp",), ("",), ("/mcp", "x")])
def test_paths_that_would_guard_nothing_are_refused(paths: Any) -> None:
    guard(paths=("/mcp",))
    with pytest.raises(ValueError, match="paths"):
        guard(paths=paths)


async def test_paths_that_can_be_read_only_once_are_guarded_like_others() -> None:
    middleware, _ = guard(paths=(path for path in ["/mcp"]))  # type: ignore[arg-type]
    assert middleware.guards({"path": "/mcp/x"})
    assert not middleware.guards({"path": "/health"})
    with pytest.raises(ValueError, match="paths"):
        guard(paths=(path for path in []))  # type: ignore[arg-type]


async def test_lifespan_passes_and_websockets_are_closed() -> None:
    guarded, app = guard()
    await ask(guarded, None, None, type="lifespan")
    assert [seen[0] for seen in app.seen] == ["lifespan"]
    assert (await ask(guarded, None, bearer(), type="websocket")).status == 1008
    assert len(app.seen) == 1
    elsewhere, app = guard(paths=("/mcp",))
    await ask(elsewhere, None, None, type="websocket", path="/other")
    assert len(app.seen) == 1


async def test_an_error_of_the_application_is_the_applications() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug of the application")

    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), clock=FixedClock())
    with pytest.raises(RuntimeError, match="of the application"):
        await ask(CountersealMiddleware(broken, verifier), CALL, bearer())


async def test_a_refusal_is_logged_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    value = bearer(aud=ISSUER)
    await refused(CALL, value)
    assert "audience" in caplog.text
    assert value.split(".")[1] not in caplog.text


# ---- with keys from a server ----


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer(jwks("ES256")) as running:
        yield running


async def test_start_rotation_outage_and_recovery(server: JwksServer) -> None:
    """K-06, K-08, K-13: from the first call to the last, as a server sees its gateway."""
    clock, app = FixedClock(), Application()
    guarded = CountersealMiddleware(app, Verifier(issuer=server.origin, audience=AUDIENCE, clock=clock))
    numbers = iter(range(1000))

    def value(kid: str = "ES256") -> str:
        now = clock.wall()
        claims = call_claims(arguments=CITY, iss=server.origin, iat=now, nbf=now, exp=now + 60, jti=f"j{next(numbers)}")
        return f"Bearer {token(claims, header={'kid': kid}, key=private_key('ES256', '' if kid == 'ES256' else kid))}"

    first = await asyncio.gather(*(ask(guarded, CALL, value()) for _ in range(50)))
    assert {answer.status for answer in first} == {200}
    assert server.count == 1

    server.document = {"keys": [*jwks("ES256")["keys"], jwk(private_key("ES256", "next"), kid="next", alg="ES256")]}
    assert (await ask(guarded, CALL, value("next"))).status == 200
    assert server.count == 2

    server.fail(500)
    clock.advance(300)
    assert (await ask(guarded, CALL, value())).status == 200
    unknown = await ask(guarded, CALL, value("later"))
    assert (unknown.status, unknown.reason) == (503, "unavailable")

    clock.advance(3600)
    seen = len(app.seen)
    out = await ask(guarded, CALL, value())
    assert (out.status, out.reason, out.json["id"]) == (503, "unavailable", 7)
    assert out.headers[b"retry-after"] == b"5"
    assert b"www-authenticate" not in out.headers
    assert len(app.seen) == seen

    server.recover()
    clock.advance(1)
    assert (await ask(guarded, CALL, value("next"))).status == 200
    assert (await ask(guarded, CALL, value("later"))).status == 401
