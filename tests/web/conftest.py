"""One gateway behind our HTTP server for all tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hostile import HostileServer
from tests.web.building import Running, running


@pytest.fixture(scope="package")
def web() -> Iterator[Running]:
    with HostileServer() as server, running(server) as one:
        yield one
