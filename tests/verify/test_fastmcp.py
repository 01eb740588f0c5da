"""The adapters for FastMCP 4: `auth=` alone guards a server over HTTP, and the middleware guards one without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.dependencies import Depends
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import MultiAuth, RemoteAuthProvider
from fastmcp.server.dependencies import get_access_token
from mcp import MCPError
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount

from counterseal.verify import Verified, current_verified
from counterseal.verify.asgi import CountersealMiddleware
from counterseal.verify.fastmcp import CountersealAuth, CountersealCallMiddleware
from tests.support.calls import modern, tool_call
from tests.support.tokens import AUDIENCE, ISSUER
from tests.verify.serving import Session, fresh, serving, verifier

pytestmark = pytest.mark.party("fastmcp")

AUTHORIZATION_SERVER = "https://login.example.com"


def build(**settings: Any) -> FastMCP[Any]:
    server: FastMCP[Any] = FastMCP("weather", **settings)

    @server.tool
    def get_weather(city: str, verified: Verified = Depends(current_verified)) -> str:  # noqa: B008
        """The weather in a city. Runs in a thread."""
        return f"{city} for {verified.subject}"

    @server.tool
    async def whoami() -> dict[str, Any]:
        """What FastMCP knows of the caller."""
        token = get_access_token()
        assert token is not None
        return token.model_dump()

    @server.tool
    async def twice(city: str) -> str:
        """Calls another tool of the same server."""
        result = await server.call_tool("get_weather", {"city": city})
        return f"{result.content[0].text}, again"  # type: ignore[union-attr]

    @server.custom_route("/health", methods=["GET"])
    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    return server


def guarded(**settings: Any) -> FastMCP[Any]:
    return build(auth=CountersealAuth(verifier(), **settings))


BAD: list[tuple[str, Callable[[], str | None], int, str]] = [
    ("no token", lambda: None, 401, "credential_missing"),
    ("no call token", lambda: "csk_k3m9x0a7q2fz", 401, "invalid_token"),
    ("another server's", lambda: fresh(aud="https://files.example.com/mcp"), 401, "audience"),
    ("another tool's", lambda: fresh(name="whoami"), 403, "scope"),
    ("another method's", lambda: fresh("tools/list", None), 403, "scope"),
    ("other arguments", lambda: fresh(arguments={"city": "Bergen"}), 403, "arguments"),
    ("expired", lambda: fresh(iat=1, nbf=1, exp=60), 401, "expired"),
    ("tampered", lambda: fresh()[:-6] + "AAAAAA", 401, "invalid_token"),
]
every_bad_one = pytest.mark.parametrize(
    ("make", "status", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)


# ---- auth= alone ----


async def test_a_countersigned_call_reaches_the_tool_and_the_tool_asks_for_whom() -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        assert (await server.weather(fresh())).text == "Oslo for alice"


@every_bad_one
async def test_a_bad_token_is_refused_before_fastmcp(make: Callable[[], str | None], status: int, reason: str) -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        said = await server.weather(make())
        assert (said.status, said.reason) == (status, reason)
        assert (await server.weather(fresh())).text == "Oslo for alice"


async def test_a_token_is_good_once() -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        presented = fresh()
        assert (await server.weather(presented)).status == 200
        assert (await server.weather(presented)).reason == "replayed"


async def test_every_message_needs_its_own_token() -> None:
    """S-07."""
    async with serving(guarded().http_app(path="/mcp")) as server:
        assert (await server.ask(modern("tools/list"), fresh("tools/list", None))).status == 200
        assert (await server.ask(modern("tools/list"), fresh())).reason == "scope"
        assert (await server.ask(modern("server/discover"), None)).reason == "credential_missing"


async def test_in_a_session_streams_answers_and_its_end_need_tokens_of_their_own() -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        session = await Session(server).open()
        assert (await session.weather(fresh())).text == "Oslo for alice"
        answer = {"jsonrpc": "2.0", "id": 7, "result": {}}
        for http, message in (("GET", None), ("DELETE", None), ("POST", {**answer, "params": {}, "method": "ping"})):
            said = await server.ask(message, fresh(), http=http)
            assert "error" in said.message
            assert said.status in (400, 403)
        said = await server.ask(None, fresh("io.counterseal/end-session", None), http="DELETE", Mcp_Session_Id="x")
        assert said.status != 403


async def test_each_call_of_a_session_knows_its_own_subject() -> None:
    """The session is its opener's: FastMCP and the SDK hold its calls to one caller, and the tool sees each call's subject."""
    async with serving(guarded().http_app(path="/mcp")) as server:
        session = await Session(server).open()
        for _ in range(2):
            assert (await session.weather(fresh())).text == "Oslo for alice"
        assert (await session.weather(fresh(sub="bob"))).status == 404


async def test_fastmcps_access_token_has_the_caller_and_not_the_token() -> None:
    presented = fresh(name="whoami", arguments={}, jti="the-jti")
    async with serving(guarded().http_app(path="/mcp")) as server:
        said = await server.ask(tool_call("whoami"), presented)
    known = said.message["result"]["structuredContent"]
    assert (known["subject"], known["client_id"], known["scopes"]) == ("alice", "k1", ["mcp:tools/call:whoami"])
    assert (known["resource"], known["token"], known["claims"]["act"]) == (AUDIENCE, "the-jti", {"sub": "agent-7"})
    assert presented not in str(said.message)


async def test_what_one_tool_calls_of_its_own_server_is_no_call_of_anybody_else() -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        said = await server.ask(tool_call("twice", {"city": "Oslo"}), fresh(name="twice"))
        assert said.text == "Oslo for alice, again"


async def test_the_owners_routes_stay_open() -> None:
    async with serving(guarded().http_app(path="/mcp")) as server:
        for presented in (None, "abc", fresh()):
            said = await server.ask(None, presented, http="GET", path="/health")
            assert (said.status, said.message) == (200, "ok")


async def test_where_nobody_can_tell_it_is_503() -> None:
    app = build(auth=CountersealAuth(verifier(jwks="http://127.0.0.1:1/jwks"))).http_app(path="/mcp")
    async with serving(app) as server:
        said = await server.weather(fresh())
        assert (said.status, said.reason) == (503, "unavailable")


# ---- the challenge ----


async def test_without_authorization_servers_there_is_no_metadata() -> None:
    """As with FastMCP's own verifiers."""
    async with serving(guarded().http_app(path="/mcp")) as server:
        assert (await server.weather(None)).headers["www-authenticate"] == "Bearer"
        assert (await server.weather("abc")).headers["www-authenticate"] == 'Bearer error="invalid_token"'
        missing = await server.ask(None, http="GET", path="/.well-known/oauth-protected-resource/mcp")
        assert missing.status == 404


