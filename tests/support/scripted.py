"""An MCP server that does what the name of the tool says, whatever it is spoken to over: the peer of tests/contracts/server.py.

Like every part of the tests it checks nothing. `say` and `leave` may be called from any thread.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

Say = Callable[[Mapping[str, Any] | bytes], None]

SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
TOOLS: Final = ("echo", "delete_all")
MODERN: Final = "2026-07-28"


class Script:
    """heard: every message. modern: whether it has revision 2026-07-28. revision: what it negotiates at most."""

    def __init__(self, *, modern: bool = True, revision: str = "2025-11-25") -> None:
        self.heard: list[dict[str, Any]] = []
        self._modern = modern
        self._revision = revision
        self._lock = threading.Lock()
        self._together: list[tuple[dict[str, Any], Say]] = []
        self._questions: dict[str, tuple[dict[str, Any], Say]] = {}

    def handle(self, message: dict[str, Any], say: Say, leave: Callable[[], None]) -> None:
        """One message of the client."""
        self.heard.append(message)
        if "method" not in message and message["id"] in self._questions:
            asked, answer = self._questions.pop(message["id"])
            answer(text(asked, json.dumps(message.get("error") or message["result"])))
        if "method" not in message or "id" not in message:
            return
        if message["method"] == "subscriptions/listen":
            about = {"_meta": {SUBSCRIPTION: message["id"]}}
            say(note("notifications/subscriptions/acknowledged", {"notifications": {}, **about}))
            say(note("notifications/tools/list_changed", about))
            return
        if message["method"] == "tools/call":
            self._call(message, message["params"]["name"], say, leave)
        else:
            say(self._answer(message))

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["method"]:
            case "initialize":
                wanted = message["params"]["protocolVersion"]
                return result(
                    message,
                    protocolVersion=min(wanted, self._revision),
                    capabilities={"tools": {"listChanged": True}, "logging": {}, "resources": {"subscribe": True}},
                    serverInfo={"name": "scripted", "version": "1"},
                )
            case "server/discover" if self._modern:
                return result(message, supportedVersions=[MODERN], capabilities={"tools": {}})
            case "tools/list":
                return result(message, tools=[{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS])
            case "ping":
                return result(message)
        return error(message, -32601, "no such method")

    def _call(self, message: dict[str, Any], tool: str, say: Say, leave: Callable[[], None]) -> None:
        arguments = message["params"].get("arguments", {})
        match tool:
            case "echo":
                say(text(message, arguments["text"]))
            case "fail":
                say(error(message, -32602, "as you wish"))
            case "big":
                say(text(message, "x" * arguments["size"]))
            case "garbage":
                say(b'{"jsonrpc": "2.0", "id": 1, "result"')
            case "hang":
                pass
            case "leave":
                leave()
            case "progress":
                token = message["params"]["_meta"]["progressToken"]
                say(note("notifications/progress", {"progressToken": token, "progress": 1}))
                say(text(message, "done"))
            case "pid":
                say(text(message, str(os.getpid())))
            case "ask":
                # A question of the server, whose answer is the answer to the call.
                self._questions["q-1"] = (message, say)
                say({"jsonrpc": "2.0", "id": "q-1", "method": arguments["method"], "params": {}})
            case "heard":
                say(text(message, json.dumps(self.heard)))
            case "tell":
                say(note(arguments["method"], arguments.get("params", {})))
                say(text(message, "told"))
            case "say":
                say(arguments["line"].encode())
            case "together":
                self._gather(message, arguments["of"], say)
            case _:
                say(error(message, -32602, "no such tool"))

    def _gather(self, message: dict[str, Any], of: int, say: Say) -> None:
        """So many calls are answered at once, in an order of no meaning."""
        with self._lock:
            self._together.append((message, say))
            if len(self._together) < of:
                return
            calls, self._together = self._together, []
        random.Random(of).shuffle(calls)
        for asked, answer in calls:
            answer(text(asked, asked["params"]["arguments"]["text"]))


def result(message: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **members}}


def text(message: Mapping[str, Any], said: str) -> dict[str, Any]:
    return result(message, content=[{"type": "text", "text": said}])


def note(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def error(message: Mapping[str, Any], code: int, why: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": why}}


def line(said: Mapping[str, Any] | bytes) -> bytes:
    return said if isinstance(said, bytes) else json.dumps(said).encode()
