"""The inputSchemas that one server's lists showed so far, bounded in number and in bytes."""

from __future__ import annotations

from typing import Final

from counterseal.core.limits import Limits

_MOST: Final = 10_000

TOO_LARGE: Final = b""
"""Stands for a schema that is over the ceiling: the tool is known, what it takes is not."""


class ToolSchemas:
    """JSON texts by the tool's name. Where there would be too many, all are forgotten: then no list has shown these tools."""

    def __init__(self, limits: Limits) -> None:
        self._longest = limits.tool_schema_bytes
        self._most_bytes = limits.tool_schemas_bytes
        self._schemas: dict[str, bytes] = {}
        self._bytes = 0

    def add(self, tool: str, schema: memoryview) -> None:
        """What a list shows of a tool. It replaces what an earlier one showed."""
        text = TOO_LARGE if len(schema) > self._longest else bytes(schema)
        before = self._schemas.get(tool)
        if text == before:
            return
        size = self._bytes + len(text) - len(before or b"")
        if size > self._most_bytes or (before is None and len(self._schemas) >= _MOST):
            self._schemas.clear()
            size = len(text)
        self._schemas[tool] = text
        self._bytes = size

    def get(self, tool: str) -> bytes | None:
        """The schema's text, TOO_LARGE for one that was not kept; None where no list has shown the tool."""
        return self._schemas.get(tool)
