"""Daemon threads for what may block."""

from __future__ import annotations

import asyncio
import threading

import pytest

from counterseal.hooks.threads import Busy, Threads
from tests.contracts.http import until


async def test_what_a_function_returns_arrives_on_the_loop() -> None:
    threads: Threads[object] = Threads("t", 2)
    ran_in = await threads.run(threading.current_thread)
    assert isinstance(ran_in, threading.Thread)
    assert (ran_in.daemon, ran_in.name) == (True, "t")


async def test_there_are_no_more_threads_than_are_needed_and_than_are_allowed() -> None:
    threads: Threads[object] = Threads("t", 2)
    for _ in range(5):
        await threads.run(threading.current_thread)
    assert threads._started == 1
    gate = threading.Event()
    waiting = [threads.run(lambda: gate.wait(60)) for _ in range(5)]
    assert threads._started == 2
    gate.set()
    await asyncio.gather(*waiting)
    assert threads._unfinished == 0


async def test_what_was_cancelled_before_it_began_does_not_begin() -> None:
    threads: Threads[object] = Threads("t", 1)
    gate, ran = threading.Event(), []
    first = threads.run(lambda: gate.wait(60))
    second = threads.run(lambda: ran.append(2))
    second.cancel()
    gate.set()
    await first
    await threads.run(lambda: None)
    assert ran == []
    assert await until(lambda: threads._unfinished == 0)


async def test_p_01_too_many_that_wait_are_turned_away_and_room_comes_back() -> None:
    threads: Threads[object] = Threads("t", 1)
    gate = threading.Event()
    waiting = [threads.run(lambda: gate.wait(60)) for _ in range(256)]
    with pytest.raises(Busy):
        threads.run(lambda: None)
    gate.set()
    await asyncio.gather(*waiting)
    assert await threads.run(lambda: 1) == 1


def test_a_loop_that_has_ended_is_no_error_in_the_thread(recwarn: pytest.WarningsRecorder) -> None:
    gate, done = threading.Event(), threading.Event()

    def blocks() -> object:
        gate.wait(60)
        done.set()
        return None

    async def begin() -> None:
        threads: Threads[object] = Threads("t", 1)
        threads.run(blocks)

    asyncio.run(begin())
    gate.set()
    assert done.wait(60)
    assert not [one for one in recwarn if "thread" in str(one.message).lower()]
