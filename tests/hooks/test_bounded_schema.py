"""Schemas that somebody else wrote: what is refused, that it takes no time, and what is told of a fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from counterseal.core.frozen import freeze
from counterseal.hooks.bounded_schema import BoundedSchema, NotCheckable, TooMuch


def made(schema: Any) -> BoundedSchema:
    return BoundedSchema(schema if isinstance(schema, bytes) else json.dumps(schema).encode())


def refused(schema: Any) -> str:
    with pytest.raises(NotCheckable) as told:
        made(schema)
    return str(told.value)


def nested(depth: int, inner: Any, step: str = "a") -> Any:
    for _ in range(depth):
        inner = {step: inner}
    return inner


@pytest.fixture(autouse=True)
def _soon() -> Any:
    """Whatever a test here does is over soon; what it guards against would take minutes."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 20


# ---- what fits --------------------------------------------------------------------------------------------------------

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[A-Z]", "maxLength": 10},
        "days": {"type": "integer", "minimum": 1},
    },
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"city": "Oslo"}, None),
        ({"city": "Oslo", "days": 3}, None),
        ({"city": "Oslo", "days": 3.0}, None),
        ({}, "the whole breaks the rule `required` (city)"),
        ({"city": "canary"}, "/city breaks the rule `pattern`"),
        ({"city": 5}, "/city breaks the rule `type`"),
        ({"city": "Oslo", "days": 0}, "/days breaks the rule `minimum`"),
        ({"city": "Oslo", "days": True}, "/days breaks the rule `type`"),
        ({"city": "Oslo", "canary": 1}, "the whole breaks the rule `additionalProperties`"),
    ],
)
def test_a_fault_is_told_by_its_place_and_rule_and_not_by_its_value(value: Any, fault: str | None) -> None:
    for form in (value, freeze(value)):
        assert made(CITY).fault(form) == fault


def test_a_place_is_a_json_pointer_that_is_short_and_can_be_read() -> None:
    schema = {"properties": {"a/b": {"items": {"type": "string"}}}, "additionalProperties": {"type": "string"}}
    assert made(schema).fault({"a/b": ["x", 5]}) == "/a~1b/1 breaks the rule `type`"
    assert made(schema).fault({"\u202e\n": 5}) == "/\\u202e breaks the rule `type`"
    assert len(made(schema).fault({"x" * 5000: 5}) or "") == 200


SEVEN = {"$schema": "http://json-schema.org/draft-07/schema#"}
NINETEEN = {"$schema": "https://json-schema.org/draft/2019-09/schema"}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"$defs": {"c": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/c"}}}, {"a": "x"}, {"a": 1}),
        ({"$defs": {"c": {"$anchor": "text", "type": "string"}}, "properties": {"a": {"$ref": "#text"}}}, {"a": "x"}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#"}}, "maxProperties": 1}, {"a": {"a": {}}}, {"a": {"a": 1, "b": 2}}),
        ({"$defs": {"a/b c": {"type": "null"}}, "properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}}, {"a": None}, {"a": 1}),
        ({"$id": "https://example.com/tool", "properties": {"a": {"type": "string"}}}, {"a": "x"}, {"a": 1}),
        ({**SEVEN, "items": 1, "type": "object"}, None, None),
        ({**SEVEN, "definitions": {"c": {"const": 1}}, "properties": {"a": {"$ref": "#/definitions/c"}}}, {"a": 1}, {"a": 2}),
        ({**NINETEEN, "properties": {"a": {"$recursiveRef": "#"}}, "maxProperties": 1}, {"a": {}}, {"a": {"b": 1, "c": 1}}),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]}, {"a": 1}, {"b": 1}),
        ({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}, {"xy": "a"}, {"y": "a"}),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "aaa"}, {"a": "aab"}),
        ({"properties": {"a": {"pattern": "^.{1,500}$"}}}, {"a": "a" * 500}, {"a": "a" * 501}),
        ({}, {"a": 1}, None),
        ({"properties": {"a": False}}, {"b": 1}, {"a": 1}),
        ({"properties": {"$ref": {"type": "string"}, "pattern": {}, "$id": {}}}, {"$ref": "x"}, {"$ref": 1}),
    ],
)  # fmt: skip
def test_schemas_as_servers_write_them(schema: Any, good: Any, bad: Any) -> None:
    if good is None:
        assert refused(schema) == "it is not valid (anyOf)"
        return
    assert made(schema).fault(good) is None
    assert bad is None or made(schema).fault(bad) is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "x" * 9]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=6,
)
LEAVES: list[Any] = [
    {"type": "object"},
    {"type": ["string", "null"]},
    {"enum": [1, "a", None]},
    {"const": "ab"},
    {"minLength": 1, "maxLength": 3},
    {"pattern": "^a"},
    {"minimum": 0, "exclusiveMaximum": 3},
    {"required": ["a"]},
    {"uniqueItems": True},
    True,
    False,
]


