"""`transport: openapi`, and the keys that go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.config.writing import accepted, at, config, load, refused, write

CRM: dict[str, Any] = {"url": "https://crm.internal/api", "transport": "openapi", "spec": "./crm.yaml"}


def server(**changes: Any) -> dict[str, Any]:
    return {"servers": {"crm": {name: value for name, value in {**CRM, **changes}.items() if value is not None}}}


def test_a_document_and_an_address_are_enough() -> None:
    made = load(**server()).servers["crm"]
    assert (made.transport, made.spec) == ("openapi", "/nowhere/crm.yaml")
    assert (made.openapi.tags, made.openapi.paths, made.openapi.operations, made.openapi.exclude) == (None,) * 4
    assert (made.openapi.on_unmapped, made.openapi.output_schemas) == ("skip", True)


def test_the_document_is_relative_to_the_folder_of_the_file() -> None:
    text = write(config(**server(spec="specs/crm.yaml"))).text
    assert accepted(text, Path("/etc/counterseal")).servers["crm"].spec == "/etc/counterseal/specs/crm.yaml"
    assert load(**server(spec="/srv/crm.yaml")).servers["crm"].spec == "/srv/crm.yaml"


@pytest.mark.parametrize(
    "spec", ["https://example.com/openapi.json", "http://127.0.0.1/openapi.json", "file:///etc/crm.yaml"]
)
def test_k_02_a_document_is_never_fetched(spec: str) -> None:
    written, problem = refused(**server(spec=spec))
    assert problem.startswith(
        at(written, "servers", "crm", "spec") + "servers.crm.spec: is an address: nothing is fetched"
    )


@pytest.mark.parametrize("spec", ["", "a\x00b", "a\nb"])
def test_a_document_is_the_path_of_a_file(spec: str) -> None:
    _, problem = refused(**server(spec=spec))
    assert "must be the path of a file" in problem


def test_a_document_without_its_transport_and_a_transport_without_its_document_are_refused() -> None:
    written, problem = refused(**server(transport=None))
    assert problem == at(written, "servers", "crm", "spec") + (
        "servers.crm.spec: is a key of `openapi` servers, and this one is `streamable_http`: remove it, or write "
        "`transport: openapi`"
    )
    written, problem = refused(**server(transport=None, spec=None, openapi={"tags": ["a"]}))
    assert problem.startswith(
        at(written, "servers", "crm", "openapi") + "servers.crm.openapi: is a key of `openapi` servers"
    )
    written, problem = refused(**server(spec=None))
    assert problem.startswith(at(written, "servers", "crm") + "servers.crm.spec: is missing: add it")


def test_an_address_with_a_query_has_no_place_for_paths() -> None:
    written, problem = refused(**server(url="https://crm.internal/api?v=1"))
    assert problem.startswith(at(written, "servers", "crm", "url") + "servers.crm.url: holds a query")
    load(servers={"weather": {"url": "https://weather.internal/mcp?v=1"}})


@pytest.mark.parametrize("key", ["tags", "paths", "operations", "exclude"])
def test_an_empty_selection_is_refused(key: str) -> None:
    _, problem = refused(**server(openapi={key: []}))
    assert "is an empty list" in problem
    assert getattr(load(**server(openapi={key: ["a*"]})).servers["crm"].openapi, key) == ("a*",)


def test_the_audience_is_the_address_of_the_server() -> None:
    both = {**server()["servers"], "other": {"url": CRM["url"]}}
    _, problem = refused(servers=both)
    assert "the same audience" in problem
