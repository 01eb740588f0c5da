"""The digest of arguments: RFC 8785, and nothing that two readers could take for two values."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterseal.core import strict_json
from counterseal.core.canonical import NotCanonical, arguments_digest
from tests.support.tokens import vectors


def digest_of(canonical: bytes) -> str:
    return "sha-256:" + base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")


def test_the_digest_is_that_of_the_canonical_form_of_the_published_vectors() -> None:
    """M-27: 6 pairs."""
    folder = vectors("jcs") / "testdata"
    files = sorted((folder / "input").glob("*.json"))
    assert len(files) == 6
    for file in files:
        value = strict_json.read(file.read_bytes(), depth=64, members=1000)
        canonical = (folder / "output" / file.name).read_bytes()
        assert bytes.fromhex((folder / "outhex" / file.with_suffix(".txt").name).read_text()) == canonical
        # A vector that is a list is bound inside an object, as arguments always are.
        if isinstance(value, dict):
            assert arguments_digest(value) == digest_of(canonical), file.name
        assert arguments_digest({"a": value}) == digest_of(b'{"a":' + canonical + b"}"), file.name


def test_no_arguments_are_the_empty_object() -> None:
    assert arguments_digest({}) == digest_of(b"{}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b'{ "b" : 2, "a":1.0 }'),
        (b'{"a":1e0}', b'{"a":1}'),
        (b'{"a":-0}', b'{"a":0}'),
        (b'{"a":"\\u0061\\/"}', b'{"a":"a/"}'),
        (b'{"\\u0061":1}', b'{"a":1}'),
        (b'{"a":100000000000000000000.0}', b'{"a":1E20}'),
    ],
)
def test_one_value_has_one_digest_however_it_is_spelled(one: bytes, other: bytes) -> None:
    """M-27."""
    digests = {arguments_digest(strict_json.read(text, depth=8, members=9)) for text in (one, other)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": None}, {}),
        ({"a": []}, {"a": {}}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
        ({"a": "\u212a"}, {"a": "K"}),
        ({"A": 1}, {"a": 1}),
        ({"a": 0.1}, {"a": 0.10000000000000002}),
        ({"a": 2**53 - 1}, {"a": 2**53 - 2}),
    ],
)
def test_two_values_have_two_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert arguments_digest(one) != arguments_digest(other)


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_beyond_two_to_the_53_are_refused(sign: int) -> None:
    """M-27: a reader that holds numbers as doubles would act on another number."""
    arguments_digest({"a": sign * (2**53 - 1)})
    for beyond in (2**53, 2**53 + 1, 2**63, 10**30, 10**400):
        for arguments in ({"a": sign * beyond}, {"a": [{"b": sign * beyond}]}):
            with pytest.raises(NotCanonical):
                arguments_digest(arguments)


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), "\ud800", {"\udfff": 1}, {1: 2}, object()]
)
def test_what_is_no_json_value_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        arguments_digest({"a": value})


def test_arguments_as_deep_as_a_body_may_be_have_a_digest_and_no_depth_is_more_than_a_refusal() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return {"a": value}

    arguments_digest(nested(64))
    with pytest.raises(NotCanonical):
        arguments_digest(nested(100_000))


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(_text, _json, max_size=4))
def test_the_order_of_members_and_the_way_over_the_wire_change_nothing(arguments: dict[str, Any]) -> None:
    """M-27."""
    turned = dict(reversed(arguments.items()))
    sent = strict_json.read(json.dumps(turned).encode(), depth=64, members=1000)
    assert arguments_digest(arguments) == arguments_digest(turned) == arguments_digest(sent)


@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53) + 1, 2**53 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=8)
            | st.text('ab0.eE19-\\"/\x7f\x1f\n', max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aB_é", max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
@example({"a": 1e22})
@example({"a": [-1e16]})
@settings(max_examples=300, deadline=None)
def test_the_short_way_and_the_long_way_make_the_same_digest(arguments: dict[str, Any]) -> None:
    """The short way exists for speed alone."""
    assert arguments_digest(arguments) == digest_of(rfc8785.dumps(arguments))


def test_what_is_no_number_is_refused_and_never_taken_for_null() -> None:
    with pytest.raises(NotCanonical):
        arguments_digest({"a": float("nan")})
    with pytest.raises(NotCanonical):
        arguments_digest({"a": None, "b": [{"c": float("inf")}]})
    assert arguments_digest({"a": None, "b": [{"c": "null"}]}) == digest_of(b'{"a":null,"b":[{"c":"null"}]}')
    assert arguments_digest({"a": None}) == digest_of(b'{"a":null}')
