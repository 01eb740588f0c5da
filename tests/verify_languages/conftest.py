"""One running server for the tests of a module, in each language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.verify_languages.running import Running, running


@pytest.fixture(scope="module")
def server(language: Running) -> Running:
    return language


@pytest.fixture(scope="module")
def language(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(request.param) as server:
        yield server
