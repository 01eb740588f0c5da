"""A server of the old HTTP+SSE transport for tests: one event stream for each session, and posts that say nothing back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from typing import Any

from tests.support.hostile import Heard, HostileServer, Line, chunk, chunked, whole
from tests.support.scripted import Script, line


class SseServer(HostileServer):
    """Speaks tests.support.scripted. endpoint: what the first event says in place of the session's own address."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(self._respond)
        self.script = script or Script(modern=False, revision="2024-11-05")
        self.endpoint: bytes | None = None
        self.streams: dict[str, Line] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.url = self.url.removesuffix("/mcp") + "/sse"

    def say(self, session: str, said: Mapping[str, Any] | bytes) -> None:
        """One message on a session's stream."""
        data = line(said)
        with self._lock:
            self.streams[session].send(chunk(b"event: message\ndata: " + data + b"\n\n"))

    def _respond(self, heard: Heard, at: Line) -> None:
        if heard.verb == "GET":
            session = str(next(self._numbers))
            self.streams[session] = at
            where = self.endpoint or f"/messages?session_id={session}".encode()
            at.send(chunked(b"event: endpoint\ndata: " + where + b"\n\n", end=False))
            return
        session = heard.target.partition("session_id=")[2]
        if session not in self.streams:
            at.send(whole(b"", "404 Not Found"))
            return
        at.send(whole(b"Accepted", "202 Accepted", content_type="text/plain"))
        stream = self.streams[session]
        self.script.handle(heard.call, lambda said: self.say(session, said), stream.close)