def schemas(*leaves: Any) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from([*LEAVES, *leaves]),
        lambda inner: st.one_of(
            st.builds(lambda a, b: {"properties": {"a": a, "b": b}}, inner, inner),
            st.builds(lambda a: {"additionalProperties": a}, inner),
            st.builds(lambda a: {"items": a}, inner),
            st.builds(lambda a: {"not": a}, inner),
            st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
            st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
            st.builds(lambda a, b: {"oneOf": [a, b]}, inner, inner),
            st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
            st.builds(lambda a: {"patternProperties": {"^a": a}, "unevaluatedProperties": False}, inner),
        ),
        max_leaves=6,
    )


@given(schemas({"$ref": "#/$defs/d"}), schemas(), st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_the_verdict_is_that_of_another_validator(schema: Any, part: Any, value: Any) -> None:
    whole = {"allOf": [schema], "$defs": {"d": {"minProperties": 1, "anyOf": [part]}}}
    assert (made(whole).fault(value) is None) == Draft202012Validator(whole).is_valid(value)


# ---- M-16 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:1/x",
        "https://example.com/x#/a",
        "file:///etc/passwd",
        "other",
        "other.json#/a",
        "//example.com/x",
        "urn:a:b",
        "?x",
        "",
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
def test_m_16_nothing_outside_of_a_schema_is_fetched(reference: str, keyword: str) -> None:
    assert (
        refused({"properties": {"a": {keyword: reference}}})
        == "it has a reference that leads outside, and nothing is fetched"
    )


def test_m_16_a_reference_is_read_against_one_base() -> None:
    assert refused({"properties": {"a": {"$id": "http://127.0.0.1:1/", "$ref": "#/x"}}}) == "it has an `$id` inside"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (b"", "it is"),
        (b"null", "it is no object"),
        (b"true", "it is no object"),
        (b"[]", "it is no object"),
        (b'{"a": 1, "a": 2}', "it is a duplicate member"),
        (b'{"maximum": 1e999}', "it is a number"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "it is nested deeper"),
        (b'{"not":' * 10_000 + b"true" + b"}" * 10_000, "it is nested deeper"),
        ({"enum": list(range(20_001))}, "it is more than"),
        ({"type": "nonsense"}, "it is not valid"),
        ({"$ref": "#/nowhere"}, "it is not valid"),
        ({"$ref": "#nowhere"}, "it is not valid"),
        ({"$schema": "http://127.0.0.1:1/schema"}, "its `$schema` is none that is known"),
        ({"$schema": 5}, "its `$schema` is none that is known"),
        ({"pattern": "(?=a)b"}, "cannot be matched in linear time"),
        ({"pattern": r"(a)\1"}, "cannot be matched in linear time"),
        ({"pattern": "(a{1000}){1000}"}, "cannot be matched in linear time"),
        ({"pattern": "("}, "cannot be matched in linear time"),
        ({"patternProperties": {"(?=a)b": True}}, "cannot be matched in linear time"),
        ({"allOf": [{"pattern": f"a{number}"} for number in range(65)]}, "too many patterns"),
        ({"patternProperties": {f"a{number}": True for number in range(17)}}, "too many patterns"),
        ({"unevaluatedProperties": False, "properties": {"a": {"$ref": "#"}}}, "refers to itself and has"),
        ({"patternProperties": {"a": {"$ref": "#"}}}, "refers to itself and has"),
    ],
)  # fmt: skip
def test_m_16_what_cannot_be_checked_is_refused_with_a_reason(schema: Any, says: str) -> None:
    assert says in refused(schema)


def test_m_16_patterns_take_only_so_much_memory() -> None:
    large = [{"pattern": f"^[\u0100-\u0200]{{1,{200 + number}}}$"} for number in range(60)]
    assert made({"allOf": large[:3]}).size > made({"allOf": large[:1]}).size > 64 * 1024
    heavy = [{"pattern": f"(?:\\w|\\W){{1,{120 + number}}}$"} for number in range(60)]
    assert "it is not valid" in refused({"allOf": heavy}) or "linear" in refused({"allOf": heavy})


