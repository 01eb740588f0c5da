"""A JWKS, or another JSON document, on a loopback address, with a menu of faults; every request is counted."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

Handler = http.server.BaseHTTPRequestHandler


class JwksServer:
    """Set `document`, `headers` or `answer` at any time. Use as a context manager."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: Any = document
        self.headers: dict[str, str] = {}
        self.answer: Callable[[Handler], None] | None = None
        """In place of the document: writes whatever it likes."""
        self.paths: list[str] = []
        self.forms: list[bytes] = []
        """What was posted."""
        self.gate = threading.Event()
        """While it is clear, requests wait."""
        self.gate.set()
        outer = self

        class Answering(Handler):
            def do_GET(self) -> None:
                self.take()

            def do_POST(self) -> None:
                outer.forms.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.take()

            def take(self) -> None:
                outer.paths.append(self.path)
                outer.gate.wait(60)
                if outer.answer is not None:
                    outer.answer(self)
                else:
                    outer.send(self, 200, json.dumps(outer.document).encode(), outer.headers)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> JwksServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def count(self) -> int:
        return len(self.paths)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/.well-known/jwks.json"

    @staticmethod
    def send(handler: Handler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def fail(self, status: int = 500, body: bytes = b"", **headers: str) -> None:
        """From now on, answer with this."""
        self.answer = lambda handler: self.send(handler, status, body, headers)

    def recover(self) -> None:
        """Answer with the document again."""
        self.answer = None
