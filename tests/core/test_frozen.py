"""Values that nobody changes any more (I-09)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.frozen import freeze, thaw

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_is_thawed_is_what_was_frozen(value: Any) -> None:
    assert thaw(freeze(value)) == value
    assert json.dumps(thaw(freeze(value))) == json.dumps(value)


def test_i_09_nothing_below_a_frozen_value_can_be_changed() -> None:
    given = {"a": {"b": ["c", {"d": 1}]}}
    frozen = freeze(given)
    for change in (
        lambda: frozen.update(a=1),
        lambda: frozen["a"].__setitem__("b", 1),
        lambda: frozen["a"]["b"].append(1),
        lambda: frozen["a"]["b"][1].clear(),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()
    given["a"]["b"].append("late")
    assert thaw(frozen) == {"a": {"b": ["c", {"d": 1}]}}
    thawed = thaw(frozen)
    thawed["a"]["b"][1]["d"] = 2
    assert frozen["a"]["b"][1]["d"] == 1
