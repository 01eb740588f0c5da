"""How values are refused."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from counterseal.config.problems import Faults, later, nearest, wrong


def test_a_near_miss_is_told_with_what_was_meant_and_a_far_one_with_what_there_is() -> None:
    assert nearest("isuer", ["issuer", "keys"]) == "; did you mean `issuer`?"
    assert nearest("xyz", ["issuer", "keys"]) == "; there is issuer, keys"
    assert nearest("xyz", []) == "; there is none"


def test_faults_are_raised_together_and_none_raises_nothing() -> None:
    Faults().check()
    faults = Faults()
    faults.add("one", "a", 0)
    faults.add("two {braces}")
    with pytest.raises(ValidationError) as caught:
        faults.check()
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [
        (("a", 0), "one"),
        ((), "two {braces}"),
    ]


@pytest.mark.parametrize(
    ("off", "on"), [(False, True), (False, 0), (True, False), (None, ""), (60, 61), ((), ("x",)), ({}, {"x": 1})]
)
def test_a_key_that_is_not_built_yet_may_only_be_off(off: Any, on: Any) -> None:
    adapter = TypeAdapter(Annotated[Any, later("it is not built yet: remove it", off)])
    assert adapter.validate_python(off) == off
    with pytest.raises(ValidationError, match="not built yet: remove it"):
        adapter.validate_python(on)


def test_what_is_wrong_is_said_in_full() -> None:
    assert str(wrong("is a {thing}: mend it")) == "is a {thing}: mend it"
