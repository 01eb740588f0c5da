"""Whatever the file holds, the answer is a configuration or problems with their places, and never anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.config.load import load_text
from counterseal.errors import ConfigError
from tests.config.everything import EVERYTHING, changed, values
from tests.config.writing import write

LINE = re.compile(r"c\.yaml:(\d+):(\d+): .+: .+")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["*", "store", "env:X", "file:x", "https://a", "http://[::1]:1", "http://[v1.x]", "https://a:99999", "1e9d"]
    ),
)
KEYS = st.one_of(
    st.text(max_size=4), st.sampled_from(["permit", "deny", "issuer", "url", "signer", "headers", "iss", "kind"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
PLACES = [steps for steps, _ in values(EVERYTHING)]


def answer(text: str) -> None:
    try:
        load_text(text, "c.yaml", Path("/nowhere"), with_secrets=False)
    except ConfigError as error:
        lines = len(text.splitlines()) or 1  # YAML also ends lines at U+0085 and U+2028
        for problem in error.problems:
            match = LINE.fullmatch(problem)
            assert match is not None, problem
            assert 1 <= int(match[1]) <= lines + 1, problem
            assert problem.isprintable()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_c_01_any_value_in_any_place_is_accepted_or_told(steps: tuple[str | int, ...], value: Any) -> None:
    answer(write(changed(EVERYTHING, steps, value)).text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{},&*!|>'\"%@`#?<=~ \n\t\r\\0159.yeso\x00\x85\u2028\ufeff\ud800é"), max_size=40))
def test_c_01_any_text_is_accepted_or_told(text: str) -> None:
    answer(text)
