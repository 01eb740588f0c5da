"""`/readyz`: what keeps the gateway from its work, and what is wrong with each server, although it is ready."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterseal.web import health


async def ready(checks: dict[str, Callable[[], str | None]], servers: dict[str, Callable[[], str | None]]) -> Response:
    routes: dict[str, Route] = {route.path: route for route in health.routes(checks, servers)}
    app = Starlette()
    scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": [], "query_string": b"", "app": app}
    answer: Response = await routes["/readyz"].endpoint(Request(scope))
    return answer


@pytest.mark.parametrize("problem", [None, "the disk is full"])
async def test_a_part_that_cannot_work_makes_the_gateway_unready(problem: str | None) -> None:
    answer = await ready({"audit": lambda: problem}, {})
    assert answer.status_code == (200 if problem is None else 503)
    assert json.loads(bytes(answer.body)) == {"ready": problem is None, "parts": {"audit": problem or "ok"}}


async def test_a_server_that_keeps_failing_is_named_and_the_gateway_is_ready() -> None:
    answer = await ready({"audit": lambda: None}, {"files": lambda: "it failed 3 times in a row", "fine": lambda: None})
    assert answer.status_code == 200
    assert json.loads(bytes(answer.body)) == {
        "ready": True,
        "parts": {"audit": "ok"},
        "servers": {"files": "it failed 3 times in a row", "fine": "ok"},
    }
