"""The load generator for machines without wrk: asyncio and httptools, one call in flight a connection.

Usage: python -m bench.generator URL CONNECTIONS SECONDS, with COUNTERSEAL_BENCH_CALL and COUNTERSEAL_BENCH_TOKENS as in
call.lua.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop


class Tally:
    """What all connections together have seen."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.microseconds: list[int] = []
        self.failed = 0
        self.broken = 0


class Connection(asyncio.Protocol):
    """Sends the next request as soon as one is answered, until the tally's end."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._parser: Any = None
        self._transport: Any = None
        self._sent = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._tally.microseconds.append(int((now - self._sent) * 1e6))
        if self._parser.get_status_code() >= 400:
            self._tally.failed += 1
        if now >= self._tally.ends:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._tally.ends:
            self._tally.broken += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def percentile(values: list[int], share: float) -> int:
    """The smallest value that `share` (0 to 1) of the sorted values do not exceed (nearest rank); 0 where there are none."""
    if not values:
        return 0
    return values[max(0, math.ceil(len(values) * share) - 1)]


def request_of(call: bytes, url: str) -> bytes:
    """The HTTP request for a call file (header lines, an empty line, a body)."""
    head, _, body = call.partition(b"\n\n")
    place = urlsplit(url)
    lines = [f"POST {place.path or '/'} HTTP/1.1".encode(), b"Host: " + place.netloc.encode()]
    return b"\r\n".join([*lines, *head.split(b"\n"), b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


def requests_of(call: bytes, url: str, tokens: Sequence[bytes]) -> Iterator[bytes]:
    """One request after the other, without end: each with the next of the tokens, or all alike where there are none."""
    if not tokens:
        return itertools.repeat(request_of(call, url))
    return (request_of(b"Authorization: Bearer %b\n%b" % (token, call), url) for token in itertools.cycle(tokens))


async def run(url: str, connections: int, seconds: float, call: bytes, tokens: Sequence[bytes] = ()) -> dict[str, int]:
    """Load the address and return what `done` in call.lua prints."""
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    tally = Tally(began + seconds)
    requests = requests_of(call, url, tokens)
    opened: list[Connection] = []
    for _ in range(connections):
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(requests, tally), place.hostname or "", place.port or 80
            )
        except OSError:
            tally.broken += 1
            continue
        opened.append(connection)
    if opened:
        _, open_still = await asyncio.wait([connection.closed for connection in opened], timeout=seconds + 10)
        tally.broken += len(open_still)
    took = time.perf_counter() - began
    tally.microseconds.sort()
    return {
        "calls": len(tally.microseconds),
        "microseconds": int(took * 1e6),
        "p50": percentile(tally.microseconds, 0.50),
        "p99": percentile(tally.microseconds, 0.99),
        "failed": tally.failed,
        "broken": tally.broken,
    }


def main(arguments: list[str]) -> None:
    url, connections, seconds = arguments
    call = Path(os.environ["COUNTERSEAL_BENCH_CALL"]).read_bytes()
    path = os.environ.get("COUNTERSEAL_BENCH_TOKENS")
    tokens = [] if path is None else Path(path).read_bytes().split()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print("figures", json.dumps(runner.run(run(url, int(connections), float(seconds), call, tokens))))


if __name__ == "__main__":
    main(sys.argv[1:])
