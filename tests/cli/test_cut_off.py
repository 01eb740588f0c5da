"""What becomes of calls that outlast the gateway: their callers are told, and the records say that no caller left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.cli import serve
from tests.support.calls import modern_headers, tool_call
from tests.support.gateway import configuration
from tests.support.hostile import SESSION, Heard, HostileServer, Line, chunked, event, plain
from tests.support.process import free_port
from tests.support.rawhttp import Wire, serving

NOTE = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "begun"}})


class Ending:
    """A gateway that ends with the block, and lets calls in flight have a moment. port: where it listens."""

    def __init__(self, folder: Path, server: HostileServer, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serve, "GRACE_SECONDS", seconds)
        self.port = free_port()
        self.audit = folder / "audit"
        self._config = folder / "counterseal.yaml"
        servers = {"weather": {"url": server.url}}
        written = configuration(self.port, folder, servers, callers={"api_keys": False, "anonymous": True})
        self._config.write_text(yaml.safe_dump(written))

    @contextmanager
    def running(self) -> Iterator[None]:
        with serving(config=self._config) as self.port:
            yield

    def request(self, call: Any, target: str = "/mcp/weather", **headers: str) -> bytes:
        body = json.dumps(call).encode()
        lines = {"Host": f"127.0.0.1:{self.port}", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {target} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def call(self, name: str, identity: str, target: str = "/mcp/weather") -> bytes:
        call = tool_call(name, id=identity)
        return self.request(call, target, **modern_headers(call))

    @property
    def entries(self) -> list[dict[str, Any]]:
        lines = (line for file in self.audit.glob("*.jsonl") for line in file.read_text().splitlines())
        return [entry for line in lines if (entry := json.loads(line))["event"] not in ("open", "close")]


def hanging(heard: Heard, line: Line) -> None:
    """Says something where it is asked to, and no more."""
    if heard.call["params"].get("name") == "stream":
        line.send(chunked(NOTE, end=False))
    line.gone(60)


def test_a_call_that_outlasts_the_gateway_gets_a_reason_and_a_record_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileServer(hanging) as server, ExitStack() as stack:
        ending = Ending(tmp_path, server, 0.2, monkeypatch)
        with ending.running():
            waiting, sending, leaving = (stack.enter_context(Wire(ending.port)) for _ in range(3))
            leaving.send(ending.call("wait", "gone"))
            assert heard(server, 1)
            leaving.reset()
            assert until(lambda: len(ending.entries) == 2)
            waiting.send(ending.call("wait", "mine"))
            sending.send(ending.call("wait", "half")[:-1])
            assert heard(server, 2)
        whole, half = waiting.answer(), sending.answer()
        assert whole is not None
        assert half is not None
        assert (whole.status, whole.reason, whole.message["id"]) == (503, "gateway_ended", "mine")
        assert (half.status, half.reason, half.message["id"]) == (503, "gateway_ended", None)
        assert [one.header("retry-after") for one in (whole, half)] == ["2", "2"]
        assert waiting.closed()
        assert server.calls == 2
    by_record = {entry["record"]: entry for entry in ending.entries if entry["event"] != "intent"}
    assert len(by_record) == 3
    mine = by_record.pop(whole.message["error"]["data"]["record"])
    assert (mine["event"], mine["outcome"], mine["reason"], mine["status"]) == (
        "outcome",
        "aborted",
        "gateway_ended",
        503,
    )
    refused = by_record.pop(half.message["error"]["data"]["record"])
    assert (refused["event"], refused["reason"], refused["status"]) == ("refusal", "gateway_ended", 503)
    (left,) = by_record.values()
    assert (left["outcome"], left["reason"], left["status"]) == ("aborted", "caller_left", None)


def test_a_call_that_ends_in_the_time_that_is_left_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()

    def answer(heard: Heard, line: Line) -> None:
        ends.wait(60)
        plain(heard, line)

    with HostileServer(answer) as server, ExitStack() as stack:
        ending = Ending(tmp_path, server, 10, monkeypatch)
        with ending.running():
            wire = stack.enter_context(Wire(ending.port))
            wire.send(ending.call("wait", "mine"))
            assert heard(server, 1)
            threading.Timer(0.2, ends.set).start()
        answered = wire.answer()
        assert answered is not None
        assert (answered.status, answered.message["id"]) == (200, "mine")
    assert [entry.get("outcome") for entry in ending.entries] == [None, "answered"]


@pytest.mark.parametrize("target", ["/mcp/weather", "/mcp"])
def test_a_stream_that_outlasts_the_gateway_does_not_look_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Its last chunk, the empty one, is missing."""
    name = "stream" if target == "/mcp/weather" else "weather__stream"
    with HostileServer(hanging) as server, ExitStack() as stack:
        ending = Ending(tmp_path, server, 0.2, monkeypatch)
        with ending.running():
            wire = stack.enter_context(Wire(ending.port))
            wire.send(ending.call(name, "mine", target))
            head = wire.head()
            assert head is not None
            assert head.header("transfer-encoding") == "chunked"
            assert b"begun" in wire.chunk()
        assert wire.closed()
    (_, outcome) = ending.entries
    assert (outcome["outcome"], outcome["reason"], outcome["status"]) == ("aborted", "gateway_ended", 200)


def test_of_a_batch_that_outlasts_the_gateway_nothing_more_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with HostileServer() as server, ExitStack() as stack:
        ending = Ending(tmp_path, server, 0.2, monkeypatch)
        with ending.running():
            wire = stack.enter_context(Wire(ending.port))
            wire.send(ending.request({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, **usual))
            begun = wire.answer()
            assert begun is not None
            session = begun.header("mcp-session-id")
            assert session is not None
            assert session != SESSION
            server.answer = hanging
            messages = [
                {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "wait", "arguments": {}}}
                for number in range(3)
            ]
            wire.send(ending.request(messages, **usual, **{"Mcp-Session-Id": session}))
            assert heard(server, 2)
        head = wire.head()
        assert head is not None
        assert (head.status, head.header("transfer-encoding")) == (200, "chunked")
        assert wire.closed()
        assert server.calls == 2
    assert [entry.get("reason") for entry in ending.entries if entry["event"] == "outcome"] == [None, "gateway_ended"]


def until(true: Any) -> bool:
    pause = threading.Event()
    for _ in range(6000):
        if true():
            return True
        pause.wait(0.01)
    return bool(true())


def heard(server: HostileServer, calls: int) -> bool:
    return until(lambda: server.calls == calls)
