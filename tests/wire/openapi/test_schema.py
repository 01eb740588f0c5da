"""Schemas of a document as JSON Schema 2020-12."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import jsonschema_rs
import pytest

from counterseal.core.limits import LIMITS
from counterseal.wire.openapi.pointer import pointer_text
from tests.wire.openapi.documents import arguments, compiled, definition, document, tool, unmapped


def body(schema: Any, version: str = "3.0.3", **members: Any) -> Any:
    return arguments(path="/things", verb="post", parameters=(), body=schema, version=version, **members)["body"]


def answer(schema: Any, version: str = "3.0.3", **members: Any) -> Any:
    return definition(path="/things", parameters=(), answer=schema, version=version, **members).get("outputSchema")


# ---- the dialect of 3.0


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": ["a", None], "type": "string", "nullable": True}, {"enum": ["a", None], "type": ["string", "null"]}),
        ({"nullable": True}, {}),
        (
            {"allOf": [{"type": "object"}], "nullable": True},
            {"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"maximum": 9, "exclusiveMaximum": True, "type": "number"}, {"type": "number", "exclusiveMaximum": 9}),
        ({"exclusiveMaximum": True}, {}),
        ({"example": {"$ref": "not followed"}}, {"examples": [{"$ref": "not followed"}]}),
        ({"type": "string", "example": None}, {"type": "string", "examples": [None]}),
        (
            {"type": "array", "items": {"nullable": True, "type": "integer"}},
            {"type": "array", "items": {"type": ["integer", "null"]}},
        ),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        ({"xml": {"name": "x"}, "externalDocs": {"url": "https://example.com"}, "x-internal": 1}, {}),
        ({"discriminator": {"propertyName": "kind"}}, {"discriminator": {"propertyName": "kind"}}),
    ],
)
def test_the_dialect_of_3_0_is_put_into_the_words_of_2020_12(written: Any, meant: Any) -> None:
    assert body(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"exclusiveMinimum": 1}, {"exclusiveMinimum": 1}),
        ({"nullable": True, "type": "string"}, {"type": "string"}),
        ({"prefixItems": [{"const": 1}, False]}, {"prefixItems": [{"const": 1}, False]}),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
        ),
        ({"examples": [1, 2], "example": 3}, {"examples": [1, 2]}),
        ({"$comment": "x", "$anchor": "y", "$schema": "z"}, {}),
        (True, True),
    ],
)
def test_3_1_is_2020_12_already(written: Any, meant: Any) -> None:
    assert body(written, version="3.1.0") == meant


def test_what_stands_beside_a_reference_counts_in_3_1_alone() -> None:
    components = {"schemas": {"A": {"type": "string"}}}
    beside = {"$ref": "#/components/schemas/A", "minLength": 3, "nullable": True}
    assert body(beside, components=components) == {"$ref": "#/$defs/A"}
    assert body(beside, "3.1.0", components=components) == {"$ref": "#/$defs/A", "minLength": 3}


# ---- references

TREE = {
    "schemas": {
        "Tree": {
            "type": "object",
            "properties": {
                "left": {"$ref": "#/components/schemas/Tree"},
                "leaf": {"$ref": "#/components/schemas/Leaf"},
            },
        },
        "Leaf": {"type": "string", "nullable": True},
        "Other": {"type": "integer"},
        "a-b": {"$ref": "#/components/schemas/Tree/properties/leaf"},
    },
    "parameters": {"Leaf": {"name": "q", "in": "query", "schema": {"type": "integer"}}},
}


def test_a_schema_brings_what_it_refers_to_and_no_more_and_a_circle_stays_a_circle() -> None:
    schema = definition(
        path="/things", verb="post", parameters=(), body={"$ref": "#/components/schemas/Tree"}, components=TREE
    )["inputSchema"]
    assert schema["properties"] == {"body": {"$ref": "#/$defs/Tree"}}
    assert schema["$defs"] == {
        "Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}, "leaf": {"$ref": "#/$defs/Leaf"}}},
        "Leaf": {"type": ["string", "null"]},
    }
    checks = tool(
        path="/things", verb="post", parameters=(), body={"$ref": "#/components/schemas/Tree"}, components=TREE
    ).checks
    assert checks.problem({"body": {"left": {"left": {"leaf": None}}}}) is None
    assert checks.problem({"body": {"left": {"leaf": 5}}}) is not None


def test_two_places_of_one_name_have_two_names() -> None:
    both = {"properties": {"a": {"$ref": "#/components/schemas/Leaf"}, "b": {"$ref": "#/components/parameters/Leaf/schema"},
                           "c": {"$ref": "#/components/schemas/Tree/properties/leaf"},
                           "d": {"$ref": "#/components/schemas/a-b"}}}  # fmt: skip
    made = definition(path="/things", verb="post", parameters=(), body=both, components=TREE)["inputSchema"]
    found = {name: part["$ref"] for name, part in made["properties"]["body"]["properties"].items()}
    assert len(set(found.values())) == 4
    assert all(reference.removeprefix("#/$defs/") in made["$defs"] for reference in found.values())
    assert jsonschema_rs.Draft202012Validator(made).is_valid({"body": {"a": None, "b": 5, "c": "x", "d": None}})


@pytest.mark.parametrize(
    "reference", ["https://example.com/schema.json", "other.yaml#/A", "#/components/schemas/Missing", "#anchor", 7]
)
def test_k_02_a_reference_out_of_the_document_or_to_nothing_leaves_the_tool_out_at_its_place(reference: Any) -> None:
    schema = {"properties": {"a": {"items": {"$ref": reference}}}}
    remark = unmapped(path="/things", verb="post", parameters=(), body=schema)
    assert "`$ref`" in remark.what
    assert pointer_text(remark.at) == (
        "#/paths/~1things/post/requestBody/content/application~1json/schema/properties/a/items/$ref"
    )
    assert body({"properties": {"a": {"items": {"type": "string"}}}})


@pytest.mark.parametrize("keyword", ["$id", "$dynamicRef", "$recursiveRef"])
def test_m_16_what_changes_the_meaning_of_a_reference_leaves_the_tool_out(keyword: str) -> None:
    remark = unmapped(path="/things", verb="post", parameters=(), body={"items": {keyword: "#x"}}, version="3.1.0")
    assert f"`{keyword}`" in remark.what
    assert remark.at[-1] == keyword


def test_m_16_a_schema_has_a_ceiling_with_all_that_it_refers_to() -> None:
    limits = dataclasses.replace(LIMITS, openapi_schema_bytes=2000)
    names = [f"S{number}" for number in range(50)]
    chain = {
        name: {"properties": {"next": {"$ref": f"#/components/schemas/{after}"}}} for name, after in pairwise(names)
    }
    chain[names[-1]] = {"type": "string"}
    whole = document(
        path="/things",
        verb="post",
        parameters=(),
        body={"$ref": "#/components/schemas/S0"},
        components={"schemas": chain},
    )
    assert compiled(whole).tools
    (remark,) = compiled(whole, limits=limits).unmapped
    assert "more than 2000 bytes" in remark.what
    short = document(path="/things", verb="post", parameters=(), body={"enum": ["a" * 1900]})
    assert compiled(short, limits=limits).tools
    assert not compiled(
        document(path="/things", verb="post", parameters=(), body={"enum": ["a" * 2100]}), limits=limits
    ).tools


def test_a_schema_that_is_none_leaves_the_tool_out() -> None:
    for schema in (
        {"type": "strin"},
        {"pattern": "("},
        {"properties": {"a": 5}},
        {"allOf": {}},
        {"properties": []},
        "text",
    ):
        assert unmapped(path="/things", verb="post", parameters=(), body=schema).what


# ---- one way, and the other

ONE_WAY = {
    "type": "object",
    "required": ["id", "name", "password"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string"},
        "password": {"type": "string", "writeOnly": True},
        "made": {"$ref": "#/components/schemas/Made"},
    },
}
MADE = {"schemas": {"Made": {"type": "string", "readOnly": True}}}


def test_what_is_read_only_is_never_asked_for() -> None:
    asked = body(ONE_WAY, components=MADE)
    assert set(asked["properties"]) == {"name", "password"}
    assert asked["required"] == ["name", "password"]


def test_what_is_write_only_is_not_promised() -> None:
    promised = answer(ONE_WAY, components=MADE)
    assert set(promised["properties"]) == {"id", "name", "password", "made"}
    assert promised["required"] == ["id", "name"]


# ---- what is promised of answers


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "string"},
        {},
        {"type": "object", "nullable": True},
        {"oneOf": [{"type": "object"}]},
        True,
    ],
)
def test_an_answer_that_may_be_no_object_promises_nothing(schema: Any) -> None:
    assert answer(schema) is None


def test_an_object_is_promised_even_through_references() -> None:
    components = {
        "schemas": {
            "A": {"$ref": "#/components/schemas/B"},
            "B": {"properties": {"b": {"$ref": "#/components/schemas/B"}}},
        }
    }
    promised = answer({"$ref": "#/components/schemas/A"}, components=components)
    assert promised == {
        "properties": {"b": {"$ref": "#/$defs/B"}},
        "type": "object",
        "$defs": {"B": {"properties": {"b": {"$ref": "#/$defs/B"}}}},
    }


def test_m_15_descriptions_inside_of_schemas_are_bounded_and_visible() -> None:
    shown = body({"type": "string", "description": "a\u200bb" + "c" * 5000, "title": 7})
    assert shown["description"].startswith("abccc")
    assert len(shown["description"]) == 1000
    assert shown["title"] == ""


def test_nothing_in_a_document_makes_a_client_send_a_header() -> None:
    schema = {"properties": {"a": {"type": "string", "x-mcp-header": "Evil"}, "x-mcp-header": {"type": "string"}}}
    assert body(schema) == {"properties": {"a": {"type": "string"}, "x-mcp-header": {"type": "string"}}}
