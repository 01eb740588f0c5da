"""Paths with parameters in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.wire.openapi.tool import decoded, is_dots
from tests.wire.openapi.documents import parameter, tool, unmapped


def in_path(*names: str) -> tuple[dict[str, object], ...]:
    return tuple(parameter(name, "path", required=True) for name in names)


def test_a_path_is_taken_apart_at_its_slashes_and_braces() -> None:
    made = tool(path="/a b/{x}/v{y}.{z}/{x}:run/", parameters=in_path("x", "y", "z"))
    shown = ["".join(piece if isinstance(piece, str) else f"<{piece.name}>" for piece in one) for one in made.segments]
    assert shown == ["a%20b", "<x>", "v<y>.<z>", "<x>:run", ""]


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/a%20b", "a%20b"),
        ("/100%", "100%25"),
        ("/ü", "%C3%BC"),
        ("/a+b;c=d@e", "a+b;c=d@e"),
        ("/~x", "~x"),
        ("/a%2Fb", "a%2Fb"),
    ],
)
def test_what_stands_in_a_path_is_written_once(path: str, written: str) -> None:
    assert tool(path=path, parameters=()).segments == ((written,),)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("things", "does not begin with `/`"),
        ("/a\x00", "cannot be seen"),
        ("/a?b=c", "holds a query or a fragment"),
        ("/a#b", "holds a query or a fragment"),
        ("/a//b", "an empty segment"),
        ("//evil.example.com/a", "an empty segment"),
        ("/../a", "one of dots"),
        ("/a/%2e%2E/b", "one of dots"),
        ("/a/./b", "one of dots"),
        ("/a/..;x/b", "one of dots"),
        ("/a/{b}", "for which there is no parameter"),
        ("/a/{id", "a brace without its other half"),
        ("/a/id}", "a brace without its other half"),
    ],
)
def test_a_path_that_could_be_taken_for_another_leaves_the_tool_out(path: str, what: str) -> None:
    assert what in unmapped(path=path, parameters=()).what


def test_a_parameter_that_is_not_in_the_path_is_no_argument() -> None:
    made = tool(path="/a/{id}", parameters=in_path("id", "other"))
    assert made.checks.problem({"id": "x"}) is None
    assert made.checks.problem({"id": "x", "other": "y"}) is not None


@pytest.mark.parametrize(
    "dots", [".", "..", "%2e", "%2E%2e", ".%2e", "%252e%252e", "..;", "..;x=y", "..%3Bx", "%25252e."]
)
def test_dots_are_dots_however_they_are_written(dots: str) -> None:
    assert is_dots(dots)


@pytest.mark.parametrize("plain", ["", "...", "..a", "a..", "%2e%2e%2e", "-", "a;..", "%C0%AE"])
def test_other_names_are_none(plain: str) -> None:
    assert not is_dots(plain)


@given(st.text(alphabet="%25eE.aF", max_size=30))
def test_what_was_decoded_does_not_change_any_more(text: str) -> None:
    try:
        plain = decoded(text)
    except ValueError:
        return
    assert decoded(plain) == plain


def test_m_24_what_was_encoded_a_million_times_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="too often"):
        decoded("%" + "25" * 1_000_000)
    assert decoded("%252525252F") == "/"
