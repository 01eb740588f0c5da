"""A server that does what it likes with its connection, byte by byte, and keeps every request it got.

It runs in threads of its own, so tests with and without an event loop use it alike. Without a fault it answers like a small MCP
server of both eras that checks nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_LINGER_NOT: Final = struct.pack("ii", 1, 0)
SESSION: Final = "server-session-1"
"""The session id that `initialize` is answered with."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it arrived. headers: in order, names as they were sent. line: the number of its connection."""

    verb: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    line: int

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def names(self) -> set[str]:
        """Every header's name, in lower case."""
        return {key.lower() for key, _ in self.headers}

    @property
    def call(self) -> Any:
        """The body as JSON; None where there is none."""
        return json.loads(self.body) if self.body else None

    @property
    def token(self) -> str:
        """What followed `Bearer `."""
        (value,) = self.all("authorization")
        return value.removeprefix("Bearer ")

    @property
    def raw(self) -> bytes:
        """All of it, to look for what must not be there."""
        head = "".join(f"{key}: {value}\r\n" for key, value in self.headers)
        return f"{self.verb} {self.target}\r\n{head}\r\n".encode("latin-1") + self.body


class Line:
    """One connection, as the one who answers on it has it. Writing to one that is gone is not an error."""

    def __init__(self, connected: socket.socket, number: int) -> None:
        self._socket = connected
        self.number = number
        self.ended = False

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.ended = True

    def close(self) -> None:
        """End the connection; what was sent still arrives."""
        self.ended = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End it with RST."""
        self.ended = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._socket.close()

    def gone(self, seconds: float = 10) -> bool:
        """Wait until the other side ends the connection; False where it does not in time."""
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        self.ended = True
        return True


Answering = Callable[[Heard, Line], None]


def whole(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer with its length. headers: `_` in a name stands for `-`; an empty value leaves a usual one out."""
    usual = {"content-type": "application/json", "content-length": str(len(body))}
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in usual.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def chunked(*parts: bytes, media: str = "text/event-stream", end: bool = True, **headers: str) -> bytes:
    """An answer in chunks. end: False leaves it open."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n{more}\r\n"
    return head.encode("latin-1") + b"".join(map(chunk, parts)) + (b"0\r\n\r\n" if end else b"")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(message: Mapping[str, Any] | bytes) -> bytes:
    """One server-sent event."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"data: " + data + b"\n\n"


def result(heard: Heard, value: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The JSON-RPC response to a request; members change it."""
    return {"jsonrpc": "2.0", "id": heard.call["id"], "result": dict(value or result_of(heard.call)), **members}


def response(heard: Heard, value: Mapping[str, Any] | None = None, **members: Any) -> bytes:
    return json.dumps(result(heard, value, **members)).encode()


def result_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """A result that fits the method."""
    match call["method"]:
        case "initialize":
            wanted = call["params"]["protocolVersion"]
            return {"protocolVersion": wanted, "capabilities": {}, "serverInfo": {"name": "hostile", "version": "1"}}
        case "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("get_weather", "delete_all")]
            return {"tools": tools, "resultType": "complete"}
        case "server/discover":
            return {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
    return {"content": [{"type": "text", "text": "ok"}], "resultType": "complete"}


def plain(heard: Heard, line: Line) -> None:
    """The answer without a fault."""
    if heard.verb == "GET":
        line.send(chunked(event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})))
    elif heard.verb == "DELETE":
        line.send(whole(b"", "204 No Content", content_type="", content_length=""))
    elif "id" not in heard.call or "method" not in heard.call:
        line.send(whole(b"", "202 Accepted", content_type=""))
    elif heard.call["method"] == "subscriptions/listen":
        line.send(chunked(event(response(heard))))
    elif heard.call["method"] == "initialize":
        line.send(whole(response(heard), mcp_session_id=SESSION))
    else:
        line.send(whole(response(heard)))


class HostileServer:
    """Set `answer` at any time; it is called in a thread for each request. Use as a context manager.

    seen: every request. lines: how many connections were made. url: its MCP address.
    """

    def __init__(self, answer: Answering = plain) -> None:
        self.answer = answer
        self.early = False
        """Answer before the body was read, and read nothing after it."""
        self.seen: list[Heard] = []
        self.lines = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._ending = False
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    def __enter__(self) -> HostileServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connected in list(self._open):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(60)
            assert not thread.is_alive(), "a thread of the hostile server did not end"

    @property
    def calls(self) -> int:
        return len(self.seen)

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, name="hostile server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.lines += 1
            self._open.add(connected)
            self._start(self._serve, connected, Line(connected, self.lines))

    def _serve(self, connected: socket.socket, line: Line) -> None:
        try:
            with connected, connected.makefile("rb") as stream:
                while not line.ended and (heard := _read(stream, line.number, early=self.early)) is not None:
                    early = self.early
                    self.seen.append(heard)
                    self.answer(heard, line)
                    if early:
                        return
        except OSError:
            pass
        finally:
            self._open.discard(connected)


def _read(stream: Any, number: int, *, early: bool) -> Heard | None:
    request = stream.readline().decode("latin-1").split()
    if len(request) != 3:
        return None
    headers = []
    while (text := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = text.partition(":")
        headers.append((name, value.strip()))
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    body = stream.read(lengths[0]) if lengths and not early else b""
    return Heard(request[0], request[1], tuple(headers), body, number)
