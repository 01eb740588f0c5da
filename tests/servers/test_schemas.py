"""What is kept of the inputSchemas that a server's lists showed."""

from __future__ import annotations

import dataclasses

from counterseal.core.limits import LIMITS
from counterseal.servers.schemas import TOO_LARGE, ToolSchemas

SMALL = dataclasses.replace(LIMITS, tool_schema_bytes=10, tool_schemas_bytes=30)


def add(schemas: ToolSchemas, **texts: bytes) -> None:
    for tool, text in texts.items():
        schemas.add(tool, memoryview(text))


def test_the_newest_text_of_a_tool_is_kept() -> None:
    schemas = ToolSchemas(LIMITS)
    assert schemas.get("a") is None
    add(schemas, a=b"{}", b=b"{ }")
    assert (schemas.get("a"), schemas.get("b")) == (b"{}", b"{ }")
    add(schemas, a=b'{"a":1}')
    assert (schemas.get("a"), schemas.get("b"), schemas.get("c")) == (b'{"a":1}', b"{ }", None)


def test_m_16_a_schema_over_the_ceiling_is_not_kept_and_not_forgotten_either() -> None:
    schemas = ToolSchemas(SMALL)
    add(schemas, a=b"x" * 10, b=b"x" * 11)
    assert schemas.get("a") == b"x" * 10
    assert schemas.get("b") == TOO_LARGE == b""
    add(schemas, a=b"x" * 11)
    assert schemas.get("a") == TOO_LARGE


def test_m_16_when_there_would_be_too_many_bytes_all_that_came_before_are_forgotten() -> None:
    schemas = ToolSchemas(SMALL)
    add(schemas, a=b"x" * 10, b=b"x" * 10, c=b"x" * 10)
    add(schemas, a=b"y" * 10)
    assert [schemas.get(tool) for tool in "abc"] == [b"y" * 10, b"x" * 10, b"x" * 10]
    add(schemas, d=b"x")
    assert [schemas.get(tool) for tool in "abcd"] == [None, None, None, b"x"]
    add(schemas, a=b"x" * 10, b=b"x" * 10)
    assert [schemas.get(tool) for tool in "abd"] == [b"x" * 10, b"x" * 10, b"x"]


def test_m_16_there_are_only_so_many_tools() -> None:
    schemas = ToolSchemas(LIMITS)
    for number in range(10_000):
        schemas.add(f"t{number}", memoryview(b"{}"))
    assert schemas.get("t0") == b"{}"
    schemas.add("one more", memoryview(b"{}"))
    assert schemas.get("t0") is None
    assert schemas.get("one more") == b"{}"
