"""HTTP as bytes on a socket, for requests that no client would send; and our own HTTP server in a thread, to send them to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterseal.cli.serve import Server, uvicorn_config


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. headers: in order, names in lower case. body: without its chunks' framing."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The only value; None where it is absent."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def message(self) -> Any:
        """The body as JSON, or the data of its last event."""
        if (self.header("content-type") or "").startswith("text/event-stream"):
            lines = [line for line in self.body.decode().splitlines() if line.startswith("data:")]
            return json.loads(lines[-1].removeprefix("data:"))
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The code of the refusal."""
        code: str = self.message["error"]["data"]["reason"]
        return code


class Wire:
    """One connection to an address. `with` ends it. Every wait is bounded by `seconds`. takes: bytes that the system takes
    for us while we don't read; None for as many as it likes."""

    def __init__(self, port: int, seconds: float = 60, *, takes: int | None = None) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(seconds)
        if takes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send it, or as much of it as the other side takes."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def answer(self, verb: str = "POST") -> Answer | None:
        """The next answer that is not an interim one; None where the connection ends instead."""
        try:
            return self._answer(verb)
        except ConnectionError:
            return None

    def interim(self) -> int:
        """The status of an interim answer, which has no body."""
        status = int(self._stream.readline().split()[1])
        assert self._stream.readline() == b"\r\n"
        return status

    def chunk(self) -> bytes:
        """The next chunk of an answer whose head `head` has read."""
        data: bytes = self._stream.read(int(self._stream.readline(), 16))
        self._stream.readline()
        return data

    def head(self) -> Answer | None:
        """The head of an answer alone."""
        line = self._stream.readline()
        if not line:
            return None
        version, status = line.split()[:2]
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), line
        headers = []
        while (text := self._stream.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = text.partition(":")
            headers.append((name.lower(), value.strip()))
        return Answer(int(status), tuple(headers), b"")

    def _answer(self, verb: str) -> Answer | None:
        head = self.head()
        while head is not None and head.status == 100:
            head = self.head()
        if head is None:
            return None
        body = b""
        if verb == "HEAD" or head.status in (204, 304):
            pass
        elif head.header("transfer-encoding") == "chunked":
            while part := self.chunk():
                body += part
        elif (length := head.header("content-length")) is not None:
            body = self._stream.read(int(length))
        else:
            body = self._stream.read()
        return Answer(head.status, head.headers, body)

    def some(self, most: int) -> bytes:
        """What is there, or comes next, as it is. Empty at the end of the connection."""
        return self._stream.read1(most)

    def rest(self) -> bytes:
        """All that comes before the end of the connection, however that ends."""
        came = b""
        with contextlib.suppress(ConnectionError):
            while some := self._stream.read1(65536):
                came += some
        return came

    def closed(self) -> bool:
        """Wait until the other side ends the connection; False where it sends something, or does neither in time."""
        try:
            return not self._stream.read(1)
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def end(self) -> None:
        """Say that nothing more is sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave without a word."""
        self._stream.close()
        self._socket.close()


def ask(port: int, request: bytes, *, seconds: float = 60) -> Answer | None:
    """Send one request on a connection of its own."""
    with Wire(port, seconds) as wire:
        wire.send(request)
        return wire.answer(request.partition(b" ")[0].decode("latin-1"))


class _Server(Server):
    """Without handlers for signals: those are for the main thread."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def serving(app: Any = None, *, config: Path | None = None, bound: socket.socket | None = None) -> Iterator[int]:
    """Our HTTP server, set up as `counterseal serve` sets it up, in a thread. Yields its port.

    app: an ASGI application in place of the gateway of a configuration file. bound: a socket to listen on.
    """
    bound = bound or socket.create_server(("127.0.0.1", 0))
    settings = uvicorn_config(config or Path())
    if app is not None:
        settings.app, settings.factory = app, False
    done = threading.Event()
    server = _Server(settings, done.set)
    problems: list[BaseException] = []

    def run() -> None:
        try:
            server.run(sockets=[bound])
        except BaseException as error:
            problems.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="our HTTP server")
    thread.start()
    try:
        assert done.wait(60), "our HTTP server did not start in time"
        assert server.started, problems
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
        bound.close()
        assert not thread.is_alive(), "our HTTP server did not end"
        assert not problems, problems
