"""`counterseal serve` as a script meets it: what it says is true when it says it."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.gateway import Gateway


@pytest.mark.parametrize("attempt", range(3))
def test_connections_are_accepted_once_the_line_says_so(tmp_path: Path, attempt: int) -> None:
    with Gateway(tmp_path, {"weather": {"url": "http://127.0.0.1:1/mcp"}}) as gateway:
        address = urlsplit(gateway.url)
        assert address.hostname is not None
        socket.create_connection((address.hostname, address.port or 0), timeout=60).close()
