"""The answering server: as little work as a server can do, so that what stands before it is what gets measured.

One thread, one epoll, bytes searched rather than parsed. It knows just enough MCP to be called through a gateway in both
eras, answers every `tools/call` with the same result under the request's own id, and keeps every `GET` open as an idle
event stream. It trusts its peer, checks no token and takes `Content-Length` bodies only: it is no example of a server.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
from typing import Any, Final

from bench.call import LEGACY_REVISION, REVISION, TOOL, answer_parts

_ID: Final = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')
_METHOD: Final = re.compile(rb'"method"\s*:\s*"([^"]*)"')
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"8\r\n: open\n\n\r\n"
)
_ACCEPTED: Final = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_ENDED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_FRESH: Final = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_INFO: Final = {"name": "bench", "version": "1.0.0"}
_OTHER: Final[dict[bytes, dict[str, Any]]] = {
    b"server/discover": {
        **_FRESH,
        "supportedVersions": [REVISION],
        "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": _INFO},
    },
    b"initialize": {
        "protocolVersion": LEGACY_REVISION,
        "capabilities": {"tools": {}},
        "serverInfo": _INFO,
    },
    b"tools/list": {**_FRESH, "tools": [{"name": TOOL, "inputSchema": {"type": "object"}}]},
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        name: {"type": "string", "description": "What the tool needs to know about it."} for name in ("place", "units")
    },
    "required": ["place"],
}
_LISTED: Final = json.dumps(
    {
        "resultType": "complete",
        "ttlMs": 300_000,
        "cacheScope": "public",
        "tools": [
            {
                "name": f"tool_{n}",
                "title": f"Tool {n}",
                "description": "What this tool is for. " * 4,
                "inputSchema": _SCHEMA,
            }
            for n in range(50)
        ],
    }
).encode()
"""A list that may be kept, at every address that begins with `/listed`."""


class Answers:
    """What is sent back for one whole request."""

    def __init__(self) -> None:
        before, after = answer_parts()
        self._length = len(before) + len(after)
        self._before = b"\r\n\r\n" + before
        self._after = after
        self._heads = [_HEAD + b"Content-Length: %d" % (self._length + n) for n in range(512)]

    def reply(self, head: bytes, body: bytes) -> bytes:
        """The bytes of the response to a request with this head (request line first) and this body."""
        if head.startswith(b"GET"):
            return _STREAM
        if head.startswith(b"DELETE"):
            return _ENDED
        found = _ID.search(body)
        if found is None:
            return _ACCEPTED
        id_json = found[1]
        if b'"tools/call"' in body and len(id_json) < 512:
            return self._heads[len(id_json)] + self._before + id_json + self._after
        if head.startswith(b"POST /listed") and b'"tools/list"' in body:
            answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_json, _LISTED)
            return _HEAD + b"Content-Length: %d\r\n\r\n" % len(answer) + answer
        return _other(body, id_json)


class CountingAnswers(Answers):
    """The same, and `GET /seen` says which requests came, as a JSON list of methods: for a look at what one call makes, not for
    measuring."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[str] = []

    def reply(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /seen "):
            text = json.dumps(self._seen).encode()
            return _HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(text), text)
        verb = head.partition(b" ")[0].decode()
        found = _METHOD.search(body)
        self._seen.append(found[1].decode() if found else verb)
        return super().reply(head, body)


def _other(body: bytes, id_json: bytes) -> bytes:
    method = _METHOD.search(body)
    result = _OTHER.get(method[1] if method else b"")
    if result is None:
        status = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
        answer = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"method not found"}}' % id_json
        return status + b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
    answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_json, json.dumps(result).encode())
    session = b"Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n" if "protocolVersion" in result else b""
    return _HEAD + session + b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)


def take(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split the first request off: (head, body, rest), or None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end]
    found = _LENGTH.search(head)
    stop = end + 4 + (int(found[1]) if found else 0)
    if len(data) < stop:
        return None
    return head, data[end + 4 : stop], data[stop:]


def serve(port: int, answers: Answers) -> None:
    """Answer on 127.0.0.1 until killed; port 0 picks a free one. Writes `listening on http://HOST:PORT` to stderr."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    listener.setblocking(False)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    peers: dict[int, socket.socket] = {}
    partial: dict[int, bytes] = {}
    while True:
        for number, _ in poll.poll():
            peer = peers.get(number)
            if peer is None:
                _accept(listener, poll, peers)
                continue
            try:
                data = peer.recv(65536)
                if data and number in partial:
                    data = partial.pop(number) + data
                while data:
                    request = take(data)
                    if request is None:
                        partial[number] = data
                        break
                    head, body, rest = request
                    peer.send(answers.reply(head, body))
                    if not rest:
                        break
                    data = rest
            except OSError:
                data = b""
            if not data:
                poll.unregister(number)
                partial.pop(number, None)
                peers.pop(number).close()


def _accept(listener: socket.socket, poll: select.epoll, peers: dict[int, socket.socket]) -> None:
    try:
        peer, _ = listener.accept()
    except OSError:
        return
    peer.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peers[peer.fileno()] = peer
    poll.register(peer.fileno(), select.EPOLLIN)


if __name__ == "__main__":
    arguments = [one for one in sys.argv[1:] if one != "--count"]
    serve(int(arguments[0]) if arguments else 0, CountingAnswers() if "--count" in sys.argv else Answers())
