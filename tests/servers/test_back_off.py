"""How often a server that fails is tried again."""

from __future__ import annotations

import pytest

from counterseal.errors import ServerError
from counterseal.servers.back_off import BackOff
from tests.support.tokens import FixedClock


def wait(off: BackOff, owner: bytes = b"") -> int:
    """The seconds of Retry-After, 0 where it may be tried."""
    try:
        off.check(owner)
    except ServerError as error:
        refused = error
    else:
        return 0
    assert refused.reason.code == "server_unreachable"
    seconds = dict(refused.headers)[b"retry-after"].decode()
    assert seconds in refused.message
    return int(seconds)


def test_the_first_failure_costs_nothing_and_each_more_twice_as_much_up_to_a_ceiling() -> None:
    clock = FixedClock()
    off = BackOff(60, clock.monotonic)
    waits = []
    for _ in range(10):
        off.failed(b"", 0, "why")
        waits.append(wait(off))
        clock.advance(waits[-1])
        assert wait(off) == 0
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_who_worked_for_long_begins_anew() -> None:
    clock = FixedClock()
    off = BackOff(60, clock.monotonic)
    for _ in range(5):
        off.failed(b"", 0, "why")
    off.failed(b"", 59.9, "why")
    assert wait(off) == 16
    off.failed(b"", 60, "why")
    assert wait(off) == 0


def test_one_callers_failures_are_not_anothers() -> None:
    off = BackOff(60, FixedClock().monotonic)
    for _ in range(5):
        off.failed(b"alice", 0, "why")
    assert wait(off, b"alice") == 8
    assert wait(off, b"bob") == 0


def test_only_failures_in_a_row_are_worth_telling() -> None:
    off = BackOff(60, FixedClock().monotonic)
    for _ in range(2):
        off.failed(b"", 0, "exit code 7")
    assert off.healthy() is None
    off.worked()
    off.failed(b"", 0, "exit code 7")
    assert off.healthy() is None
    for _ in range(2):
        off.failed(b"", 0, "exit code 8")
    assert off.healthy() == "it failed 3 times in a row: exit code 8"


def test_what_is_remembered_is_bounded() -> None:
    off = BackOff(60, FixedClock().monotonic)
    for number in range(2000):
        off.failed(str(number).encode(), 0, "why")
    assert len(off._failed) == 1000


@pytest.mark.parametrize("times", [64, 2000])
def test_many_failures_are_no_overflow(times: int) -> None:
    off = BackOff(60, FixedClock().monotonic)
    for _ in range(times):
        off.failed(b"", 0, "why")
    assert wait(off) == 60
