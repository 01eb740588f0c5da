"""The adapters for the official SDK: what is countersigned reaches a handler, by HTTP and without, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from starlette.requests import Request

from counterseal.verify import current_verified
from counterseal.verify.asgi import CountersealMiddleware
from counterseal.verify.mcp_sdk import CALL_TOKEN, CountersealServerMiddleware, CountersealTokenVerifier
from tests.support.calls import modern, tool_call
from tests.support.tokens import AUDIENCE, ISSUER
from tests.verify.serving import Session, fresh, serving, verifier

pytestmark = pytest.mark.party("python-client")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}}, "required": ["city"]}


def high_level(**settings: Any) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("weather", **settings)

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"{city} for {current_verified().subject}"

    return server


def low_level(*, middleware: list[Any]) -> Server[Any]:
    async def list_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="get_weather", input_schema=SCHEMA)])

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        text = f"{(params.arguments or {})['city']} for {current_verified().subject}"
        return CallToolResult(content=[TextContent(type="text", text=text)])

    server: Server[Any] = Server("weather", on_list_tools=list_tools, on_call_tool=call_tool)
    server.middleware.extend(middleware)
    return server


Build = Callable[..., Any]
both_levels = pytest.mark.parametrize("build", [high_level, low_level])

BAD: list[tuple[str, Callable[[], str | None], str]] = [
    ("no token", lambda: None, "credential_missing"),
    ("no call token", lambda: "csk_k3m9x0a7q2fz", "invalid_token"),
    ("another server's", lambda: fresh(aud="https://files.example.com/mcp"), "audience"),
    ("another tool's", lambda: fresh(name="delete_all"), "scope"),
    ("another method's", lambda: fresh("tools/list", None), "scope"),
    ("other arguments", lambda: fresh(arguments={"city": "Bergen"}), "arguments"),
    ("expired", lambda: fresh(iat=1, nbf=1, exp=60), "expired"),
    ("tampered", lambda: fresh()[:-6] + "AAAAAA", "invalid_token"),
]
every_bad_one = pytest.mark.parametrize(("make", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])


# ---- without HTTP (test_over_stdio.py has it with real servers) ----


@pytest.mark.parametrize("value", [None, 1, ["x"], {"token": "x"}, ""])
async def test_metadata_of_another_kind_is_no_token(value: Any) -> None:
    middleware = CountersealServerMiddleware(verifier())
    with pytest.raises(MCPError) as caught:
        await handled(middleware, "ping", {"_meta": {CALL_TOKEN: value}})
    assert caught.value.data["reason"] in ("credential_missing", "invalid_token")


# ---- every kind of message ----


async def handled(
    middleware: CountersealServerMiddleware,
    method: str,
    params: Any,
    *,
    request: Any = None,
    id: int | None = 1,
    revision: str = "2026-07-28",
) -> list[str]:
    """What reached the handler when the SDK gives the middleware such a message."""
    reached: list[str] = []

    async def handler(context: Any) -> None:
        reached.append(current_verified().scope)

    context: ServerRequestContext[Any, Any] = ServerRequestContext(
        session=None,  # type: ignore[arg-type]  # no handler here asks for it
        lifespan_context={},
        protocol_version=revision,
        method=method,
        params=params,
        request_id=id,
        request=request,
    )
    await middleware(context, handler)
    return reached


def http_request(*headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "headers": raw})


@pytest.mark.parametrize(
    ("method", "name", "params"),
    [
        ("initialize", None, {"protocolVersion": "2025-11-25"}),
        ("ping", None, None),
        ("tools/list", None, {}),
        ("resources/read", "file:///a", {"uri": "file:///a"}),
        ("prompts/get", "p", {"name": "p", "arguments": {"city": "Oslo"}}),
        ("completion/complete", "p", {"ref": {"type": "ref/prompt", "name": "p"}}),
        ("x/unknown", None, {}),
    ],
)
async def test_every_request_needs_its_own_token(method: str, name: str | None, params: Any) -> None:
    """S-07."""
    middleware = CountersealServerMiddleware(verifier())
    good = fresh(method, name)
    reached = await handled(middleware, method, {**(params or {}), "_meta": {CALL_TOKEN: good}})
    assert len(reached) == 1
    for bad in (fresh("logging/setLevel", None), fresh(method, "another"), good):
        with pytest.raises(MCPError):
            await handled(middleware, method, {**(params or {}), "_meta": {CALL_TOKEN: bad}})


async def test_a_notification_without_its_token_is_dropped() -> None:
    """There is nobody to answer."""
    middleware = CountersealServerMiddleware(verifier())
    good = {"_meta": {CALL_TOKEN: fresh("notifications/progress", None)}}
    assert await handled(middleware, "notifications/progress", {}, id=None) == []
    assert await handled(middleware, "notifications/progress", good, id=None) == ["mcp:notifications/progress"]


async def test_a_message_that_reads_in_two_ways_is_refused() -> None:
    middleware = CountersealServerMiddleware(verifier())
    for params in ({}, {"name": 1}, {"name": "get_weather", "arguments": []}):
        with pytest.raises(MCPError) as caught:
            await handled(middleware, "tools/call", {**params, "_meta": {CALL_TOKEN: fresh()}})
        assert caught.value.data == {"reason": "invalid_request"}


async def test_where_nobody_can_tell_there_is_no_pass() -> None:
    middleware = CountersealServerMiddleware(verifier(jwks="http://127.0.0.1:1/jwks"))
    with pytest.raises(MCPError) as caught:
        await handled(middleware, "tools/list", {"_meta": {CALL_TOKEN: fresh("tools/list", None)}})
    assert (caught.value.code, caught.value.data) == (50350, {"reason": "unavailable"})


async def test_a_transport_whose_requests_have_no_headers_carries_no_token() -> None:
    """Fail closed: a request that is there is never looked past into the metadata."""
    middleware = CountersealServerMiddleware(verifier())
    with pytest.raises(MCPError) as caught:
        await handled(middleware, "ping", {"_meta": {CALL_TOKEN: fresh("ping", None)}}, request=object())
    assert caught.value.data == {"reason": "credential_missing"}


async def test_outside_of_a_call_nobody_is_verified() -> None:
    with pytest.raises(LookupError, match="does an adapter guard this server"):
        current_verified()
    middleware = CountersealServerMiddleware(verifier())
    await handled(middleware, "ping", {"_meta": {CALL_TOKEN: fresh("ping", None)}})
    with pytest.raises(LookupError):
        current_verified()


# ---- over HTTP ----


@both_levels
async def test_over_http_the_token_is_the_bearer_token(build: Build) -> None:
    app = build(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    async with serving(app) as server:
        assert (await server.weather(fresh(), Mcp_Param_City="Oslo")).text == "Oslo for alice"


@both_levels
@every_bad_one
async def test_over_http_a_bad_token_is_a_json_rpc_error(
    build: Build, make: Callable[[], str | None], reason: str
) -> None:
    app = build(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    async with serving(app) as server:
        said = await server.weather(make(), Mcp_Param_City="Oslo")
        assert said.reason == reason
        assert "result" not in said.message
        assert (await server.weather(fresh(), Mcp_Param_City="Oslo")).text == "Oslo for alice"


async def test_over_http_a_token_in_the_metadata_is_none() -> None:
    app = high_level(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    message = tool_call("get_weather", {"city": "Oslo"})
    message["params"]["_meta"][CALL_TOKEN] = fresh()
    async with serving(app) as server:
        assert (await server.ask(message)).reason == "credential_missing"
        assert (await server.ask(message, fresh())).text == "Oslo for alice"


async def test_two_authorization_headers_are_refused() -> None:
    """J-27."""
    middleware = CountersealServerMiddleware(verifier())
    values = [f"Bearer {fresh('ping', None)}" for _ in range(2)]
    request = http_request(*(("authorization", value) for value in values))
    with pytest.raises(MCPError) as caught:
        await handled(middleware, "ping", None, request=request)
    assert caught.value.data == {"reason": "ambiguous_credentials"}
    request = http_request(("authorization", values[0]))
    assert len(await handled(middleware, "ping", None, request=request)) == 1


async def test_behind_the_asgi_middleware_a_token_is_checked_once() -> None:
    which = verifier()
    inner = high_level(middleware=[CountersealServerMiddleware(which)]).streamable_http_app()
    async with serving(CountersealMiddleware(inner, which), inner) as server:
        assert (await server.weather(fresh())).text == "Oslo for alice"
        refused = await server.weather(fresh(name="delete_all"))
        assert (refused.status, refused.reason) == (403, "scope")


# ---- what the SDK asks itself ----


async def test_the_sdk_still_holds_headers_against_the_schema() -> None:
    """It lists the tools for that, in the name of the same request, before the call."""
    app = low_level(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    async with serving(app) as server:
        assert (await server.weather(fresh(), Mcp_Param_City="Bergen")).status == 400
        assert (await server.weather(fresh(), Mcp_Param_City="Oslo")).status == 200


async def test_for_a_bad_token_the_sdk_lists_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = low_level(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    async with serving(app) as server:
        assert (await server.weather(fresh(iat=1, nbf=1, exp=60))).reason == "expired"
    assert "Traceback" not in caplog.text


async def test_no_caller_can_pass_a_list_off_as_the_sdks_own() -> None:
    """S-07: a legacy request may say anything in `Mcp-Method`, and a modern one has to say what its body says."""
    app = low_level(middleware=[CountersealServerMiddleware(verifier())]).streamable_http_app()
    async with serving(app) as server:
        session = await Session(server).open()
        said = await session.send("tools/list", {}, fresh(), Mcp_Method="tools/call")
        assert said.reason == "scope"
        assert "result" in (await session.send("tools/list", {}, fresh("tools/list", None))).message
        said = await server.ask(modern("tools/list"), fresh(), Mcp_Method="tools/call")
        assert (said.status, "result" in said.message) == (400, False)


# ---- sessions ----


@both_levels
async def test_each_call_of_a_session_knows_its_own_subject(build: Build) -> None:
    """A session's tasks were started by whoever opened it; no later call runs in that one's name."""
    which = verifier()
    for app, inner in (
        (within := build(middleware=[CountersealServerMiddleware(which)]).streamable_http_app(), within),
        (CountersealMiddleware(bare := build(middleware=[]).streamable_http_app(), which), bare),
    ):
        async with serving(app, inner) as server:
            session = await Session(server).open(sub="opener")
            for subject in ("alice", "bob", "alice"):
                assert (await session.weather(fresh(sub=subject))).text == f"Oslo for {subject}"


# ---- the token verifier ----


def with_auth(**settings: Any) -> MCPServer[Any]:
    which = verifier(**settings)
    auth = AuthSettings(issuer_url=ISSUER, resource_server_url=AUDIENCE, validate_token_resource=True)  # type: ignore[arg-type]
    server = high_level(
        auth=auth, token_verifier=CountersealTokenVerifier(which), middleware=[CountersealServerMiddleware(which)]
    )

    @server.tool()
    def whoami() -> dict[str, Any]:
        """What the SDK knows of the caller."""
        token = get_access_token()
        assert token is not None
        return token.model_dump()

    return server


async def test_with_auth_settings_the_sdk_answers_401_with_its_metadata() -> None:
    async with serving(with_auth().streamable_http_app()) as server:
        for presented in (None, "abc", fresh(aud=ISSUER), fresh(iat=1, nbf=1, exp=60)):
            said = await server.weather(presented)
            assert said.status == 401
            assert "resource_metadata=" in said.headers["www-authenticate"]
        document = await server.ask(None, http="GET", path="/.well-known/oauth-protected-resource/mcp")
        assert document.message["resource"] == AUDIENCE
        assert (await server.weather(fresh())).text == "Oslo for alice"


async def test_with_auth_settings_the_call_is_checked_behind_them() -> None:
    async with serving(with_auth().streamable_http_app()) as server:
        for presented, reason in (
            (fresh(name="delete_all"), "scope"),
            (fresh(arguments={"city": "Bergen"}), "arguments"),
        ):
            assert (await server.weather(presented)).reason == reason
        presented = fresh()
        assert (await server.weather(presented)).text == "Oslo for alice"
        assert (await server.weather(presented)).reason == "replayed"


async def test_the_sdks_access_token_has_the_caller_and_not_the_token() -> None:
    presented = fresh(name="whoami", arguments={}, jti="the-jti")
    async with serving(with_auth().streamable_http_app()) as server:
        said = await server.ask(tool_call("whoami"), presented)
    known = said.message["result"]["structuredContent"]
    assert (known["subject"], known["client_id"], known["scopes"]) == ("alice", "k1", ["mcp:tools/call:whoami"])
    assert (known["resource"], known["token"]) == (AUDIENCE, "the-jti")
    assert known["claims"]["act"] == {"sub": "agent-7"}
    assert presented not in str(said.message)


async def test_the_leeway_holds_for_the_sdk_too() -> None:
    import time

    now = int(time.time())
    over = {"iat": now - 60, "nbf": now - 60, "exp": now - 10}
    async with serving(with_auth().streamable_http_app()) as server:
        assert (await server.weather(fresh(**over))).text == "Oslo for alice"
    async with serving(with_auth(leeway=5).streamable_http_app()) as server:
        assert (await server.weather(fresh(**over))).status == 401


async def test_where_nobody_can_tell_the_sdk_neither_passes_nor_refuses_the_token() -> None:
    async with serving(with_auth(jwks="http://127.0.0.1:1/jwks").streamable_http_app()) as server:
        assert (await server.weather(fresh())).status == 500


async def test_why_a_token_was_refused_stands_in_the_log_without_it(caplog: pytest.LogCaptureFixture) -> None:
    presented = fresh(aud=ISSUER)
    assert await CountersealTokenVerifier(verifier()).verify_token(presented) is None
    assert "audience" in caplog.text
    assert presented.split(".")[1] not in caplog.text
