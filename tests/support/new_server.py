"""A streamable HTTP server that has revision 2026-07-28 and nothing older, and keeps to it strictly.

What it does is what tests.support.scripted says; like every part of the tests it checks no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.support.hostile import Heard, HostileServer, Line, whole
from tests.support.old_server import refusal
from tests.support.scripted import MODERN, Script
from tests.support.scripted_http import answer

_META: Final = "io.modelcontextprotocol/"
NO_VERSION: Final = {"code": -32022, "message": "unsupported version", "data": {"supported": [MODERN]}}


class NewServer(HostileServer):
    """script: heard holds the messages that came so far as to be read."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.script = Script(modern=True)

    def methods(self) -> list[str]:
        """What came, in its order."""
        return [heard.call["method"] if heard.call else heard.verb for heard in self.seen]

    def heard_of(self, method: str) -> list[Heard]:
        return [heard for heard in self.seen if heard.call and heard.call.get("method") == method]

    def _respond(self, heard: Heard, at: Line) -> None:
        if heard.verb != "POST":
            at.send(whole(b"", "405 Method Not Allowed", content_type=""))
            return
        why = _wrong(heard)
        if why is not None:
            at.send(refusal(why))
        elif heard.call["method"] in ("initialize", "ping", "logging/setLevel"):
            at.send(refusal({"code": -32601, "message": "no such method"}, "404 Not Found"))
        else:
            answer(self.script, heard, at)


def _wrong(heard: Heard) -> Mapping[str, Any] | None:
    """What of the ladder a request does not climb; None where it climbs it."""
    meta = heard.call.get("params", {}).get("_meta", {})
    if heard.all("mcp-protocol-version") != [MODERN]:
        return NO_VERSION
    if meta.get(_META + "protocolVersion") != MODERN or not isinstance(meta.get(_META + "clientCapabilities"), dict):
        return {"code": -32602, "message": "no protocol version or capabilities"}
    if heard.all("mcp-method") != [heard.call["method"]]:
        return {"code": -32020, "message": "Mcp-Method"}
    name = heard.call["params"].get("name", heard.call["params"].get("uri"))
    if heard.all("mcp-name") != ([] if name is None else [name]):
        return {"code": -32020, "message": "Mcp-Name"}
    if heard.all("mcp-session-id"):
        return {"code": -32600, "message": "there are no sessions"}
    return None
