"""Whatever a hook does, its call has an answer or a reason in bounded time (P-01)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.hooks import Pass, View
from counterseal.hooks.accept import NotAcceptable, answer
from counterseal.hooks.contained import Contained, HookFailed, cause
from counterseal.hooks.testing import view
from tests.contracts.http import until
from tests.hooks.making import BAD, LATE, SOON

SEEN = view(arguments={"city": "Oslo", "deep": {"list": [1]}}, metadata={"tenant": "acme"})


def contained(method: Callable[[Any], Any], seconds: float = LATE) -> Contained[View, Any]:
    return Contained("mine", method, partial(answer, limits=LIMITS), seconds)


async def _good(view: View) -> Pass:
    return Pass()


def _sync_good(view: View) -> Pass:
    return Pass()


@pytest.mark.parametrize("act", BAD.values(), ids=BAD.keys())
async def test_p_01_a_bad_hook_is_a_failure_in_bounded_time_and_never_an_answer(
    act: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = time.monotonic()
    with pytest.raises(HookFailed) as told:
        await contained(act, SOON)(SEEN)
    assert time.monotonic() - before < 10
    assert "canary" not in str(told.value)
    assert str(told.value).isprintable()
    assert view(arguments={"city": "Oslo", "deep": {"list": [1]}}, metadata={"tenant": "acme"}) == SEEN
    assert caplog.text == ""


@pytest.mark.parametrize("good", [_good, _sync_good])
async def test_a_good_hook_gives_its_answer(good: Callable[[Any], Any]) -> None:
    assert await contained(good)(SEEN) == Pass()


async def test_a_coroutine_runs_on_the_loop_and_a_plain_method_in_a_thread() -> None:
    where: list[Any] = []

    async def on_the_loop(view: View) -> Pass:
        where.append(threading.current_thread())
        return Pass()

    def in_a_thread(view: View) -> Pass:
        where.append(threading.current_thread())
        return Pass()

    await contained(on_the_loop)(SEEN)
    await contained(in_a_thread)(SEEN)
    assert where[0] is threading.main_thread()
    assert where[1] is not threading.main_thread()
    assert where[1].daemon


async def test_a_plain_method_that_blocks_does_not_block_the_loop() -> None:
    gate = threading.Event()

    def blocks(view: View) -> Pass:
        gate.wait(60)
        return Pass()

    running = asyncio.ensure_future(contained(blocks)(SEEN))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not running.done()
    gate.set()
    assert await running == Pass()


async def test_p_01_a_hook_that_is_too_late_is_cancelled_and_its_answer_counts_for_nothing() -> None:
    ended = []

    async def late(view: View) -> Pass:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(view)
        return Pass()

    with pytest.raises(HookFailed, match=r"no answer within 0\.2 s"):
        await contained(late, SOON)(SEEN)
    assert await until(lambda: ended == [SEEN])


async def test_time_in_which_the_loop_stood_still_is_not_the_hooks() -> None:
    """As on a machine that was paused."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def asks(view: View) -> Pass:
        begun.set()
        await go_on.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        return Pass()

    running = asyncio.ensure_future(contained(asks, 1.0)(SEEN))
    await begun.wait()
    threading.Event().wait(1.1)  # and nothing runs on the loop
    go_on.set()
    assert await running == Pass()


async def test_p_01_a_hook_that_will_not_be_cancelled_is_left_behind_and_at_some_point_not_called_any_more() -> None:
    let_go, calls = asyncio.Event(), 0

    async def stays(view: View) -> Pass:
        nonlocal calls
        calls += 1
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return Pass()

    asked = contained(stays, 0.01)
    for _ in range(16):
        with pytest.raises(HookFailed, match="no answer within"):
            await asked(SEEN)
    with pytest.raises(HookFailed, match="16 of its calls never ended"):
        await asked(SEEN)
    assert calls == 16
    let_go.set()
    assert await until(lambda: not asked._stuck)
    assert await asked(SEEN) == Pass()


async def test_p_01_when_the_threads_hang_every_call_still_ends() -> None:
    gate = threading.Event()

    def hangs(view: View) -> Pass:
        gate.wait(60)
        return Pass()

    asked = contained(hangs, 0.05)
    told = await asyncio.gather(*(asked(SEEN) for _ in range(300)), return_exceptions=True)
    assert all(isinstance(one, HookFailed) for one in told)
    assert {str(one) for one in told} == {"it gave no answer within 0.05 s", "too many of its calls wait for a thread"}
    with pytest.raises(HookFailed, match="too many"):
        await asked(SEEN)
    gate.set()
    assert await until(lambda: asked._threads is not None and asked._threads._unfinished == 0)
    assert await asked(SEEN) == Pass()


async def test_a_caller_who_leaves_ends_the_hooks_task_too() -> None:
    ended, begun = [], asyncio.Event()

    async def waits(view: View) -> Pass:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return Pass()

    running = asyncio.ensure_future(contained(waits)(SEEN))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await until(lambda: ended == [True])


async def test_a_hook_that_hangs_on_to_its_own_timeout_is_no_affair_of_the_callers_task() -> None:
    """A hook runs in a task of its own, so that what it cancels is its own."""

    async def times_out(view: View) -> Pass:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return Pass()
        raise AssertionError

    assert await contained(times_out)(SEEN) == Pass()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


def test_what_is_told_of_an_error_is_its_type_and_place_and_not_its_text() -> None:
    """Invariant 12: the text may hold anything."""
    try:
        {}["canary"]
    except KeyError as error:
        told = cause(error)
    assert told.startswith("KeyError at test_contained.py:")
    assert cause(ValueError("canary")) == "ValueError"
    assert cause(NotAcceptable("it is too long")) == "it is too long"
