"""From a document beside the configuration to a server that carries calls, signed like all others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.config.load import load
from counterseal.core.limits import LIMITS
from counterseal.errors import ConfigError
from counterseal.gateway.openapi_wiring import look, read_tools
from counterseal.gateway.wiring import open_gateway
from tests.gateway.building import modern
from tests.gateway.opening import call, verified, written
from tests.servers.permits import read
from tests.support.hostile import HostileServer, whole

TENANT = (b"x-tenant-id", b"acme")
DOCUMENT = """\
openapi: 3.0.3
info: {title: Things, version: "1"}
servers: [{url: "https://elsewhere.example.com"}]
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    get: {operationId: get_thing, tags: [read], responses: {"200": {description: Done}}}
    post:
      operationId: upload
      requestBody:
        required: true
        content: {multipart/form-data: {}}
  /things:
    get:
      parameters:
        - {name: session, in: cookie, schema: {type: string}}
"""


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(lambda heard, line: line.send(whole(b'{"id": "x"}'))) as made:
        yield made


def configured(folder: Path, server: HostileServer, document: str | bytes = DOCUMENT, **openapi: Any) -> Path:
    content = document.encode() if isinstance(document, str) else document
    (folder / "things.yaml").write_bytes(content)
    entry = {"transport": "openapi", "spec": "things.yaml", **({"openapi": openapi} if openapi else {})}
    return written(folder, server, entry)


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_tools(load(path), "weather")
    return caught.value.problems


async def test_a_header_that_goes_on_from_the_caller_is_no_argument(tmp_path: Path, server: HostileServer) -> None:
    """Else a model could write what the caller says of himself, or beside it."""
    declared = "      - {name: X-Tenant-Id, in: header, schema: {type: string}}\n    get: {operationId"
    document = DOCUMENT.replace("    get: {operationId", declared)
    arguments = {"id": "x", "X-Tenant-Id": "of-the-model"}
    for named, seen in (([], ["of-the-model"]), (["X-Tenant-Id"], ["acme"])):
        configured(tmp_path, server, document)
        entry = {"transport": "openapi", "spec": "things.yaml", "forward_headers": named}
        async with open_gateway(written(tmp_path, server, entry), background=False) as gateway:
            for given, refused in ((arguments, bool(named)), ({"id": "x"}, False)):
                inbound = modern("tools/call", {"name": "get_thing", "arguments": given}, TENANT, key=None)
                calls = server.calls
                message = json.loads(await read(await gateway.handler.handle(inbound)))
                assert message["result"]["isError"] is refused
                assert server.calls == calls + (not refused)
                if given is arguments and not refused:
                    assert server.seen[-1].all("x-tenant-id") == seen
            assert server.seen[-1].all("x-tenant-id") == (seen if named else [])
            assert verified(gateway, server)["sub"] == "anonymous"


async def test_s6_a_call_through_the_gateway_is_signed_for_it_and_bound_to_its_arguments(
    tmp_path: Path, server: HostileServer
) -> None:
    async with open_gateway(configured(tmp_path, server), background=False) as gateway:
        found = await call(gateway, params={"name": "get_thing", "arguments": {"id": "x"}})
        assert found["result"]["structuredContent"] == {"id": "x"}
        claims = verified(gateway, server)
    assert server.seen[-1].target == "/mcp/things/x"
    assert claims["scope"] == "mcp:tools/call:get_thing"
    assert claims["authorization_details"][0]["arguments_digest"].startswith("sha-256:")


async def test_what_is_left_out_is_counted_in_the_log(
    tmp_path: Path, server: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "counterseal.gateway"):
        async with open_gateway(configured(tmp_path, server), background=False):
            pass
    (record,) = [one for one in caplog.records if one.name == "counterseal.gateway"]
    assert record.getMessage() == (
        "servers.weather: 1 of 3 operations have no form as a tool; `counterseal check` lists them"
    )


def test_all_that_is_left_out_is_told_at_its_place(
    tmp_path: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(tmp_path, server)
    monkeypatch.chdir(tmp_path)
    counts, lines = look(load(path))
    assert counts == {"weather": "2 of 3 operations"}
    assert lines == [
        "servers.weather: things.yaml:13:9: #/paths/~1things~1{id}/post/requestBody/content: POST /things/{id}: "
        "a body of multipart/form-data is not mapped, JSON alone is",
        "servers.weather: things.yaml:3:1: #/servers: `servers` is not read: requests go to the `url` of the configuration",
        "servers.weather: things.yaml:17:11: #/paths/~1things/get/parameters/0: GET /things: "
        "the parameter 'session' is in `cookie`: cookies are never sent; the tool does without it",
    ]
    monkeypatch.chdir(tmp_path.parent)
    assert look(load(path))[1][1].startswith(f"servers.weather: {tmp_path.name}/things.yaml:3:1: ")


def test_what_has_no_form_keeps_the_gateway_from_starting_where_that_is_asked_for(
    tmp_path: Path, server: HostileServer
) -> None:
    (problem,) = problems(configured(tmp_path, server, on_unmapped="error"))
    assert "things.yaml:13:9: #/paths/~1things~1{id}/post/requestBody/content: POST /things/{id}: " in problem
    read_tools(load(configured(tmp_path, server, on_unmapped="error", exclude=["upload"])), "weather")


def test_what_a_selection_selects_is_there(tmp_path: Path, server: HostileServer) -> None:
    _, compiled = read_tools(load(configured(tmp_path, server, tags=["read"], output_schemas=False)), "weather")
    assert [tool.name for tool in compiled.tools] == ["get_thing"]
    (problem,) = problems(configured(tmp_path, server, tags=["reed"]))
    assert "has nothing that `openapi.tags` could mean by `reed`" in problem
    (problem,) = problems(configured(tmp_path, server, operations=["upload"]))
    assert problem.endswith("no operation of the document becomes a tool: select others in `openapi`")


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (b"openapi: 3.0.3\npaths: &a {}\nx: *a", "things.yaml:3:4: the document has an alias"),
        (
            b'{"openapi": "3.0.3", "paths": {}, "paths": {}}',
            "things.yaml:1:1: the document is not JSON that every reader",
        ),
        (b"swagger: '2.0'\npaths: {}", "things.yaml:1:1: #: has no `openapi` of 3.0 or 3.1: convert it"),
        (b"openapi: 2.9.0\npaths: {}", "things.yaml:1:1: #/openapi: has no `openapi` of 3.0 or 3.1"),
        (b"\xff", "things.yaml:1:1: the document is not UTF-8"),
    ],
)
def test_a_document_that_cannot_be_used_is_told_at_its_place(
    tmp_path: Path, server: HostileServer, document: bytes, what: str
) -> None:
    (problem,) = problems(configured(tmp_path, server, document))
    assert what in problem


def test_s_15_two_operations_of_one_name_keep_the_gateway_from_starting(tmp_path: Path, server: HostileServer) -> None:
    value = yaml.safe_load(DOCUMENT)
    value["paths"]["/things"]["get"]["operationId"] = "get:thing"
    (problem,) = problems(configured(tmp_path, server, yaml.safe_dump(value, sort_keys=False)))
    assert "GET /things: would be the tool `get_thing`, which GET /things/{id} is already" in problem
    value["paths"]["/things"]["get"]["operationId"] = "get:things"
    read_tools(load(configured(tmp_path, server, yaml.safe_dump(value, sort_keys=False))), "weather")


def test_m_24_a_document_that_is_too_large_or_not_there_is_told_at_the_key(
    tmp_path: Path, server: HostileServer
) -> None:
    whole_size = DOCUMENT + "#" * (LIMITS.openapi_bytes - len(DOCUMENT))
    read_tools(load(configured(tmp_path, server, whole_size)), "weather")
    path = configured(tmp_path, server, whole_size + "#")
    lines = path.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "spec:" in text)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:{line}:11: servers.weather.spec: ")
    assert f"holds more than {LIMITS.openapi_bytes} bytes" in problem
    (tmp_path / "things.yaml").unlink()
    (problem,) = problems(path)
    assert "cannot be read (No such file or directory)" in problem


def test_the_header_of_the_token_and_those_of_the_server_are_no_arguments(
    tmp_path: Path, server: HostileServer
) -> None:
    value = yaml.safe_load(DOCUMENT)
    for name in ("X-Call-Token", "X-Tenant", "X-Other"):
        value["paths"]["/things"]["get"]["parameters"].append({"name": name, "in": "header", "schema": {}})
    path = configured(tmp_path, server, yaml.safe_dump(value))
    (tmp_path / "tenant").write_text("t")
    text = yaml.safe_load(path.read_text())
    text["servers"]["weather"] |= {
        "headers": {"X-Tenant": f"file:{tmp_path}/tenant"},
        "signer": {"header": "X-Call-Token"},
    }
    path.write_text(yaml.safe_dump(text))
    _, compiled = read_tools(load(path), "weather")
    (tool,) = [one for one in compiled.tools if one.name == "get_things"]
    assert [parameter.name for parameter in tool.parameters] == ["X-Other"]
