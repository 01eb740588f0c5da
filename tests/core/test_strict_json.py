"""The reader itself: what its ceilings count, and that they are arguments. The corpus is in `tests/wire/test_jsonrpc.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.strict_json import NotStrict, TooBig, read


def members_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(children) + sum(map(members_of, children))


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth_of, children), default=0)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("[{,\"'é1e", max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("[{,ab", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(_json, st.sampled_from([None, 1]))
def test_the_ceilings_hold_exactly(value: Any, indent: int | None) -> None:
    """J-13: depth and members at n, at n + 1; brackets and commas in texts count for nothing."""
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode()
    depth, members = depth_of(value), members_of(value)
    assert read(text, depth=depth, members=members) == value
    if depth:
        with pytest.raises(TooBig, match="deeper"):
            read(text, depth=depth - 1, members=members)
    if members:
        with pytest.raises(TooBig, match="members"):
            read(text, depth=depth, members=members - 1)


def test_a_token_and_a_body_have_ceilings_of_their_own() -> None:
    text = b"[" * 17 + b"]" * 17
    assert depth_of(read(text, depth=17, members=16)) == 17
    with pytest.raises(TooBig):
        read(text, depth=16, members=16)


@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"[1,2,1E+400]",
        b'{"a":{"b":[1e309]}}',
        b"1" + b"0" * 210 + b"e99",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'{"\xc3\xa9":1,"\\u00e9":1}',
        b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":1}',
        b'[{"x":{"a":1,"a":2}}]',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        '"a"'.encode("utf-16"),
        '"a"'.encode("utf-16-be"),
        '"a"'.encode("utf-32"),
        b"1 2",
        b"01",
        b"'a'",
        b"[1,]",
        b'"\t"',
    ],
)
def test_what_two_readers_could_take_for_two_values_is_refused(text: bytes) -> None:
    """J-09, J-13, J-25, M-04, M-05: wherever it stands, and the message quotes nothing of it."""
    for body in (text, b"[%s]" % text, b'{"deep":[{"x":%s}]}' % text):
        with pytest.raises(NotStrict) as refused:
            read(body, depth=64, members=1000)
        assert "xc3" not in str(refused.value)


def test_a_duplicate_members_name_is_not_in_the_message() -> None:
    with pytest.raises(NotStrict, match=r"^a duplicate member$"):
        read(b'{"secret":1,"secret":2}', depth=2, members=9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1,"A":1,"\\u00e9":1,"e\\u0301":1}', {"a": 1, "A": 1, "\u00e9": 1, "e\u0301": 1}),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"18446744073709551617", 18446744073709551617),
        (b"1.0", 1.0),
        (b"1e-999", 0.0),
        (b'"\\ud83d\\ude00\\u0000"', "\U0001f600\0"),
        (b" \n\t\rnull ", None),
    ],
)
def test_what_every_reader_understands_alike_is_read(text: bytes, value: Any) -> None:
    """M-27: integers keep every digit, fractions stay fractions."""
    got = read(text, depth=2, members=9)
    assert (got, type(got)) == (value, type(value))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 330), st.integers(0, 330), st.integers(-400, 400), st.sampled_from(["", "-"]))
def test_no_number_that_overflows_a_double_is_read_however_it_is_written(
    whole: int, fraction: int, exponent: int, sign: str
) -> None:
    """J-13, J-14."""
    text = f"{sign}{'9' * whole}.{'9' * fraction or '0'}e{exponent}"
    if abs(float(text)) == float("inf"):
        with pytest.raises(NotStrict):
            read(f'{{"a":[{text}]}}'.encode(), depth=2, members=9)
    else:
        assert read(text.encode(), depth=2, members=9) == float(text)
