"""What a server's process writes to its standard error, in the gateway's log: whose it is, one line each, and nothing secret.

A line that holds one of the secrets that the process was given, or something of the form of a token, is shown without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from typing import Final

from counterseal.wire.lines import Lines, Overlong

_log = logging.getLogger("counterseal.servers")

_LONGEST: Final = 2000
"""Characters of a line that are shown."""
_LINES: Final = 200
_WINDOW: Final = 10.0
"""So many lines in so many seconds; how many more there were is told afterwards."""
_TOKEN: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_SHORTEST: Final = 4
"""A secret that is shorter would take the letters out of every line."""


class StderrLog:
    """secrets: what no line may show. now: a clock that never steps backward."""

    def __init__(self, server: str, secrets: Collection[str], now: Callable[[], float]) -> None:
        self._server = server
        self._secrets = sorted((one for one in secrets if len(one) >= _SHORTEST), key=len, reverse=True)
        self._now = now
        self._lines = Lines(16 * 1024)
        self._since = now()
        self._shown = 0
        self._dropped = 0

    def feed(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk):
            self._line(line.start if isinstance(line, Overlong) else line)

    def _line(self, line: bytes) -> None:
        now = self._now()
        if now - self._since >= _WINDOW:
            if self._dropped:
                _log.warning("server %s: %d more lines", self._server, self._dropped)
            self._since, self._shown, self._dropped = now, 0, 0
        if self._shown >= _LINES:
            self._dropped += 1
            return
        self._shown += 1
        _log.warning("server %s: %s", self._server, self._plain(line.decode(errors="replace")))

    def _plain(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _TOKEN.sub("***", text)
        cut = "..." if len(text) > _LONGEST else ""
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_LONGEST]) + cut