def chain(length: int, link: Callable[[Any], Any], last: Any) -> dict[str, Any]:
    """A schema whose definitions lead from one to the next."""
    definitions = {f"a{number}": link({"$ref": f"#/$defs/a{number + 1}"}) for number in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{length}": last}}


LINKS: dict[str, Callable[[Any], Any]] = {
    "allOf": lambda to: {"allOf": [to, to]},
    "anyOf": lambda to: {"anyOf": [{"not": to}, to]},
    "if": lambda to: {"if": to, "then": to, "else": to},
    "unevaluated": lambda to: {"unevaluatedProperties": False, "allOf": [to]},
    "unevaluated if": lambda to: {"unevaluatedProperties": False, "if": to, "then": to},
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_m_16_a_schema_that_doubles_with_each_reference_is_refused(link: Callable[[Any], Any]) -> None:
    assert refused(chain(60, link, {"type": "object"})) == "it is too much with its references followed"
    assert made(chain(3, link, {"type": "object", "properties": {"a": {}}})).fault({"a": 1}) is None


DOUBLING = chain(28, LINKS["allOf"], {"type": "object"})["$defs"]
DRAFT_07 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("keyword", ["default", "const", "examples"])
def test_m_16_a_second_anchor_does_not_hide_what_the_first_one_weighs(keyword: str, before: bool) -> None:
    decoy = {keyword: [{"$anchor": "a"}]}
    real = {"$ref": "#a", "$defs": {"one": {"$anchor": "a", "type": "object"}}}
    assert made(real).fault({"x": 1}) is None
    assert refused({**decoy, **real} if before else {**real, **decoy}) == "it has one anchor twice"
    both = {"$ref": "#a", "$defs": {"one": {"$anchor": "a", "$dynamicAnchor": "a", "type": "object"}}}
    assert made(both).fault({"x": 1}) is None


@pytest.mark.parametrize("name", ["definitions", "$defs", "x"])
def test_m_16_what_dependencies_lead_to_is_weighed_whatever_its_name(name: str) -> None:
    hidden = {"$schema": DRAFT_07, "$defs": DOUBLING, "dependencies": {name: {"$ref": "#/$defs/a0"}}}
    assert refused(hidden) == "it is too much with its references followed"
    plain = {"$schema": DRAFT_07, "dependencies": {name: ["y"]}}
    assert made(plain).fault({name: 1, "y": 1}) is None
    assert made(plain).fault({name: 1}) is not None


def test_m_16_names_are_matched_as_often_as_references_lead_there_and_paid_for() -> None:
    heavy = {"patternProperties": {f"(?:[ab])*a(?:[ab]){{{1500 + number}}}c": False for number in range(16)}}
    name = "ab" * 1000
    assert made(heavy).fault({"a": 1}) is None
    with pytest.raises(TooMuch):
        made(heavy).fault({name: 1})
    light: dict[str, Any] = {"$defs": {"x": {"patternProperties": {"^x-": {"type": "string"}}}}}
    once = {**light, "allOf": [{"$ref": "#/$defs/x"}]}
    often = {**light, "allOf": [{"$ref": "#/$defs/x"}] * 1000}
    assert made(once).fault({name: 1}) is None
    assert made(often).fault({"a": 1}) is None
    with pytest.raises(TooMuch):
        made(often).fault({name: 1})


def test_m_16_a_long_way_of_references_is_refused_because_of_the_stack() -> None:
    assert refused(chain(300, lambda to: to, True)) == "it is nested too deep"
    assert made(chain(150, lambda to: to, True)).fault({}) is None


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_m_16_a_schema_that_refers_to_itself_twice_takes_no_longer_with_depth(keyword: str) -> None:
    """Telling where the fault is would take 2^depth."""
    to = {"$ref": "#/$defs/n"}
    node = {"properties": {"a": {keyword: [to, {**to, "title": "x"}]}}, "not": {"required": ["bad"]}}
    schema = made({"$defs": {"n": node}, **to})
    assert schema.fault(nested(60, {"bad": 1})) == "they do not fit it"
    fits = None if keyword != "oneOf" else "they do not fit it"
    assert schema.fault(nested(60, {"good": 1})) == fits


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "(a|a)*$",
        "^(a|aa)+$",
        r"(\w+\s?)*$",
        "(.*)*b",
        "[ab]*a[ab]{600}c",
        "(?:[ab]|a[ab])*a(?:[ab]|aa){400}c",
    ],
)
def test_m_16_no_pattern_takes_long_over_a_long_text(pattern: str) -> None:
    schema = made({"properties": {"a": {"pattern": pattern}, "list": {"items": {"pattern": pattern}}}})
    for value in ({"a": "ab" * 1_000_000}, {"list": ["ab" * 50] * 20_000}):
        try:
            schema.fault(value)
        except TooMuch:
            continue
    assert schema.fault({"b": "ab" * 1_000_000}) is None, "a text that meets no pattern costs nothing"


def test_m_16_a_pattern_that_was_not_paid_for_matches_nothing_under_not_either() -> None:
    schema = made({"properties": {"a": {"not": {"pattern": "^.{1,500}$"}}}})
    with pytest.raises(TooMuch):
        schema.fault({"a": "x" * 100_000})
    assert schema.fault({"a": "x" * 501}) is None


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"items": {"allOf": [{"minLength": 0}] * 1000}}, ["x"] * 100, ["x"] * 10_000),
        ({"patternProperties": {"^x": True}}, {"x" * 4000: 1}, {"x" * 4100: 1}),
        ({"enum": [list(range(5000))]}, [1] * 100, [1] * 10_000),
    ],
)
def test_m_16_a_value_that_is_too_large_for_its_schema_is_refused_unchecked(schema: Any, good: Any, bad: Any) -> None:
    whole = {"properties": {"a": schema}}
    made(whole).fault({"a": good})
    with pytest.raises(TooMuch):
        made(whole).fault({"a": bad})


def test_a_large_value_is_judged_though_its_fault_is_not_explained() -> None:
    schema = made({"additionalProperties": {"type": "string"}})
    value: dict[str, Any] = {f"a{number}": "x" for number in range(20_000)}
    assert schema.fault(value) is None
    assert schema.fault({**value, "last": 5}) == "they do not fit it"
