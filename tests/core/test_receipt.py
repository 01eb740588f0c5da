"""Receipts as lines: what is written is read again, and nothing else is a receipt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.receipt import NoReceipt, Receipt, is_torn, read

TEXT = st.none() | st.text()
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "sub", "jti", "txn", "act", "email"]),
    st.text() | st.integers() | st.lists(st.text()) | st.none(),
)


def made(**changes: Any) -> Receipt:
    claims = {"iss": "i", "aud": "a", "sub": "alice", "jti": "j1", "txn": "t1", "email": "alice@example.com"}
    known = {"time": 1.5, "server": "a", "reason": None, "method": "tools/call", "name": "get_weather"}
    return Receipt.of(claims, **{**known, **changes})


@given(
    CLAIMS,
    st.floats(min_value=0, max_value=4e9, allow_nan=False),
    TEXT,
    st.none() | st.text(st.characters(exclude_categories=())),
)
def test_a_receipt_of_any_text_is_one_line_and_is_read_as_it_was_written(
    claims: dict[str, Any], time: float, method: str | None, name: str | None
) -> None:
    receipt = Receipt.of(claims, time=time, server="s", reason=None, method=method, name=name)
    line = receipt.line()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read(line[:-1]) == receipt


def test_it_holds_what_tells_the_call_and_no_more() -> None:
    assert json.loads(made().line()).keys() == {
        *("v", "time", "server", "reason", "method", "name"),
        *("iss", "aud", "sub", "jti", "txn"),
    }
    assert b"example.com" not in made().line()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        made().line()[:-2],
        made().line().replace(b'"v":1', b'"v":2'),
        made().line().replace(b'"jti":"j1"', b'"jti":1'),
        made().line().replace(b'"jti":"j1"', b'"jti":"j1","jti":"j2"'),
        made().line().replace(b'"jti":"j1",', b""),
        made().line().replace(b'"time":1.5', b'"time":"1.5"'),
        made().line().replace(b'"time":1.5', b'"time":true'),
        made().line().replace(b'"server":"a"', b'"server":null'),
    ],
)
def test_anything_else_is_no_receipt(line: bytes) -> None:
    assert read(made().line().rstrip()) == made()
    with pytest.raises(NoReceipt):
        read(line.rstrip())


def test_the_beginning_of_a_receipt_is_a_torn_one_and_other_text_is_not() -> None:
    line = made().line()
    assert all(is_torn(line[:length]) for length in range(1, len(line) - 1))
    assert not is_torn(b"something else")
