"""The dependency for HTTP APIs behind a gateway: a request is the call of the tool that its `operationId` names."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterseal.verify import Verified
from counterseal.verify.starlette import CallToken
from tests.support.tokens import ISSUER
from tests.verify.serving import Said, Serving, fresh, serving, verifier


async def city(request: Request) -> dict[str, Any]:
    return {"city": request.path_params["city"]}


def service(check: CallToken) -> Starlette:
    async def get_weather(request: Request) -> JSONResponse:
        verified = await check(request)
        assert request.state.counterseal is verified
        return JSONResponse({"subject": verified.subject, "actors": verified.actors})

    return Starlette(routes=[Route("/weather/{city}", get_weather)])


def bound(**settings: Any) -> Starlette:
    return service(CallToken(verifier(**settings), operation="get_weather", arguments=city))


async def get(server: Serving, token: str | None, where: str = "Oslo") -> Said:
    return await server.ask(None, token, http="GET", path=f"/weather/{where}")


async def test_a_request_is_the_call_of_the_tool_that_it_implements() -> None:
    async with serving(bound()) as server:
        said = await get(server, fresh())
        assert (said.status, said.message) == (200, {"subject": "alice", "actors": ["agent-7"]})


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [
        (lambda: None, 401, "credential_missing"),
        (lambda: "csk_k3m9x0a7q2fz", 401, "invalid_token"),
        (lambda: fresh(aud="https://files.example.com"), 401, "audience"),
        (lambda: fresh(name="delete_all"), 403, "scope"),
        (lambda: fresh("tools/list", None), 403, "scope"),
        (lambda: fresh(arguments={"city": "Bergen"}), 403, "arguments"),
        (lambda: fresh(iat=1, nbf=1, exp=60), 401, "expired"),
        (lambda: fresh()[:-6] + "AAAAAA", 401, "invalid_token"),
    ],
)
async def test_a_bad_token_is_refused(make: Callable[[], str | None], status: int, reason: str) -> None:
    async with serving(bound()) as server:
        said = await get(server, make())
        assert (said.status, said.message.partition(":")[0]) == (status, reason)
        assert said.headers["www-authenticate"].startswith("Bearer")
        assert said.headers["cache-control"] == "no-store"
        assert (await get(server, fresh())).status == 200


async def test_a_token_is_good_once() -> None:
    async with serving(bound()) as server:
        presented = fresh()
        assert (await get(server, presented)).status == 200
        assert (await get(server, presented)).message.startswith("replayed")


async def test_without_arguments_everything_else_is_checked() -> None:
    async with serving(service(CallToken(verifier(), operation="get_weather"))) as server:
        presented = fresh(arguments={"city": "Bergen"})
        assert (await get(server, presented)).status == 200
        assert (await get(server, presented)).message.startswith("replayed")
        assert (await get(server, fresh(name="delete_all"))).message.startswith("scope")
        assert (await get(server, fresh(aud=ISSUER))).message.startswith("audience")


async def test_where_nobody_can_tell_it_is_503() -> None:
    async with serving(bound(jwks="http://127.0.0.1:1/jwks")) as server:
        said = await get(server, fresh())
        assert (said.status, said.headers["retry-after"]) == (503, "5")
        assert "www-authenticate" not in said.headers


async def test_the_operation_is_that_of_the_route_as_fastapi_names_it() -> None:
    """FastAPI keeps its route in the scope: `operation_id` is what somebody chose, `unique_id` what it makes up."""

    class Route_:
        def __init__(self, operation_id: str | None, unique_id: str) -> None:
            self.operation_id = operation_id
            self.unique_id = unique_id

    for route, name in ((Route_("getForecast", "x"), "getForecast"), (Route_(None, "forecast_get"), "forecast_get")):
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "route": route}
        value = f"Bearer {fresh(name=name)}".encode()
        request = Request({**scope, "headers": [(b"authorization", value)]})
        assert isinstance(await CallToken(verifier())(request), Verified)


async def test_the_name_is_that_of_the_tool_which_the_gateway_makes_of_an_operation() -> None:
    """docs/openapi.md: `_` for what is no letter, digit, underscore, hyphen or dot."""
    async with serving(service(CallToken(verifier(), operation="weather/get now"))) as server:
        assert (await get(server, fresh(name="weather_get_now"))).status == 200
        assert (await get(server, fresh(name="weather/get now"))).message.startswith("scope")


async def test_a_route_without_an_operation_is_an_error_and_no_pass() -> None:
    async with serving(service(CallToken(verifier()))) as server:
        assert (await get(server, fresh())).status == 500


@pytest.mark.party("fastapi")
async def test_fastapi_takes_it_as_a_dependency_of_one_operation_or_of_all() -> None:
    fastapi = importlib.import_module("fastapi")
    check = CallToken(verifier())
    one, all_of_them = fastapi.FastAPI(), fastapi.FastAPI(dependencies=[fastapi.Depends(check)])

    @one.get("/weather/{city}", operation_id="get_weather")
    def get_weather(city: str, verified: Verified = fastapi.Depends(check)) -> dict[str, str]:  # noqa: B008
        return {"city": city, "subject": verified.subject}

    @all_of_them.get("/weather/{city}", operation_id="get_weather")
    async def get_weather_too(city: str, request: Request) -> dict[str, str]:
        return {"city": city, "subject": request.state.counterseal.subject}

    for app in (one, all_of_them):
        async with serving(app) as server:
            assert (await get(server, fresh())).message == {"city": "Oslo", "subject": "alice"}
            for presented, status, reason in ((None, 401, "credential_missing"), (fresh(name="x"), 403, "scope")):
                said = await get(server, presented)
                assert (said.status, said.message["detail"].partition(":")[0]) == (status, reason)


def test_fastapi_can_read_what_the_dependency_takes() -> None:
    """It wants the class itself, where postponed annotations have its name."""
    assert inspect.signature(CallToken(verifier())).parameters["request"].annotation is Request


async def test_a_refusal_is_logged_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    presented = fresh(aud=ISSUER)
    async with serving(bound()) as server:
        await get(server, presented)
    assert "audience" in caplog.text
    assert presented.split(".")[1] not in caplog.text
