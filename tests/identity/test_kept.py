"""One document, kept: how often it is asked for, and how long the old one serves."""

from __future__ import annotations

import asyncio
import logging

import pytest

from counterseal.core.limits import LIMITS
from counterseal.identity.fetch import FetchFailed
from counterseal.identity.kept import Kept, Loaded
from tests.support.tokens import FixedClock


class Source:
    """Loads the next number, or fails; waits while its gate is closed."""

    def __init__(self, max_age: int | None = None) -> None:
        self.max_age = max_age
        self.count = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Loaded[int]:
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Loaded(number, self.max_age)


def kept(source: Source, clock: FixedClock) -> Kept[int]:
    return Kept("issuer corp: its number", source, clock, LIMITS)


async def asked(one: Kept[int]) -> None:
    one.ask()
    await one.join()


async def test_nothing_is_there_before_it_is_asked_for() -> None:
    one = kept(Source(), FixedClock())
    assert (one.value, one.problem, one.over(), one.rested(), one.asking) == (None, None, True, True, False)
    await one.join()
    assert one.value is None


async def test_k_06_however_many_ask_and_wait_one_fetch_runs() -> None:
    source = Source()
    one = kept(source, FixedClock())
    source.gate.clear()
    waiting = [asyncio.ensure_future(asked(one)) for _ in range(1000)]
    await asyncio.sleep(0)
    assert (one.asking, one.rested()) == (True, False)
    for task in waiting[:500]:
        task.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*waiting[500:])
    assert (one.value, source.count, one.asking) == (1, 1, False)


@pytest.mark.parametrize(
    ("max_age", "life"),
    [(None, 300), (0, 60), (59, 60), (60, 60), (61, 61), (3600, 3600), (3601, 3600), (315_360_000, 3600)],
)
async def test_k_14_a_document_lives_as_long_as_it_says_between_a_minute_and_an_hour(
    max_age: int | None, life: int
) -> None:
    clock = FixedClock()
    one = kept(Source(max_age), clock)
    await asked(one)
    clock.advance(life)
    assert not one.over()
    clock.advance(0.001)
    assert one.over()
    assert one.value == 1


async def test_k_08_an_old_document_serves_for_an_hour_after_its_life() -> None:
    clock, source = FixedClock(), Source(60)
    one = kept(source, clock)
    await asked(one)
    clock.advance(60 + LIMITS.keys_stale_seconds)
    assert one.value == 1
    clock.advance(0.001)
    assert one.value is None


async def test_a_life_begins_when_the_document_was_asked_for() -> None:
    """Whatever it took: the provider may have changed its mind a moment after it began to answer."""
    clock, source = FixedClock(), Source(60)
    one = kept(source, clock)
    source.gate.clear()
    one.ask()
    await asyncio.sleep(0)
    clock.advance(4)
    source.gate.set()
    await one.join()
    clock.advance(56)
    assert not one.over()
    clock.advance(0.001)
    assert one.over()


async def test_between_two_fetches_lies_a_second_or_a_cool_down() -> None:
    clock, source = FixedClock(), Source()
    one = kept(source, clock)
    source.failure = FetchFailed("no connection")
    await asked(one)
    for pause in (1.0, LIMITS.refetch_cooldown_seconds):
        clock.advance(pause - 0.001)
        assert not one.rested()
        clock.advance(0.001)
        assert one.rested()
        source.failure = None
        await asked(one)
    assert source.count == 3


async def test_k_07_a_fetch_that_fails_changes_nothing_but_the_reason() -> None:
    source = Source()
    one = kept(source, FixedClock())
    await asked(one)
    for failure, said in ((FetchFailed("no connection"), "no connection"), (RuntimeError("canary"), "RuntimeError")):
        source.failure = failure
        await asked(one)
        assert (one.value, one.problem, one.asking) == (1, said, False)
    source.failure = None
    await asked(one)
    assert (one.value, one.problem) == (4, None)


async def test_a_failure_is_told_once_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    one = kept(source, FixedClock())
    with caplog.at_level(logging.INFO, "counterseal.identity"):
        for failure in (FetchFailed("down"), FetchFailed("down"), FetchFailed("slow"), None, None):
            source.failure = failure
            await asked(one)
    assert caplog.messages == [
        "issuer corp: its number cannot be had: down",
        "issuer corp: its number cannot be had: slow",
        "issuer corp: its number can be had again",
    ]
