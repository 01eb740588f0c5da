"""Observers are told, and that is all they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.hooks import Event
from counterseal.hooks.accept import nothing
from counterseal.hooks.contained import Contained
from counterseal.hooks.observing import Observers, Observing
from counterseal.hooks.testing import event
from tests.contracts.http import until
from tests.hooks.making import BAD, LATE, SOON, scope


def observing(see: Callable[[Event], Any], *, most: int = 100, seconds: float = LATE, **only: Any) -> Observing:
    return Observing("hooks mine", scope(**only), Contained("mine", see, nothing, seconds), most)


class Notes:
    """An observer that keeps what it sees; while `gate` is closed it waits."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def see(self, event: Event) -> None:
        await self.gate.wait()
        self.seen.append(event.record)


async def test_an_observer_is_told_in_order() -> None:
    notes = Notes()
    one = observing(notes.see)
    one.start()
    for number in range(5):
        one.post(event(record=f"rec_{number}"))
    assert notes.seen == []
    assert await until(lambda: notes.seen == [f"rec_{number}" for number in range(5)])
    await one.close(1)


async def test_a_plain_method_is_told_in_a_thread() -> None:
    seen: list[Any] = []
    one = observing(lambda event: seen.append(threading.current_thread()))
    one.start()
    one.post(event())
    await one.close(5)
    assert len(seen) == 1
    assert seen[0] is not threading.main_thread()


async def test_what_comes_while_the_queue_is_full_is_dropped_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()
    notes.gate.clear()
    one = observing(notes.see, most=2)
    for number in range(5):
        one.post(event(record=f"rec_{number}"))
    assert one.dropped == 3
    assert [record.getMessage() for record in caplog.records] == ["hooks mine is too slow: events are dropped"]
    one.start()
    notes.gate.set()
    await one.close(5)
    assert notes.seen == ["rec_0", "rec_1"]
    assert caplog.records[-1].getMessage() == "hooks mine was not told of 3 calls"


@pytest.mark.parametrize("act", BAD.values(), ids=BAD.keys())
async def test_p_01_what_a_bad_observer_does_is_logged_once_and_raised_nowhere(
    act: Callable[[Event], Any], caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()
    bad, good = observing(act, seconds=SOON), observing(notes.see)
    for one in (bad, good):
        one.start()
    observe = Observers([bad, good])
    for number in range(3):
        observe(event(record=f"rec_{number}"))
    assert await until(lambda: len(notes.seen) == 3)
    assert act is BAD["gives None"] or await until(lambda: "hooks mine failed" in caplog.text)
    for one in (bad, good):
        await one.close(5)
    failures = [record for record in caplog.records if record.getMessage().startswith("hooks mine failed")]
    assert len(failures) == (0 if act is BAD["gives None"] else 1)
    assert "canary" not in caplog.text


async def test_a_failure_after_a_good_one_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    async def see(event: Event) -> None:
        if event.record != "good":
            raise ValueError

    one = observing(see)
    one.start()
    for record in ("bad", "bad", "good", "bad"):
        one.post(event(record=record))
    await one.close(5)
    assert caplog.text.count("hooks mine failed: ValueError") == 2


async def test_an_observer_sees_the_calls_of_its_scope() -> None:
    notes = Notes()
    one = observing(notes.see, servers=["weather"], methods=["tools/*"])
    one.start()
    one.post(event(record="right"))
    one.post(event(record="other server", server="notes"))
    one.post(event(record="other method", method="prompts/get"))
    one.post(event(record="unread", method=None, name=None))
    await one.close(5)
    assert notes.seen == ["right"]


async def test_closing_waits_no_longer_than_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    notes.gate.clear()
    one = observing(notes.see)
    one.start()
    for _ in range(3):
        one.post(event())
    await one.close(0.05)
    assert notes.seen == []
    assert "was not told of" in caplog.text
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert await until(lambda: all(task.done() for task in others))


async def test_one_that_was_never_started_is_closed_without_a_word() -> None:
    await observing(Notes().see).close(1)
