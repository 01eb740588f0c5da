"""What text is a document, and where in it a value stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from counterseal.wire.openapi import text as reading
from counterseal.wire.openapi.text import NotADocument, Text


def refused(content: bytes) -> tuple[tuple[int, int], str]:
    with pytest.raises(NotADocument) as caught:
        Text.read(content)
    return caught.value.place, caught.value.what


def test_json_and_yaml_of_one_document_are_one_value() -> None:
    value = {"openapi": "3.0.3", "paths": {"/a": {"get": {"x": [1, -2.5, None, True, "ü", "no"]}}}}
    assert Text.read(json.dumps(value).encode()).value == value
    assert Text.read(yaml.safe_dump(value, allow_unicode=True).encode()).value == value


def test_a_byte_order_mark_does_not_count() -> None:
    assert Text.read(b"\xef\xbb\xbfopenapi: 3.0.3").value == {"openapi": "3.0.3"}
    assert Text.read(b'\xef\xbb\xbf{"openapi": "3.0.3"}').value == {"openapi": "3.0.3"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("2026-11-26", "2026-11-26"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        (".5", ".5"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1e3", 1000.0),
        ("1.25", 1.25),
        ("'12'", "12"),
        ('"true"', "true"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_plain_yaml_is_read_as_json_would_write_it(written: str, value: Any) -> None:
    assert Text.read(f"a: {written}".encode()).value == {"a": value}


def test_a_key_is_a_text_whatever_it_looks_like() -> None:
    assert Text.read(b"200: a\ntrue: b\nnull: c").value == {"200": "a", "true": "b", "null": "c"}


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        (b"", (1, 1), "is empty"),
        (b"# nothing", (1, 1), "is empty"),
        (b"a: \xff", (1, 4), "is not UTF-8"),
        (b"a: 1\n\nb: 2\na: 3", (4, 1), "has the key 'a' twice"),
        (b"a: 1\n'a': 3", (2, 1), "has the key 'a' twice"),
        (b"200: 1\n'200': 3", (2, 1), "has the key '200' twice"),
        (b"a: &x 1\nb: *x", (2, 4), "has an alias"),
        (b"a: &x [*x]", (1, 8), "has an alias"),
        (b"a: !!str 1", (1, 4), "has a tag"),
        (b"a: !!python/object/apply:os.system [x]", (1, 4), "has a tag"),
        (b"<<: {a: 1}", (1, 1), "has a merge key"),
        (b"a: 1\n---\nb: 2", (2, 1), "holds a second document"),
        (b"? [a]\n: 1", (1, 3), "has a key that is not a plain text"),
        (b"a: 1e999", (1, 4), "has a number that no double can hold"),
        (b"a: [1,", (2, 1), "is not YAML"),
        (b"a: \x00", (1, 1), "is not YAML: it holds a character"),
        (b'{"a":\n 01}', (2, 3), "is not JSON: invalid number"),
        (b'{"a": 1, "b": {"c": 1, "\\u0063": 2}}', (1, 1), "has the member 'c' twice"),
        (b'{"a": 1} {}', (1, 10), "is not JSON"),
        (b'{"a": 1e999}', (1, 1), "that no double can hold"),
        (b'{"a": NaN}', (1, 7), "is not JSON"),
    ],
)
def test_c_01_what_could_be_read_in_two_ways_is_refused_at_its_place(
    content: bytes, place: tuple[int, int], what: str
) -> None:
    found = refused(content)
    assert found[0] == place
    assert what in found[1]


def test_m_16_depth_and_members_have_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = 100
    assert Text.read(b"a: " + b"[" * (deep - 1) + b"]" * (deep - 1)).value
    assert "nested deeper" in refused(b"a: " + b"[" * deep + b"]" * deep)[1]
    assert "nested deeper" in refused(b'{"a": ' + b"[" * deep + b"]" * deep + b"}")[1]
    monkeypatch.setattr(reading, "_MEMBERS", 10)
    assert Text.read(b"a: [1, 2, 3, 4, 5, 6, 7, 8]").value
    assert "more than 10" in refused(b"a: [1, 2, 3, 4, 5, 6, 7, 8, 9]")[1]
    assert "more than 10" in refused(b'{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}')[1]


@pytest.mark.parametrize("bomb", [b"[" * 1_000_000, b"a: " + b"{a: " * 100_000, b"- " * 100_000, b'{"a":' * 100_000])
def test_m_16_a_text_that_is_nothing_but_depth_is_refused_and_not_fatal(bomb: bytes) -> None:
    refused(bomb)


YAML = b"""\
# a comment
openapi: 3.0.3
paths:
  /users/{id}:
    get:
      tags: [a, "b",
        c]
    "post": {x: 1}
"""
JSON = b"""\
{
  "openapi": "3.0.3",
  "paths": {"\\u002fusers/{id}": {
    "get": {"tags": ["a]}\\"", {"b": [1, 2]}, "c"]},
    "post": {"x": 1}
  }}
}
"""


def test_a_member_stands_at_its_name_and_an_item_at_itself() -> None:
    path = ("paths", "/users/{id}")
    assert Text.read(YAML).places(
        [("openapi",), path, (*path, "get"), (*path, "get", "tags", 2), (*path, "post", "x"), ()]
    ) == {
        ("openapi",): (2, 1),
        path: (4, 3),
        (*path, "get"): (5, 5),
        (*path, "get", "tags", 2): (7, 9),
        (*path, "post", "x"): (8, 14),
        (): (2, 1),
    }
    assert Text.read(JSON).places(
        [("openapi",), path, (*path, "get"), (*path, "get", "tags", 1, "b", 1), (*path, "post", "x"), ()]
    ) == {
        ("openapi",): (2, 3),
        path: (3, 13),
        (*path, "get"): (4, 5),
        (*path, "get", "tags", 1, "b", 1): (4, 41),
        (*path, "post", "x"): (5, 14),
        (): (1, 1),
    }


def test_what_is_not_there_stands_where_it_would_be() -> None:
    assert Text.read(b'{"a": {"b": 1}}').places([("a", "c")])[("a", "c")] == (1, 2)
    assert Text.read(b"a: {b: 1}").places([("a", "c")]) == {}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def pointers(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(one for step, child in items for one in pointers(child, (*at, step)))]


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.sampled_from([None, 0, 3]))
def test_every_value_of_a_json_document_is_found_where_it_is(value: dict[str, Any], indent: int | None) -> None:
    source = json.dumps(value, indent=indent)
    read = Text.read(source.encode())
    assert read.value == value
    lines = source.split("\n")
    for pointer, (line, column) in read.places(pointers(value)).items():
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        found, _ = json.JSONDecoder().raw_decode(rest)
        expected = pointer[-1] if pointer and isinstance(pointer[-1], str) else value
        if pointer and isinstance(pointer[-1], int):
            for step in pointer:
                expected = expected[step]
        assert found == expected
