"""H-13: what our HTTP parser takes, another reads in the same way, so nobody on the way to us sees another call than we do.

The other is h11, in pure Python, which comes with uvicorn: a gateway would run on it where ours were not pinned.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h11
import pytest

from counterseal.cli.serve import uvicorn_config
from counterseal.web.protocol import CeilingProtocol
from tests.web.building import BODY, CALL, Running

CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


def chunks(*sizes: int, form: bytes = b"%x") -> Callable[[Running], bytes]:
    """BODY in chunks of these sizes, and the rest of it in one more."""

    def write(web: Running) -> bytes:
        left, parts = BODY, []
        for size in (*sizes, len(BODY) - sum(sizes)):
            parts.append(form % size + b"\r\n" + left[:size] + b"\r\n")
            left = left[size:]
        return web.head(CHUNKED) + b"".join(parts) + LAST

    return write


TAKEN: dict[str, Callable[[Running], bytes]] = {
    "usual": lambda web: web.request(),
    "length with zeros": lambda web: web.head(b"Content-Length: 000%d" % len(BODY)) + BODY,
    "length with space around it": lambda web: web.head(b"Content-Length: \t %d \t" % len(BODY)) + BODY,
    "one chunk": chunks(),
    "many chunks": chunks(1, 2, 3, 50),
    "upper-case chunk size": chunks(form=b"%X"),
    "chunk size with zeros": chunks(form=b"000%x"),
    "chunk extension": chunks(form=b"%x;name=value"),
    "upper-case coding": lambda web: chunks()(web).replace(CHUNKED, b"TRANSFER-ENCODING: CHUNKED"),
    "names in upper case": lambda web: web.request().replace(b"\r\nauthorization:", b"\r\nAUTHORIZATION:"),
    "no space after a colon": lambda web: web.request().replace(b"authorization: ", b"authorization:"),
    "space after a value": lambda web: web.request().replace(b"tools/call\r\n", b"tools/call \t\r\n"),
    "an empty header": lambda web: web.request(b"X-Other:"),
    "bytes beyond ASCII in a value": lambda web: web.request(b"X-Other: \xff\xc3\xa9"),
    "a query": lambda web: web.request(target=b"/mcp/weather?a=%20b&c"),
}


def read(request: bytes) -> tuple[bytes, bytes, dict[bytes, list[bytes]], bytes]:
    """Verb, target, headers and body of the one request in these bytes, as h11 reads them. Raises RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(request)
    head = connection.next_event()
    assert isinstance(head, h11.Request)
    headers: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        headers.setdefault(name, []).append(value)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return head.method, head.target, headers, body


@pytest.mark.parametrize("write", TAKEN.values(), ids=TAKEN.keys())
def test_h_13_what_is_taken_here_another_parser_reads_in_the_same_way(
    web: Running, write: Callable[[Running], bytes]
) -> None:
    request = write(web)
    calls = web.server.calls
    assert web.ask(request).status == 200
    assert web.server.calls == calls + 1
    verb, target, headers, body = read(request)
    assert (verb, target.partition(b"?")[0]) == (b"POST", b"/mcp/weather")
    assert headers[b"mcp-method"] == [b"tools/call"]
    assert headers[b"authorization"] == [b"Bearer key-of-alice"]
    assert web.gateway.entries[-2]["sub"] == "alice"
    assert json.loads(body) == CALL
    heard = web.server.seen[-1].call["params"]
    assert (heard["name"], heard["arguments"]) == (CALL["params"]["name"], CALL["params"]["arguments"])


def test_h_13_which_parser_reads_is_not_for_what_is_installed_to_decide() -> None:
    assert uvicorn_config(Path("counterseal.yaml")).http is CeilingProtocol
