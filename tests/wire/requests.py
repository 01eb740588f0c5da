"""HTTP requests as values, one edit away from an accepted one."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.core.call import Call, Inbound, Session
from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall
from counterseal.wire import envelope
from tests.support.calls import modern_headers, tool_call

VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"

Mirrors = Mapping[tuple[str, ...], str]


@dataclass
class Draft:
    """A request that a test may still change. headers: name to the values that are sent, in order."""

    message: Any
    headers: dict[str, list[str]]
    verb: str = "POST"
    body: bytes | None = None
    sessions: Mapping[str, Session] = field(default_factory=dict)
    mirrors: Mapping[str, Mirrors] = field(default_factory=dict)

    def inbound(self) -> Inbound:
        body = self.body if self.body is not None else json.dumps(self.message, ensure_ascii=False).encode()
        sent = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, values in self.headers.items()
            for value in values
        ]
        return Inbound(self.verb, "weather", tuple(sent), body if self.verb == "POST" else b"", "127.0.0.1")

    def decode(self) -> Call:
        return envelope.decode(self.inbound(), LIMITS, self._open, self.mirrors.get)

    def outcome(self) -> Call | BadCall:
        """The call that this request makes, or its refusal."""
        try:
            return self.decode()
        except BadCall as refused:
            return refused

    def refusal(self) -> BadCall:
        """The refusal that this request gets. Fails the test where it gets none."""
        refused = self.outcome()
        assert isinstance(refused, BadCall), f"accepted: {refused}"
        return refused

    def _open(self, sealed: str) -> Session:
        if sealed not in self.sessions:
            raise BadCall("session_unknown", "no such session")
        return self.sessions[sealed]

    # ---- edits, each of which returns the draft ----

    def head(self, name: str, *values: str) -> Draft:
        """Send these values of a header instead; none: leave it out."""
        self.headers = {key: kept for key, kept in self.headers.items() if key.lower() != name.lower()}
        self.headers[name] = list(values)
        return self

    def member(self, name: str, value: Any) -> Draft:
        self.message[name] = value
        return self

    def param(self, name: str, value: Any) -> Draft:
        self.message.setdefault("params", {})[name] = value
        return self

    def meta(self, name: str, value: Any) -> Draft:
        self.message["params"].setdefault("_meta", {})[name] = value
        return self

    def without(self, *path: str) -> Draft:
        node = self.message
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        return self

    def text(self, body: bytes) -> Draft:
        self.body = body
        return self


Edit = Callable[[Draft], Draft]


def of(message: dict[str, Any]) -> Draft:
    """An accepted request of revision 2026-07-28 with its headers."""
    return Draft(copy.deepcopy(message), {name: [value] for name, value in modern_headers(message).items()})


def accepted() -> Draft:
    """The accepted twin of most refusals: a call of the tool `get_weather`, with the id 7."""
    return of(tool_call("get_weather", {"city": "Oslo"}, id=7))


def legacy(message: Any, revision: str | None = "2025-11-25", **headers: str) -> Draft:
    """A request of a revision with a handshake."""
    sent = {"Content-Type": ["application/json"], "Accept": ["application/json, text/event-stream"]}
    if revision is not None:
        sent["MCP-Protocol-Version"] = [revision]
    return Draft(
        copy.deepcopy(message), {**sent, **{name.replace("_", "-"): [value] for name, value in headers.items()}}
    )


def bodyless(verb: str, revision: str | None = "2025-11-25", **headers: str) -> Draft:
    """A legacy `GET` or `DELETE`."""
    sent = {"Accept": ["text/event-stream"]}
    if revision is not None:
        sent["MCP-Protocol-Version"] = [revision]
    return Draft(None, {**sent, **{name.replace("_", "-"): [value] for name, value in headers.items()}}, verb=verb)


def is_refused(refused: BadCall, status: int, code: int, reason: str) -> None:
    assert (refused.reason.status, refused.reason.rpc, refused.reason.code) == (status, code, reason)


def sentinel(value: str) -> str:
    """A header value in the encoded form."""
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="
