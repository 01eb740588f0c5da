"""What an HTTP answer becomes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from counterseal.wire.openapi.answer import ToolResult, read_answer, told
from tests.wire.openapi.documents import tool

PROMISING = tool(answer={"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]})
SILENT = tool()
JSON = "application/json"


def read(
    body: bytes, content_type: str | None = JSON, status: int = 200, *, promising: bool = False, most: int = 100
) -> ToolResult:
    return read_answer(PROMISING if promising else SILENT, status, content_type, body, most)


def texts(result: ToolResult) -> list[str]:
    return [one["text"] for one in result.content]


def structured(result: ToolResult) -> Any:
    return None if result.structured is None else json.loads(bytes(result.structured))


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"]
)
def test_an_object_is_text_and_structure(content_type: str) -> None:
    result = read(b'{"id": 1, "n": 1.50}\n', content_type)
    assert texts(result) == ['{"id": 1, "n": 1.50}\n']
    assert bytes(result.structured or b"") == b'{"id": 1, "n": 1.50}\n'
    assert not result.is_error


@pytest.mark.parametrize(
    "body", [b"[1, 2]", b'"a"', b"not json", b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a":' * 200 + b"1" + b"}" * 200]
)
def test_other_json_and_what_is_none_is_text_alone(body: bytes) -> None:
    result = read(body)
    assert texts(result) == [body.decode()]
    assert result.structured is None
    assert not result.is_error


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "ü".encode(), "ü"),
        ("text/html; charset=iso-8859-1", "ü".encode("latin-1"), "ü"),
        ("text/csv; charset=UTF-8; header=present", b"a,b", "a,b"),
        ("application/xml", b"<a/>", "<a/>"),
        ("application/atom+xml", b"<a/>", "<a/>"),
        ("application/yaml", b"a: 1", "a: 1"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        (None, b"plain", "plain"),
        ("", b"plain", "plain"),
    ],
)
def test_text_is_text(content_type: str | None, body: bytes, text: str) -> None:
    result = read(body, content_type)
    assert texts(result) == [text]
    assert result.structured is None


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/png", "image"),
        ("audio/wav", "audio"),
        ("application/pdf", "resource"),
        ("text/plain", "resource"),
        (None, "resource"),
    ],
)
def test_what_is_no_text_is_carried_as_it_is(content_type: str | None, kind: str) -> None:
    body = b"\x89PNG\xff\x00"
    (block,) = read(body, content_type).content
    assert block["type"] == kind
    if kind == "resource":
        assert block["resource"]["uri"] == "counterseal:answer/get_thing"
        assert block["resource"]["mimeType"] == content_type or "application/octet-stream"
    data = block["resource"]["blob"] if kind == "resource" else block["data"]
    assert base64.b64decode(data) == body


@pytest.mark.parametrize("status", [200, 204, 205])
def test_an_empty_answer_is_an_empty_result(status: int) -> None:
    assert read(b"", None, status) == ToolResult([])


@pytest.mark.parametrize("status", [400, 404, 409, 422, 429, 500, 503])
def test_the_servers_own_error_is_told_to_the_agent(status: int) -> None:
    result = read(b'{"detail": "no such thing"}', JSON, status, promising=True)
    assert result.is_error
    assert texts(result) == [f'The server answered with status {status}.\n{{"detail": "no such thing"}}']
    assert result.structured is None


def test_m_24_of_an_error_so_much_is_shown_and_no_more() -> None:
    (text,) = texts(read("ü".encode() * 1000, "text/plain", 500, most=101))
    assert len(text) < 150
    assert texts(read(b"\xff\x00", "application/pdf", 500)) == ["The server answered with status 500."]
    assert texts(read(b"", None, 404)) == ["The server answered with status 404."]


def test_a_promise_that_is_kept_is_structure() -> None:
    result = read(b'{"id": 7}', promising=True)
    assert structured(result) == {"id": 7}
    assert not result.is_error


@pytest.mark.parametrize("body", [b'{"id": "7"}', b"{}", b"[]", b"", b"not json", b'{"id": 1, "id": 2}'])
def test_a_promise_that_is_not_kept_is_an_error_that_shows_the_answer(body: bytes) -> None:
    result = read(body, promising=True)
    assert result.is_error
    assert result.structured is None
    first, *rest = texts(result)
    assert first.startswith(
        "The server did what it was asked and answered with status 200, but not as its document says:\n"
    )
    assert rest == ([body.decode()] if body else [])


def test_a_result_can_say_why_there_is_none() -> None:
    assert told("no") == ToolResult([{"type": "text", "text": "no"}], is_error=True)
