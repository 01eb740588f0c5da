"""The request that a call makes, whatever its arguments are."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.httpclient import Target
from counterseal.wire.openapi.request import NotWritten, Written, write_request
from counterseal.wire.openapi.tool import Tool
from tests.wire.openapi.documents import ID, parameter, tool

MOST = 16 * 1024
FREE: dict[str, Any] = {}


def written(made: Tool, arguments: dict[str, Any], most: int = MOST) -> Written:
    assert made.checks.problem(arguments) is None
    return write_request(made, arguments, most)


def refused(made: Tool, arguments: dict[str, Any], most: int = MOST) -> str:
    assert made.checks.problem(arguments) is None
    with pytest.raises(NotWritten) as caught:
        write_request(made, arguments, most)
    return str(caught.value)


def query(value: Any, **members: Any) -> str:
    made = tool(path="/things", parameters=(parameter("q", schema=FREE, **members),))
    target = written(made, {"q": value}).target
    return target.removeprefix("/things").removeprefix("?")


# ---- how values are written


@pytest.mark.parametrize(
    ("value", "members", "text"),
    [
        ("a b&c=d", {}, "q=a%20b%26c%3Dd"),
        ("a+b", {}, "q=a%2Bb"),
        ("ü/?#", {}, "q=%C3%BC%2F%3F%23"),
        ("", {}, "q="),
        (5, {}, "q=5"),
        (5.0, {}, "q=5"),
        (0.5, {}, "q=0.5"),
        (1e22, {}, "q=1e%2B22"),
        (True, {}, "q=true"),
        (False, {}, "q=false"),
        (None, {}, ""),
        (["a", "b c", 3], {}, "q=a&q=b%20c&q=3"),
        (["a,b", "c"], {"explode": False}, "q=a%2Cb,c"),
        ([], {}, ""),
        ([], {"explode": False}, ""),
        ([None, "a"], {}, "q=a"),
        ({"a": 1, "b": "x,y"}, {"explode": False}, "q=a,1,b,x%2Cy"),
        ({"a": 1, "b]&c": "x"}, {"style": "deepObject"}, "q%5Ba%5D=1&q%5Bb%5D%26c%5D=x"),
    ],
)
def test_a_value_in_a_query_is_written_as_openapi_has_it(value: Any, members: dict[str, Any], text: str) -> None:
    assert query(value, **members) == text


@pytest.mark.parametrize("value", [False, 0, "", [], ["a"]])
def test_only_an_object_is_written_as_a_deep_object(value: Any) -> None:
    assert query({"a": 1}, style="deepObject") == "q%5Ba%5D=1"
    made = tool(path="/things", parameters=(parameter("q", schema=FREE, style="deepObject"),))
    assert "it takes an object" in refused(made, {"q": value})


def test_json_in_a_query_is_json() -> None:
    content = {"name": "f", "in": "query", "content": {"application/json": {"schema": {}}}}
    made = tool(path="/things", parameters=(content,))
    assert written(made, {"f": {"a": ["&"]}}).target == "/things?f=%7B%22a%22%3A%5B%22%26%22%5D%7D"


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], [{"a": 1}], {"a": {"b": 1}}])
def test_what_a_place_has_no_form_for_is_refused(value: Any) -> None:
    made = tool(path="/things", parameters=(parameter("q", schema=FREE),))
    assert "`q`" in refused(made, {"q": value})
    deep = tool(path="/things", parameters=(parameter("q", schema=FREE, style="deepObject"),))
    if value != {"a": 1}:
        assert "has no form" in refused(deep, {"q": value})


@pytest.mark.parametrize(
    ("value", "members", "text"),
    [
        ("a b", {}, "a%20b"),
        (7, {}, "7"),
        (["a", "b,c"], {}, "a,b%2Cc"),
        ({"a": 1, "b": 2}, {}, "a,1,b,2"),
        ({"a": 1, "b": 2}, {"explode": True}, "a%3D1,b%3D2"),
        ("a;b=c", {}, "a%3Bb%3Dc"),
        ("?x#y", {}, "%3Fx%23y"),
        ("...", {}, "..."),
        ("100%", {}, "100%25"),
    ],
)
def test_a_value_in_a_path_is_one_segment(value: Any, members: dict[str, Any], text: str) -> None:
    made = tool(parameters=({**ID, "schema": FREE, **members},))
    assert written(made, {"id": value}).target == f"/things/{text}"


def test_headers_carry_what_they_can() -> None:
    made = tool(path="/things", parameters=(parameter("X-List", "header", FREE), parameter("If-Match", "header")))
    sent = written(made, {"X-List": ["a", 1], "If-Match": '"e-tag"'})
    assert sent.headers == (("X-List", "a,1"), ("If-Match", '"e-tag"'))
    assert written(made, {}).headers == ()


@pytest.mark.parametrize(
    ("made", "good", "bad"),
    [
        (parameter("X-A", "header", FREE), ["a", "b"], ["a,b"]),
        (parameter("X-A", "header", FREE), {"k": "1"}, {"k": "1,role,admin"}),
        (parameter("X-A", "header", FREE), {"k": "1"}, {"k,role": "1"}),
        (parameter("X-A", "header", FREE, explode=True), {"k": "1"}, {"k": "1,role=admin"}),
    ],
)
def test_a_comma_in_a_header_makes_no_piece_that_the_schema_did_not_see(made: Any, good: Any, bad: Any) -> None:
    one = tool(path="/things", parameters=(made,))
    written(one, {"X-A": good})
    assert written(one, {"X-A": "a,b"}).headers == (("X-A", "a,b"),)
    assert "holds a comma in one of its values" in refused(one, {"X-A": bad})


def test_a_name_in_a_header_ends_where_the_schema_says_that_it_ends() -> None:
    one = tool(path="/things", parameters=(parameter("X-A", "header", FREE, explode=True),))
    assert "has a name with `=` in it" in refused(one, {"X-A": {"role=admin": "x"}})
    assert written(one, {"X-A": {"role": "admin=x"}}).headers == (("X-A", "role=admin=x"),)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0", "ü", " a", "a ", "", "\x7f", "a\tb"])
def test_a_header_that_would_be_two_is_never_written(value: str) -> None:
    made = tool(path="/things", parameters=(parameter("X-A", "header"),))
    assert "characters that no header has" in refused(made, {"X-A": value})
    assert written(made, {"X-A": "a b"}).headers == (("X-A", "a b"),)


# ---- bodies


def test_a_body_is_the_argument_as_json() -> None:
    made = tool(verb="post", body=FREE)
    value = {"a": [1, 2.5, None, "ü"], "b": {}}
    sent = written(made, {"id": "x", "body": value})
    assert json.loads(sent.body or b"") == value
    assert sent.headers == (("Content-Type", "application/json"),)
    assert written(made, {"id": "x", "body": None}).body == b"null"


def test_without_a_body_there_is_none_but_its_length_where_one_is_expected() -> None:
    assert written(tool(verb="post", body=FREE, required=False), {"id": "x"}).body == b""
    assert written(tool(verb="post"), {"id": "x"}).body == b""
    assert written(tool(verb="get"), {"id": "x"}).body is None
    assert written(tool(verb="delete"), {"id": "x"}).body is None
    assert written(tool(verb="delete", body=FREE), {"id": "x", "body": 1}).body == b"1"


# ---- what would leave its place

LEAVING = [
    *("a/b", "/", "../admin", "..\\admin", "a\\b", "a\0b", "a\r\nb", "\x7f"),
    *("a%2Fb", "%2e%2e%2fadmin", "a%255Cb", "%00", "%25252f", "%" + "25" * 500 + "2f"),
]


@pytest.mark.parametrize("value", LEAVING)
def test_what_a_reader_would_take_for_another_segment_is_refused(value: str) -> None:
    made = tool(path="/things/{id}/parts")
    assert "would lead to another place" in refused(made, {"id": value})
    assert written(made, {"id": "a-b"}).target == "/things/a-b/parts"


@pytest.mark.parametrize("value", [".", "..", "%2e%2e", "%252e.", "..;a", "..%3ba", ""])
def test_a_segment_of_dots_or_of_nothing_is_refused(value: str) -> None:
    made = tool(path="/things/{id}")
    assert "would lead to another place" in refused(made, {"id": value})
    assert written(made, {"id": ".a"}).target == "/things/.a"


def test_two_values_that_make_dots_together_are_refused() -> None:
    made = tool(path="/{a}{b}", parameters=(parameter("a", "path"), parameter("b", "path")))
    assert "`a` and `b`" in refused(made, {"a": ".", "b": "."})
    assert written(made, {"a": ".", "b": "x"}).target == "/.x"


def test_a_value_in_a_path_is_not_null_and_no_list_of_nothing() -> None:
    made = tool(parameters=({**ID, "schema": FREE},))
    for value in (None, [], {}, [None], [""]):
        refused(made, {"id": value})


def test_an_address_has_a_ceiling() -> None:
    made = tool(path="/t", parameters=(parameter("q"), parameter("X-A", "header")))
    assert len(written(made, {"q": "a" * 95}, 100).target) == 100
    assert "more than 100 characters" in refused(made, {"q": "a" * 96}, 100)
    assert "more than 100 characters" in refused(made, {"q": "a" * 90, "X-A": "b" * 6}, 100)
    assert written(made, {"q": "a" * 90, "X-A": "b" * 5}, 100)


# ---- any arguments at all

PIECES = st.sampled_from(
    [
        "/",
        "\\",
        ".",
        "..",
        "%",
        "2f",
        "2F",
        "5c",
        "2e",
        "25",
        "?",
        "#",
        "&",
        "=",
        ";",
        ",",
        "+",
        " ",
        "@",
        ":",
        "//",
        "a",
        "ü",
        "\r\n",
        "\0",
        "[",
        "]",
        "<",
        "日",
        "admin",
        "http://evil.example.com",
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
)

TEMPLATE = "/v1/things/{id}/parts/p{number}:{mode}/end"
HOSTILE = tool(
    path=TEMPLATE,
    verb="put",
    parameters=(
        *({**ID, "name": name, "schema": FREE} for name in ("id", "number", "mode")),
        parameter("q", schema=FREE),
        parameter("list", schema=FREE, explode=False),
        parameter("deep", schema=FREE, style="deepObject"),
        parameter("X-Note", "header", FREE),
    ),
    body=FREE,
)
SHAPE = re.compile(r"/v1/things/[^/]+/parts/p[^/]+:[^/]+/end")


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("id", "number", "mode", "body"), VALUES),
        optional=dict.fromkeys(("q", "list", "deep", "X-Note"), VALUES),
    )
)
def test_any_arguments_stay_under_the_template(arguments: dict[str, Any]) -> None:
    try:
        made = write_request(HOSTILE, arguments, MOST)
    except NotWritten:
        return
    parts = urlsplit(made.target)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("", "", "")
    assert SHAPE.fullmatch(parts.path)
    # ... also for a reader that decodes it, once or more, and tidies it up afterwards
    path = parts.path
    for _ in range(8):
        path = unquote(path)
        assert not set(path) & set("\\\0\r\n")
        assert posixpath.normpath(path) == path
        assert path.count("/") == TEMPLATE.count("/")
        assert all(segment.partition(";")[0] not in ("", ".", "..") for segment in path.split("/")[1:])
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    assert all(name in ("q", "list") or re.fullmatch(r"deep\[.*\]", name, re.DOTALL) for name in names)
    assert [name for name, _ in made.headers] == [
        *(["X-Note"] if arguments.get("X-Note") is not None else []),
        "Content-Type",
    ]
    assert json.loads(made.body or b"") == arguments["body"]
    head = Target("http://127.0.0.1:1/base").at("/base" + made.target).head(made.verb, made.headers, made.body)
    assert head.count(b"\r\n") == 2 + len(made.headers) + 2
    assert head.startswith(f"PUT /base{made.target} HTTP/1.1\r\n".encode())
