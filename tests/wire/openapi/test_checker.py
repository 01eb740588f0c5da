"""Values held against a schema."""

from __future__ import annotations

import time

import pytest

from counterseal.wire.openapi.checker import Checker


def test_what_fits_has_no_problem_and_what_does_not_says_where() -> None:
    checker = Checker({"properties": {"a": {"items": {"type": "integer"}}}, "additionalProperties": False})
    assert checker.problem({"a": [1, 2]}) is None
    assert checker.problem({"a": [1, "c4n4ry"]}) == '$.a[1]: the value is not of type "integer"'
    assert (checker.problem({"b": 1}) or "").startswith("$: Additional properties are not allowed")


def test_several_problems_are_told_and_not_all_of_many() -> None:
    told = Checker({"items": {"type": "integer"}}).problem(["x"] * 100) or ""
    assert len(told.splitlines()) == 5


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"pattern": "("},
        {"$ref": "#/$defs/none"},
        {"$ref": "http://127.0.0.1:1/x"},
        {"required": True},
    ],
)
def test_m_16_what_is_no_schema_is_told(schema: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Checker(schema)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", r"^((a|aa)+)\1$", "^(?=(a+)+$)(?!b)"])
def test_m_16_a_pattern_takes_a_bounded_time(pattern: str) -> None:
    checker = Checker({"pattern": pattern})
    began = time.process_time()
    assert checker.problem("a" * 5000 + "!") is not None
    assert time.process_time() - began < 2


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert Checker({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}).problem(1) is None
    tree = Checker(
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}}}}}
    )
    assert tree.problem({"t": {"t": {}}}) is None
    assert tree.problem({"t": {"t": 5}}) is not None


@pytest.mark.parametrize("number", [10**400, -(10**40), 1e308, 0.1])
def test_any_number_is_held_against_a_schema(number: float) -> None:
    assert Checker({"type": "number"}).problem(number) is None
    assert Checker({"type": "string"}).problem(number) is not None


def test_m_16_a_schema_that_refers_to_itself_is_told_apart_in_time_however_deep_the_value_is() -> None:
    """Finding the places would take twice as long for each level."""
    node = {"$ref": "#/$defs/node"}
    either = [
        {"type": "object", "properties": {"a": node}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": node, "b": {}}, "required": ["a", "b"]},
        {"type": "integer"},
    ]
    checker = Checker({**node, "$defs": {"node": {"anyOf": either}}})
    good: object = 1
    bad: object = "x"
    for _ in range(60):
        good, bad = {"a": good}, {"a": bad}
    assert checker.problem(good) is None
    assert checker.problem(bad) == "$: the value is not what the schema asks for"


def test_references_that_lead_nowhere_back_are_followed_to_the_place() -> None:
    definitions = {"a~1/b": {"type": "object", "properties": {"c": {"$ref": "#/$defs/c"}}}, "c": {"type": "integer"}}
    checker = Checker({"type": "object", "properties": {"d": {"$ref": "#/$defs/a~01~1b"}}, "$defs": definitions})
    problem = checker.problem({"d": {"c": "x"}})
    assert problem is not None
    assert problem.startswith("$.d.c: ")
