"""An address on this machine that a token leads to, and whether anybody came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

_SECONDS: Final = 5.0


class Listener:
    """base: its address. asked: the paths that somebody fetched, in order."""

    def __init__(self, documents: Mapping[str, tuple[str, bytes]]) -> None:
        self.base = ""
        self.asked: list[str] = []
        self._documents = documents

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on a connection."""
        with contextlib.suppress(
            OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
        ):
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode("latin-1")
                self.asked.append(path)
                kind, body = self._documents.get(path, ("text/plain", b""))
                said = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(said.encode() + body)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(documents: Mapping[str, tuple[str, bytes]]) -> AsyncIterator[Listener]:
    """On a free loopback port, for as long as the block lasts. documents: media type and bytes, by path."""
    listener = Listener(documents)
    server = await asyncio.start_server(listener.answer, "127.0.0.1", 0)
    listener.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