async def test_with_authorization_servers_the_challenge_leads_to_the_metadata() -> None:
    """RFC 9728 section 5.1."""
    app = guarded(authorization_servers=[AUTHORIZATION_SERVER]).http_app(path="/mcp")
    place = "https://weather.example.com/.well-known/oauth-protected-resource/mcp"
    async with serving(app) as server:
        assert (await server.weather(None)).headers["www-authenticate"] == f'Bearer resource_metadata="{place}"'
        challenge = (await server.weather(fresh(name="whoami"))).headers["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_scope", scope="mcp:tools/call:get_weather"')
        assert challenge.endswith(f', resource_metadata="{place}"')
        document = await server.ask(None, http="GET", path="/.well-known/oauth-protected-resource/mcp")
        assert document.message["resource"] == AUDIENCE
        assert document.message["authorization_servers"] == [f"{AUTHORIZATION_SERVER}/"]


# ---- where it is mounted ----


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/deep/er", "/"])
async def test_it_guards_the_address_of_mcp_wherever_that_is(path: str) -> None:
    async with serving(guarded().http_app(path=path)) as server:
        assert (await server.weather(None, path=path)).reason == "credential_missing"
        assert (await server.weather(fresh(), path=path)).text == "Oslo for alice"


async def test_one_auth_guards_several_applications() -> None:
    auth = CountersealAuth(verifier())
    apps = [build(auth=auth).http_app(path=path) for path in ("/one", "/two")]
    for app, path in zip(apps, ("/one", "/two"), strict=True):
        async with serving(app) as server:
            assert (await server.weather(None, path=path)).reason == "credential_missing"
            assert (await server.weather(fresh(), path=path)).text == "Oslo for alice"


async def test_it_guards_an_application_that_is_mounted_in_another() -> None:
    inner = guarded().http_app(path="/mcp")
    outer = Starlette(routes=[Mount("/weather", app=inner)], lifespan=inner.lifespan)
    async with serving(outer) as server:
        assert (await server.weather(None, path="/weather/mcp")).reason == "credential_missing"
        assert (await server.weather(fresh(), path="/weather/mcp")).text == "Oslo for alice"
        assert (await server.ask(None, http="GET", path="/weather/health")).status == 200


async def test_of_an_sse_application_it_guards_everything() -> None:
    async with serving(guarded().http_app(path="/sse", transport="sse")) as server:
        assert (await server.ask(None, http="GET", path="/sse")).reason == "credential_missing"
        assert (await server.ask(modern("tools/list"), None, path="/messages/")).reason == "credential_missing"
        assert (await server.ask(None, fresh(), http="GET", path="/sse")).reason == "scope"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda auth: RemoteAuthProvider(auth, [AnyHttpUrl(AUTHORIZATION_SERVER)], base_url="http://127.0.0.1:8000"),
        lambda auth: MultiAuth(server=auth, server_source_id="a", base_url="http://127.0.0.1:8000"),
    ],
    ids=["RemoteAuthProvider", "MultiAuth"],
)
async def test_inside_of_another_provider_it_refuses_everything(wrap: Callable[[CountersealAuth], Any]) -> None:
    """It would see tokens there and no calls, so a token for one tool would do for every tool."""
    async with serving(build(auth=wrap(CountersealAuth(verifier()))).http_app(path="/mcp")) as server:
        assert (await server.weather(fresh())).status == 401


