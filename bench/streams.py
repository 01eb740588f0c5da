"""What one idle event stream costs: many legacy `GET` streams held open through the gateway, and the memory they add."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from bench.call import LEGACY_REVISION
from bench.load import Party
from bench.machine import resident_bytes

_WARM = 50


class StreamRefused(Exception):
    """A session or a stream was not opened as it should have been, or did not stay open."""


def bytes_per_stream(party: Party, count: int) -> float:
    """Resident bytes of the party that each of `count` idle streams adds. Best asked of a process that has just started:
    memory that earlier load gave back inside the process would be used again and so not be seen."""
    held = [_open(party) for _ in range(_WARM)]
    before = _settled(party.pid)
    held += [_open(party) for _ in range(count)]
    after = _settled(party.pid)
    closed = sum(not _is_open(connection) for connection in held)
    for connection in held:
        connection.close()
    if closed:
        raise StreamRefused(f"{closed} of {len(held)} streams were closed while they were idle")
    return max(0, after - before) / count


def _open(party: Party) -> http.client.HTTPConnection:
    """A session of its own and its stream, on one connection."""
    place = urlsplit(party.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    headers = {**party.headers, "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": LEGACY_REVISION,
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1.0.0"},
        },
    }
    answer = _ask(connection, "POST", place.path, headers, initialize)
    session = answer.getheader("Mcp-Session-Id")
    answer.read()
    if answer.status != 200 or session is None:
        raise StreamRefused(f"initialize was answered with {answer.status} and session id {session!r}")
    headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY_REVISION}
    answer = _ask(connection, "POST", place.path, headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    answer.read()
    if answer.status != 202:
        raise StreamRefused(f"notifications/initialized was answered with {answer.status}")
    del headers["Content-Type"]
    answer = _ask(connection, "GET", place.path, {**headers, "Accept": "text/event-stream"}, None)
    kind = answer.getheader("Content-Type", "")
    if answer.status != 200 or not kind.startswith("text/event-stream"):
        raise StreamRefused(f"GET was answered with {answer.status} {kind}: {answer.read(300)!r}")
    return connection


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], message: object
) -> http.client.HTTPResponse:
    body = None if message is None else json.dumps(message)
    connection.request(method, path or "/", body=body, headers=dict(headers))
    return connection.getresponse()


def _is_open(connection: http.client.HTTPConnection) -> bool:
    if connection.sock is None:
        return False
    connection.sock.setblocking(False)
    try:
        return connection.sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _settled(pid: int) -> int:
    """Resident bytes once they have stayed the same for a second, or after ten."""
    last, since = resident_bytes(pid), time.monotonic()
    ends = since + 10
    while time.monotonic() < ends:
        time.sleep(0.1)
        now = resident_bytes(pid)
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= 1:
            break
    return last
