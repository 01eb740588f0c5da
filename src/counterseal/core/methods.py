"""MCP's methods as a table: what each one names, how policy treats it, and which revisions have it.

The wire room refuses what is not here, policy decides by `kind`, the claims name `name_field`, and the catalog filters
by `lists`: one table, so that no method can be known to one of them and not to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

MODERN: Final = "2026-07-28"
"""The newest revision: no handshake, no session, every request describes itself."""

LEGACY: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions with a handshake that this gateway carries, oldest first."""

SUPPORTED: Final = (*LEGACY, MODERN)


EXTENSION_TASKS: Final = "io.modelcontextprotocol/tasks"
"""The extension that has the methods `tasks/*`."""


class Kind(Enum):
    """How policy treats a method."""

    OPEN = "open"
    """Needed to speak at all, or a list that is filtered: for whoever may use anything on the server."""
    TOOL = "tool"
    """Has the effect that rules on `tools` are about."""
    ITEM = "item"
    """Reads or follows one named prompt or resource."""
    TASK = "task"
    """Is about a task, and decided as a call of the tool that made it."""


@dataclass(frozen=True, slots=True)
class Method:
    """One row. name_field: the member of `params` that names what is acted on, mirrored in `Mcp-Name`.

    lists: the member of the result that holds the items, and the method and member by which one item is used, so that a
    list shows exactly what may be used. arguments: `params.arguments` is bound into the call token.
    """

    name: str
    kind: Kind
    name_field: str | None = None
    lists: tuple[str, str, str] | None = None
    arguments: bool = False
    modern: bool = True
    legacy: bool = True
    notification: bool = False
    stream: bool = False


# HTTP requests that carry no method of MCP still need a token, a record and a decision. Their names carry our prefix so
# that no revision can collide with them.
STREAM: Final = "io.counterseal/stream"
"""A legacy `GET`: the server's own stream of a session."""
END_SESSION: Final = "io.counterseal/end-session"
"""A legacy `DELETE`."""
REPLY: Final = "io.counterseal/reply"
"""A legacy `POST` of a response to a request that the server made."""

_ROWS: Final = (
    Method("server/discover", Kind.OPEN, legacy=False),
    Method("subscriptions/listen", Kind.OPEN, legacy=False, stream=True),
    Method("initialize", Kind.OPEN, modern=False),
    Method("ping", Kind.OPEN, modern=False),
    Method("logging/setLevel", Kind.OPEN, modern=False),
    Method("tools/list", Kind.OPEN, lists=("tools", "tools/call", "name")),
    Method("tools/call", Kind.TOOL, name_field="name", arguments=True),
    Method("prompts/list", Kind.OPEN, lists=("prompts", "prompts/get", "name")),
    Method("prompts/get", Kind.ITEM, name_field="name", arguments=True),
    Method("resources/list", Kind.OPEN, lists=("resources", "resources/read", "uri")),
    Method("resources/templates/list", Kind.OPEN, lists=("resourceTemplates", "resources/read", "uriTemplate")),
    Method("resources/read", Kind.ITEM, name_field="uri"),
    Method("resources/subscribe", Kind.ITEM, name_field="uri", modern=False),
    Method("resources/unsubscribe", Kind.ITEM, name_field="uri", modern=False),
    Method("completion/complete", Kind.ITEM),
    Method("tasks/get", Kind.TASK, name_field="taskId", legacy=False),
    Method("tasks/update", Kind.TASK, name_field="taskId", legacy=False),
    Method("tasks/cancel", Kind.TASK, name_field="taskId", legacy=False),
    Method("notifications/initialized", Kind.OPEN, modern=False, notification=True),
    Method("notifications/cancelled", Kind.OPEN, modern=False, notification=True),
    Method("notifications/progress", Kind.OPEN, modern=False, notification=True),
    Method("notifications/roots/list_changed", Kind.OPEN, modern=False, notification=True),
    Method(STREAM, Kind.OPEN, modern=False, stream=True),
    Method(END_SESSION, Kind.OPEN, modern=False),
    Method(REPLY, Kind.OPEN, modern=False),
)

METHODS: Final[Mapping[str, Method]] = {row.name: row for row in _ROWS}
