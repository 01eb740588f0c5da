"""A streamable HTTP server that has sessions and nothing newer, and keeps to them strictly.

What it does in a session is what tests.support.scripted says; like every part of the tests it checks no token.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, Final

from tests.support.hostile import Heard, HostileServer, Line, whole
from tests.support.scripted import Script
from tests.support.scripted_http import answer

NO_SESSION: Final = {"code": -32000, "message": "Bad Request: Server not initialized"}
UNKNOWN: Final = {"code": -32001, "message": "Session not found"}


def refusal(error: Mapping[str, Any], status: str = "400 Bad Request") -> bytes:
    """A refusal as servers of these revisions write one: nobody's id."""
    return whole(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode(), status)


class OldServer(HostileServer):
    """sessions: those that are open. script: heard holds the messages that came so far as to be read. unknown: how it refuses a
    session that it does not know."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.sessions: set[str] = set()
        self.script = Script(modern=False)
        self.unknown = refusal(UNKNOWN, "404 Not Found")
        self._numbers = itertools.count(1)

    def methods(self) -> list[str]:
        """What came, in its order: a method, `reply`, or the verb of a request without a body."""
        return [heard.call.get("method", "reply") if heard.call else heard.verb for heard in self.seen]

    def ran(self, tool: str) -> int:
        """How often a tool was run."""
        return sum(one.get("params", {}).get("name") == tool for one in self.script.heard)

    def heard_of(self, method: str) -> list[Heard]:
        return [heard for heard in self.seen if heard.call and heard.call.get("method") == method]

    def _respond(self, heard: Heard, at: Line) -> None:
        session = heard.all("mcp-session-id")
        if not session and not (heard.call and heard.call.get("method") == "initialize"):
            at.send(refusal(NO_SESSION))
        elif session and session[0] not in self.sessions:
            at.send(self.unknown)
        elif heard.verb == "DELETE":
            self.sessions.discard(session[0])
            at.send(whole(b""))
        elif "id" not in heard.call or "method" not in heard.call:
            self.script.handle(heard.call, lambda _: None, at.close)
            at.send(whole(b"", "202 Accepted", content_type=""))
        else:
            self._answer(heard, at)

    def _answer(self, heard: Heard, at: Line) -> None:
        opened = {}
        if heard.call["method"] == "initialize":
            opened["mcp_session_id"] = f"theirs-{next(self._numbers)}"
            self.sessions.add(opened["mcp_session_id"])
        answer(self.script, heard, at, **opened)
