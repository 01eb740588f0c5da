"""Which operations become tools, how they are described, and what is said of the others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mcp_types import Tool as McpTool

from counterseal.core.limits import LIMITS
from counterseal.wire.openapi.compile import Selection
from counterseal.wire.openapi.pointer import pointer_text
from tests.wire.openapi.documents import (
    OK,
    compiled,
    definition,
    document,
    faults,
    parameter,
    selecting,
    tool,
    unmapped,
)


def several(*operations: tuple[str, str, dict[str, Any]], **members: Any) -> dict[str, Any]:
    """A document with these operations: method, path, what else it says."""
    whole = document(**members)
    whole["paths"] = {}
    for verb, path, operation in operations:
        whole["paths"].setdefault(path, {})[verb] = {"responses": OK, **operation}
    return whole


def names(value: Any, selection: Selection | None = None) -> list[str]:
    return [one.name for one in compiled(value, selection or Selection()).tools]


# ---- the document


@pytest.mark.parametrize("version", ["3.0.0", "3.0.3", "3.1.0", "3.1.1", "3.1.0-rc1"])
def test_versions_3_0_and_3_1_are_read(version: str) -> None:
    assert tool(version=version).name == "get_thing"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"openapi": "2.0"}, "has no `openapi` of 3.0 or 3.1"),
        ({"openapi": "3.2.0"}, "has no `openapi` of 3.0 or 3.1"),
        ({"openapi": 3.1}, "has no `openapi` of 3.0 or 3.1"),
        ({"openapi": None, "swagger": "2.0"}, "convert it from Swagger 2.0"),
        ({"jsonSchemaDialect": "http://json-schema.org/draft-07/schema#"}, "another dialect"),
        ({"paths": None}, "has no `paths`"),
        ({"paths": []}, "has no `paths`"),
    ],
)
def test_another_kind_of_document_is_a_fault(change: dict[str, Any], what: str) -> None:
    (fault,) = faults({**document(), **change})
    assert what in fault.what


@pytest.mark.parametrize("value", [None, [], "openapi: 3.0.3", 3])
def test_what_is_no_object_is_a_fault(value: Any) -> None:
    (fault,) = faults(value)
    assert "not an OpenAPI document" in fault.what


def test_title_and_version_are_those_of_the_document() -> None:
    made = compiled(document())
    assert (made.title, made.version) == ("Things", "7")
    bare = compiled({**document(), "info": None})
    assert (bare.title, bare.version) == ("", "")


def test_servers_of_the_document_are_not_read_and_a_note_says_so() -> None:
    (note,) = compiled(document(servers=[{"url": "https://evil.example.com"}])).notes
    assert "`servers` is not read" in note.what
    assert pointer_text(note.at) == "#/servers"


# ---- names


@pytest.mark.parametrize(
    ("verb", "path", "operation", "name"),
    [
        ("get", "/users", {"operationId": "listUsers"}, "listUsers"),
        ("get", "/users", {"operationId": "repos/list-for-org"}, "repos_list-for-org"),
        ("get", "/users", {"operationId": "list users (all)"}, "list_users__all_"),
        ("get", "/users/{id}", {}, "get_users_id"),
        ("delete", "/users/{user-id}/keys", {}, "delete_users_user-id_keys"),
        ("get", "/", {}, "get"),
        ("get", "/users", {"operationId": ""}, "get_users"),
        ("get", "/users", {"operationId": 5}, "get_users"),
    ],
)
def test_a_tool_has_the_operations_name_or_its_method_and_path(
    verb: str, path: str, operation: dict[str, Any], name: str
) -> None:
    parameters = [parameter(one, "path", required=True) for one in ("id", "user-id") if f"{{{one}}}" in path]
    assert names(several((verb, path, {"parameters": parameters, **operation}))) == [name]


def test_s_15_two_operations_of_one_name_are_a_fault_that_names_both() -> None:
    both = several(("get", "/a", {"operationId": "a.b/c"}), ("post", "/b", {"operationId": "a.b:c"}))
    (fault,) = faults(both)
    assert "would be the tool `a.b_c`, which GET /a is already" in fault.what
    assert (fault.operation, pointer_text(fault.at)) == ("POST /b", "#/paths/~1b/post")
    assert names(both, selecting(paths=["/a"])) == ["a.b_c"]
    assert names(several(("get", "/a", {"operationId": "a.b/c"}), ("post", "/b", {"operationId": "a.b-c"})))


def test_a_name_has_a_ceiling() -> None:
    assert names(several(("get", "/a", {"operationId": "a" * 128}))) == ["a" * 128]
    assert "more than 128 characters" in unmapped(several(("get", "/a", {"operationId": "a" * 129}))).what


# ---- how a tool is described


def test_a_tool_is_described_as_mcp_has_it() -> None:
    whole = document(
        {"summary": "Get a thing", "description": "By its id."}, answer={"type": "object", "properties": {"id": {}}}
    )
    shown = definition(whole)
    assert shown == {
        "name": "get_thing",
        "title": "Get a thing",
        "description": "Get a thing\n\nBy its id.",
        "inputSchema": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
        "outputSchema": {"type": "object", "properties": {"id": {}}},
        "annotations": {"readOnlyHint": True, "idempotentHint": True},
    }
    McpTool.model_validate(shown)


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ({}, "GET /things/{id}"),
        ({"summary": "A"}, "A"),
        ({"description": "B"}, "B"),
        ({"summary": "A", "description": " A "}, "A"),
        ({"summary": "A", "deprecated": True}, "Deprecated. A"),
        ({"summary": 5, "description": ""}, "GET /things/{id}"),
        ({"description": "a\u202e\x00b"}, "ab"),
    ],
)
def test_a_description_is_what_the_document_says_or_the_address(operation: dict[str, Any], told: str) -> None:
    assert definition(document(operation))["description"] == told


def test_m_15_a_description_has_a_ceiling() -> None:
    assert len(definition(document({"description": "a" * 10_000}))["description"]) == 4000


@pytest.mark.parametrize(
    ("verb", "hints"),
    [
        ("get", {"readOnlyHint": True, "idempotentHint": True}),
        ("put", {"readOnlyHint": False, "idempotentHint": True}),
        ("post", {"readOnlyHint": False, "idempotentHint": False}),
        ("patch", {"readOnlyHint": False, "idempotentHint": False}),
        ("delete", {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}),
    ],
)
def test_the_method_says_what_a_tool_does(verb: str, hints: dict[str, bool]) -> None:
    assert definition(document(verb=verb))["annotations"] == hints


@pytest.mark.parametrize("verb", ["head", "options", "trace", "query"])
def test_other_methods_have_no_form(verb: str) -> None:
    remark = unmapped(document(verb=verb))
    assert remark.operation == f"{verb.upper()} /things/{{id}}"
    assert "no answer that a tool could give" in remark.what


# ---- bodies


def content(*medias: str, required: bool = True) -> dict[str, Any]:
    return {
        "requestBody": {"required": required, "content": {media: {"schema": {"type": "object"}} for media in medias}}
    }


@pytest.mark.parametrize(
    ("medias", "sent"),
    [
        (["application/json"], "application/json"),
        (["application/merge-patch+json"], "application/merge-patch+json"),
        (["application/vnd.a+json", "application/json"], "application/json"),
        (["application/xml", "application/json; charset=utf-8"], "application/json; charset=utf-8"),
    ],
)
def test_a_body_is_the_json_that_the_operation_takes(medias: list[str], sent: str) -> None:
    body = tool(document(content(*medias), verb="post")).body
    assert body is not None
    assert (body.media, body.required) == (sent, True)


@pytest.mark.parametrize(
    "media", ["multipart/form-data", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain"]
)
def test_a_body_that_is_not_json_leaves_the_tool_out_where_it_is_required(media: str) -> None:
    remark = unmapped(document(content(media), verb="post"))
    assert f"a body of {media} is not mapped" in remark.what
    assert pointer_text(remark.at) == "#/paths/~1things~1{id}/post/requestBody/content"
    made = compiled(document(content(media, required=False), verb="post"))
    assert [one.body for one in made.tools] == [None]
    assert [note.what for note in made.notes] == [
        f"a body of {media} is not mapped, JSON alone is; the tool does without it"
    ]


def test_a_get_has_no_body_and_a_delete_may_have_one() -> None:
    assert "a GET has no body" in unmapped(document(content("application/json"))).what
    assert tool(document(content("application/json", required=False))).body is None
    assert tool(document(content("application/json"), verb="delete")).body is not None


@pytest.mark.parametrize("body", [{}, {"content": {}}, {"content": []}, 5, {"$ref": "#/components/requestBodies/None"}])
def test_a_body_without_content_leaves_the_tool_out(body: Any) -> None:
    assert unmapped(document({"requestBody": body}, verb="post")).what


def test_a_body_may_stand_in_the_components() -> None:
    components = {"requestBodies": {"B": {"content": {"application/json": {"schema": {"type": "object"}}}}}}
    shown = definition(
        document({"requestBody": {"$ref": "#/components/requestBodies/B"}}, verb="post", components=components)
    )
    assert shown["inputSchema"]["properties"]["body"] == {"type": "object"}
    assert shown["inputSchema"]["required"] == ["id"]


# ---- answers

OBJECT = {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}}


@pytest.mark.parametrize(
    ("responses", "promised"),
    [
        ({"200": OBJECT}, True),
        ({"201": OBJECT, "default": OBJECT, "404": OBJECT}, True),
        ({"2XX": OBJECT}, True),
        ({"200": {"$ref": "#/components/responses/A"}}, True),
        ({"200": OBJECT, "204": {"description": ""}}, False),
        ({"default": OBJECT}, False),
        ({"200": {"description": "", "content": {"text/plain": {"schema": {"type": "object"}}}}}, False),
        ({"200": {"description": "", "content": {"application/json": {}}}}, False),
        ({"200": 5}, False),
        (5, False),
    ],
)
def test_an_answer_is_promised_where_success_is_one_object(responses: Any, promised: bool) -> None:
    whole = document({"responses": responses}, components={"responses": {"A": OBJECT}})
    assert ("outputSchema" in definition(whole)) is promised
    assert (tool(whole).answers is not None) is promised
    assert compiled(whole, Selection(with_answers=False)).tools[0].answers is None


def test_an_answer_that_cannot_be_promised_leaves_the_tool_as_it_is_with_a_note() -> None:
    made = compiled(document(answer={"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}))
    assert [one.answers for one in made.tools] == [None]
    (note,) = made.notes
    assert note.what.endswith("; the tool promises nothing of its answer")


# ---- which

MANY = several(
    ("get", "/v1/users", {"operationId": "users/list", "tags": ["users"]}),
    ("post", "/v1/users", {"operationId": "users/create", "tags": ["users", "admin"]}),
    ("get", "/v1/orders", {"operationId": "orders/list", "tags": ["orders"]}),
    ("delete", "/v2/orders", {"tags": ["admin"]}),
    ("get", "/health", {"operationId": "health"}),
)


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        ({}, ["users_list", "users_create", "orders_list", "delete_v2_orders", "health"]),
        ({"tags": ["users"]}, ["users_list", "users_create"]),
        ({"tags": ["*"]}, ["users_list", "users_create", "orders_list", "delete_v2_orders"]),
        ({"paths": ["/v1/*"]}, ["users_list", "users_create", "orders_list"]),
        ({"operations": ["users/*"]}, ["users_list", "users_create"]),
        ({"operations": ["users_list", "delete_*"]}, ["users_list", "delete_v2_orders"]),
        ({"excluded": ["users/create", "delete_v2_orders"]}, ["users_list", "orders_list", "health"]),
        ({"paths": ["/v1/*"], "tags": ["admin"]}, ["users_create"]),
        ({"paths": ["/v1/*"], "tags": ["users"], "excluded": ["*create"]}, ["users_list"]),
    ],
)
def test_what_is_selected_becomes_tools_in_the_documents_order(
    selection: dict[str, list[str]], selected: list[str]
) -> None:
    assert names(MANY, selecting(**selection)) == selected


@pytest.mark.parametrize(
    ("selection", "key", "text"),
    [
        ({"tags": ["users", "user"]}, "tags", "user"),
        ({"paths": ["/v3/*"]}, "paths", "/v3/*"),
        ({"operations": ["users_lst"]}, "operations", "users_lst"),
        ({"excluded": ["delete_v2_order"]}, "exclude", "delete_v2_order"),
    ],
)
def test_a_name_that_nothing_has_is_a_fault_because_it_was_meant_to_select_something(
    selection: dict[str, list[str]], key: str, text: str
) -> None:
    (fault,) = faults(MANY, selecting(**selection))
    assert f"`openapi.{key}` could mean by `{text}`" in fault.what


def test_what_is_not_selected_is_not_told_of() -> None:
    whole = several(("get", "/a", {}), ("head", "/b", {}))
    assert [remark.operation for remark in compiled(whole).unmapped] == ["HEAD /b"]
    assert not compiled(whole, selecting(paths=["/a"])).unmapped


def test_m_16_operations_have_a_ceiling() -> None:
    whole = several(*(("get", f"/{number}", {}) for number in range(5)))
    limits = dataclasses.replace(LIMITS, openapi_operation_count=5)
    assert len(compiled(whole, limits=limits).tools) == 5
    whole = several(*(("get", f"/{number}", {}) for number in range(6)))
    (fault,) = faults(whole, limits=limits)
    assert "more than 5 operations" in fault.what
    assert len(compiled(whole, selecting(paths=["/1"]), limits).tools) == 1


# ---- paths


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"$ref": "other.yaml#/a"}, "nothing is fetched"),
        (5, "is not an object"),
        ({"$ref": "#/paths/~1a"}, "in a circle"),
    ],
)
def test_a_path_that_cannot_be_read_is_told_of(item: Any, what: str) -> None:
    whole = document()
    whole["paths"]["/a"] = item
    made = compiled(whole)
    assert len(made.tools) == 1
    (remark,) = made.unmapped
    assert what in remark.what
    assert remark.operation == "/a"


def test_a_path_may_refer_to_another_place_and_extensions_are_no_paths() -> None:
    whole = document()
    whole["paths"] = {"/things/{id}": {"$ref": "#/components/pathItems/A"}, "x-other": 5}
    whole["components"] = {"pathItems": {"A": document()["paths"]["/things/{id}"]}}
    assert names(whole) == ["get_thing"]


def test_hostile_values_anywhere_are_told_of_and_break_nothing() -> None:
    for value in (None, 5, "x", [], {}, [None], {"get": None}, True):
        for place in ("parameters", "requestBody", "responses", "tags", "operationId", "summary", "deprecated"):
            whole = document(verb="post")
            whole["paths"]["/things/{id}"]["post"][place] = value
            made = compiled(whole)
            assert len(made.tools) + len(made.unmapped) == 1
