"""The script of tests.support.scripted over streamable HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.hostile import Heard, Line, chunk, chunked, event, whole
from tests.support.scripted import Script, line


def answer(script: Script, heard: Heard, at: Line, **headers: str) -> None:
    """Answer a request: with a stream from the first message that is no response. headers: of a response that stands alone."""
    streams = False

    def say(message: Mapping[str, Any] | bytes) -> None:
        nonlocal streams
        said = line(message)
        ends = b'"result"' in said or b'"error"' in said
        if streams:
            at.send(chunk(event(said)) + (b"0\r\n\r\n" if ends else b""))
        elif ends:
            at.send(whole(said, **headers))
        else:
            streams = True
            at.send(chunked(event(said), end=False))

    script.handle(heard.call, say, at.close)
