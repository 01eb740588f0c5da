"""What a server's lists have shown of its tools so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Final

from counterseal.core.limits import Limits
from counterseal.servers.schemas import ToolSchemas
from counterseal.wire import headers
from counterseal.wire.answer import Answer

_log = logging.getLogger("counterseal.servers")

_WARNINGS: Final = 20
"""Tools of one list that are named in the log."""
_MOST: Final = 10_000
"""Tools of one server that are remembered."""


class Learned:
    """server: its name, for the log."""

    def __init__(self, server: str, limits: Limits) -> None:
        self._server = server
        self._tools: dict[str, Mapping[headers.Path, str]] = {}
        self._schemas = ToolSchemas(limits)

    def schema(self, tool: str) -> Mapping[headers.Path, str] | None:
        """What a tool mirrors into headers; None where no list named the tool."""
        return self._tools.get(tool)

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema, as `ToolSchemas.get` has it."""
        return self._schemas.get(tool)

    def take(self, answer: Answer) -> None:
        """An answer has been read to its end."""
        for tool, reason in islice(answer.left_out.items(), _WARNINGS):
            _log.warning("server %s: tool %.80r is left out of lists: %s", self._server, tool, reason)
        if len(self._tools) + len(answer.learned) > _MOST:
            self._tools.clear()
        self._tools.update(answer.learned)
        for tool, schema in answer.schemas.items():
            self._schemas.add(tool, memoryview(schema))
