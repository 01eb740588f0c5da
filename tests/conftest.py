"""Marks that hold for every test. `party(name)`: see `tests/support/parties.py`."""

from __future__ import annotations

import pytest

from tests.support import parties


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("party"):
        for name in mark.args:
            if why := parties.missing(name):
                if parties.required():
                    pytest.fail(why, pytrace=False)
                pytest.skip(why)
