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
    began = time.perf_counter()
    assert checker.problem("a" * 5000 + "!") is not None
    assert time.perf_counter() - began < 2


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert Checker({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}).problem(1) is None
    tree = Checker(
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}}}}}
    )
    assert tree.problem({"t": {"t": {}}}) is None
    assert (tree.problem({"t": {"t": 5}}) or "").startswith("$.t.t: ")


@pytest.mark.parametrize("number", [10**400, -(10**40), 1e308, 0.1])
def test_any_number_is_held_against_a_schema(number: float) -> None:
    assert Checker({"type": "number"}).problem(number) is None
    assert Checker({"type": "string"}).problem(number) is not None