# ---- the middleware ----


async def test_the_middleware_alone_guards_calls_over_http_too() -> None:
    app = build(middleware=[CountersealCallMiddleware(verifier())]).http_app(path="/mcp")
    async with serving(app) as server:
        assert (await server.weather(fresh())).text == "Oslo for alice"
        for _, make, _, reason in BAD:
            said = await server.weather(make())
            assert (said.reason, "result" in said.message) == (reason, False)
        presented = fresh()
        assert (await server.weather(presented)).status == 200
        assert (await server.weather(presented)).reason == "replayed"
        said = await server.ask(tool_call("twice", {"city": "Oslo"}), fresh(name="twice"))
        assert said.text == "Oslo for alice, again"


async def test_the_middleware_takes_the_word_of_the_guard_in_front() -> None:
    which = verifier()
    server = build(auth=CountersealAuth(which), middleware=[CountersealCallMiddleware(which)])
    async with serving(server.http_app(path="/mcp")) as running:
        assert (await running.weather(fresh())).text == "Oslo for alice"
        assert (await running.weather(fresh(name="whoami"))).reason == "scope"


async def test_the_middleware_refuses_what_no_message_asked_for() -> None:
    server = build(middleware=[CountersealCallMiddleware(verifier())])
    with pytest.raises((MCPError, ToolError), match="no message asked for this"):
        await server.call_tool("get_weather", {"city": "Oslo"})


async def test_the_plain_asgi_middleware_works_in_front_as_well() -> None:
    inner = build().http_app(path="/mcp")
    async with serving(CountersealMiddleware(inner, verifier(), paths=["/mcp"]), inner) as server:
        assert (await server.weather(fresh())).text == "Oslo for alice"
        assert (await server.weather(fresh(aud=ISSUER))).reason == "audience"
