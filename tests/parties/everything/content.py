"""The smallest valid bytes of each kind of content, and the constructors that tools, prompts and resources share."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, Final

from mcp_types import CallToolResult, TextContent


def _png() -> bytes:
    """One red pixel, as PNG."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )


def _wav() -> bytes:
    """One sample of silence, as WAV."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 2) + b"\x80\x80"
    return b"RIFF" + struct.pack("<I", len(body)) + body


PNG: Final = base64.b64encode(_png()).decode()
WAV: Final = base64.b64encode(_wav()).decode()


def said(text: str, **more: Any) -> CallToolResult:
    """A tool result of one text; `more` is passed to `CallToolResult`."""
    return CallToolResult(content=[TextContent(type="text", text=text)], **more)
