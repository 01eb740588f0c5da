"""MCP where the gateway is the server itself: what it says of itself, and the list of its tools, in both eras.

It has tools and nothing else, and says so. A list shows what the caller may use, page by page: the cursor is the name of the
last tool that the caller was shown, so it tells nobody anything, and one that names a tool that the caller may not see is as
unknown as one that was made up (M-17).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Raw

from counterseal.core.call import Call, Era
from counterseal.core.limits import Limits
from counterseal.core.methods import MODERN
from counterseal.errors import BadCall
from counterseal.wire import jsonrpc

SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
_TTL_MS: Final = 300_000
"""How long a client may keep what changes only when the gateway is started again."""
_CACHED: Final = {"ttlMs": _TTL_MS, "cacheScope": "private"}

Visible = Callable[[str, Raw], bool]
"""Whether a list shows the caller a tool: (its name, its definition)."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """One server. information: its `serverInfo`. tools: name to definition, in JSON, in their order."""

    information: Mapping[str, str]
    instructions: str
    tools: Mapping[str, Raw]

    def answer(self, call: Call, visible: Visible, limits: Limits) -> bytes:
        """The response to any request but `tools/call`. Raises BadCall."""
        match call.method:
            case "server/discover":
                result: dict[str, Any] = {"supportedVersions": [MODERN], **self._offer(), **_CACHED}
            case "initialize":
                result = {"protocolVersion": call.revision, **self._offer(), "serverInfo": self.information}
            case "ping":
                result = {}
            case "tools/list":
                result = self._list(call, visible, limits)
            case _:
                raise unknown_method(call)
        return self.response(call, result)

    def response(self, call: Call, result: Mapping[str, Any]) -> bytes:
        """A result as the era of the call has it."""
        if call.era is Era.MODERN:
            result = {**result, "resultType": "complete", "_meta": {SERVER_INFO: self.information}}
        return jsonrpc.write({"jsonrpc": "2.0", "id": call.id, "result": result})

    def _offer(self) -> dict[str, Any]:
        return {"capabilities": {"tools": {}}, **({"instructions": self.instructions} if self.instructions else {})}

    def _list(self, call: Call, visible: Visible, limits: Limits) -> dict[str, Any]:
        after = self._last_seen(call, visible)
        page: list[Raw] = []
        last = None
        size = 0
        is_open = after is None
        for name, definition in self.tools.items():
            if not is_open:
                is_open = name == after
            elif visible(name, definition):
                size += len(memoryview(definition))
                if page and (size > limits.openapi_page_bytes or len(page) == limits.openapi_page_count):
                    return {"tools": page, "nextCursor": _cursor(last or ""), **self._kept(call)}
                page.append(definition)
                last = name
        return {"tools": page, **self._kept(call)}

    def _last_seen(self, call: Call, visible: Visible) -> str | None:
        params: Mapping[str, Any] = (call.message or {}).get("params", {})
        cursor = params.get("cursor")
        if cursor is None:
            return None
        name = _name(cursor) if isinstance(cursor, str) else None
        if name is None or name not in self.tools or not visible(name, self.tools[name]):
            raise BadCall("invalid_params", "there is no such cursor: begin the list again, without one")
        return name

    @staticmethod
    def _kept(call: Call) -> Mapping[str, Any]:
        if call.era is not Era.MODERN:
            return {}
        return {**_CACHED, "cacheScope": "public"} if call.whole else _CACHED


def unknown_method(call: Call) -> BadCall:
    """For what this server does not have, as the era says it (docs/decisions/0010)."""
    code = "method_not_found" if call.era is Era.MODERN else "method_unknown"
    return BadCall(code, f"this server has tools only, and no method {call.method!r}")


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _name(cursor: str) -> str | None:
    try:
        name = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return name if _cursor(name) == cursor else None
