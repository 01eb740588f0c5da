"""`servers check` in front of servers that are not well, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.errors import ConfigError
from counterseal.gateway.inspecting import Inspected, inspect
from counterseal.store.open import open_store
from tests.gateway.opening import written
from tests.gateway.pinning import Tools, entries, tool
from tests.support.hostile import Heard, HostileServer, Line, plain, response, whole


async def found(path: Path, *names: str) -> dict[str, Any]:
    """By what a line is about."""
    (one,) = await inspect(load(path), names or ["weather"], SystemClock())
    return told(one)


def told(one: Inspected) -> dict[str, Any]:
    return {line.about: (line.level, line.text) for line in one.lines}


def answering(status: str, body: bytes = b"{}", **headers: str) -> Any:
    return lambda heard, line: line.send(whole(body, status, **headers))


async def test_a_server_that_is_well_is_asked_for_lists_and_nothing_else(server: HostileServer, folder: Path) -> None:
    lines = await found(written(folder, server))
    assert {about: level for about, (level, _) in lines.items()} == {
        "reach": "ok",
        "revision": "ok",
        "offers": "ok",
        "tools": "note",
        "unsigned": "warning",
    }
    methods = [heard.call["method"] for heard in server.seen]
    assert set(methods) <= {"server/discover", "tools/list"}


async def test_each_signed_request_is_recorded_as_the_gateways_own_and_one_has_no_token(
    server: HostileServer, folder: Path
) -> None:
    Tools(server, tool("get_a"))
    await found(written(folder, server, {"headers": {"X-Static": "env:PATH"}}))
    tokens = [heard for heard in server.seen if heard.all("authorization")]
    bare = [heard for heard in server.seen if not heard.all("authorization")]
    intents = entries(folder, "intent")
    assert {(one["caller"]["client_id"], one["peer"], one["sub"]) for one in intents} == {
        ("gateway", "gateway", "counterseal")
    }
    assert len(intents) == len(tokens)
    assert [heard.call["method"] for heard in bare] == ["tools/list"]
    assert bare[0].all("x-static")  # so that what refuses it is the missing token, and not the missing credential


async def test_a_check_pins_nothing(server: HostileServer, folder: Path) -> None:
    tools = Tools(server, tool("get_a"))
    (one,) = await inspect(load(written(folder, server)), ["weather"], SystemClock())
    assert json.loads(one.definitions["get_a"]) == tools.tools[0]
    store = await open_store(f"sqlite:{folder / 'counterseal.db'}")
    assert await store.tool_pins() == (0, ())
    await store.close()


@pytest.mark.parametrize(
    ("answer", "about", "says"),
    [
        (answering("401 Unauthorized"), "token", "it refuses the gateway's call token (the server answered 401)"),
        (answering("403 Forbidden"), "token", "the audience http://127.0.0.1:"),
        (answering("302 Found", location="http://127.0.0.1:1/"), "token", "the server answered 302"),
        (answering("200 OK", b"<html>", content_type="text/html"), "answer", "see whether servers.weather.url"),
        (answering("200 OK", b"not json"), "answer", "counterseal.yaml:"),
        (lambda heard, line: line.reset(), "reach", "start it, or mend servers.weather.url"),
    ],
)
async def test_what_is_wrong_is_told_and_the_server_is_not_asked_without_a_token(
    server: HostileServer, folder: Path, answer: Any, about: str, says: str
) -> None:
    server.answer = answer
    lines = await found(written(folder, server))
    level, text = lines[about]
    assert level == "problem"
    assert says in text
    assert "unsigned" not in lines
    assert all(heard.all("authorization") for heard in server.seen)


async def test_a_server_that_refuses_a_list_has_a_problem(server: HostileServer, folder: Path) -> None:
    def answer(heard: Heard, line: Line) -> None:
        if heard.call["method"] == "tools/list":
            error = {"code": -32000, "message": "no list \x1b[31mtoday"}
            line.send(whole(json.dumps({"jsonrpc": "2.0", "id": heard.call["id"], "error": error}).encode()))
            return
        found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
        line.send(whole(response(heard, found)))

    server.answer = answer
    level, text = (await found_of(server, folder))["tools"]
    assert level == "problem"
    assert "no list \\u001b[31mtoday: mend the server" in text


async def found_of(server: HostileServer, folder: Path) -> dict[str, Any]:
    return await found(written(folder, server))


@pytest.mark.parametrize(
    ("signer", "says"),
    [
        ({"required_claims": [{"name": "tenant"}]}, "no token can be made to ask it with"),
        ({"allowed_scopes": ["mcp:tools/call:x"]}, "may hold the scope"),
    ],
)
async def test_where_no_token_can_be_made_it_says_so_and_sends_nothing(
    server: HostileServer, folder: Path, signer: dict[str, Any], says: str
) -> None:
    lines = await found(written(folder, server, {"signer": signer}))
    assert lines["token"][0] == "problem"
    assert says in lines["token"][1]
    assert server.calls == 0


@pytest.mark.parametrize(
    ("answer", "level", "says"),
    [
        (answering("401 Unauthorized"), "ok", "it refuses a request without a call token (401)"),
        (answering("403 Forbidden"), "ok", "(403)"),
        (answering("500 Oops"), "note", "it answers 500 and no list"),
        (
            answering("200 OK", b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}'),
            "note",
            "it answers 200 and no list",
        ),
        (plain, "warning", "it answers `tools/list` without a call token"),
    ],
)
async def test_what_an_answer_without_a_token_means(
    server: HostileServer, folder: Path, answer: Any, level: str, says: str
) -> None:
    def both(heard: Heard, line: Line) -> None:
        (plain if heard.all("authorization") else answer)(heard, line)

    server.answer = both
    found_level, text = (await found_of(server, folder))["unsigned"]
    assert found_level == level
    assert says in text


async def test_a_server_that_hangs_hides_no_other(
    server: HostileServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterseal.gateway.inspecting._SECONDS", 0.2)
    with HostileServer(lambda heard, line: line.gone() and None) as hung:
        path = written(folder, server)
        document = yaml.safe_load(path.read_text())
        document["servers"]["hung"] = {"url": hung.url}
        path.write_text(yaml.safe_dump(document))
        begun = asyncio.get_running_loop().time()
        weather, other = await inspect(load(path), ["weather", "hung"], SystemClock())
        assert asyncio.get_running_loop().time() - begun < 20
    assert told(weather)["reach"][0] == "ok"
    assert told(other)["reach"][0] == "problem"


async def test_keys_that_nobody_else_has_are_of_no_use(server: HostileServer, folder: Path) -> None:
    with pytest.raises(ConfigError, match="has none that a server would accept a token of"):
        await found(written(folder, server, store="memory:"))
    assert server.calls == 0


async def test_an_http_api_is_as_modern_as_the_gateway_and_none_of_its_operations_is_tried(folder: Path) -> None:
    (folder / "api.yaml").write_text(
        'openapi: 3.1.0\ninfo: {title: T, version: "1"}\npaths: {/thing: {get: {operationId: get_thing}}}\n'
    )
    with HostileServer(answering("404 Not Found")) as api:
        lines = await found(written(folder, api, {"transport": "openapi", "spec": "api.yaml"}))
        assert [(heard.verb, heard.target) for heard in api.seen] == [("GET", "/mcp")]
    assert lines["reach"][1].endswith("answers (404)")
    assert lines["revision"] == ("ok", "2026-07-28 (modern)")
    assert lines["tools"] == ("ok", "1 tool")
    assert lines["unsigned"][0] == "note"
