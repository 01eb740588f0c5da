"""What is written in a row: in order, once, and all of it."""

from __future__ import annotations

import asyncio
from typing import Any

from counterseal.outbox import Outbox


async def test_everything_is_written_at_the_next_turn_in_the_order_in_which_it_came() -> None:
    outbox, written = Outbox(), list[int]()
    for number in range(3):
        outbox.put(asyncio.get_running_loop(), lambda number=number: written.append(number))
    assert written == []
    await asyncio.sleep(0)
    assert written == [0, 1, 2]
    await asyncio.sleep(0)
    assert written == [0, 1, 2]


async def test_one_that_fails_keeps_no_other_from_being_written() -> None:
    loop, outbox, written, told = asyncio.get_running_loop(), Outbox(), list[int](), list[dict[str, Any]]()

    def fail() -> None:
        raise RuntimeError("no")

    loop.set_exception_handler(lambda _, context: told.append(context))
    outbox.put(loop, lambda: written.append(1))
    outbox.put(loop, fail)
    outbox.put(loop, lambda: written.append(2))
    for _ in range(2):
        await asyncio.sleep(0)
    assert written == [1, 2]
    assert [str(context["exception"]) for context in told] == ["no"]


async def test_what_is_put_in_while_others_are_written_is_written_too() -> None:
    loop, outbox, written = asyncio.get_running_loop(), Outbox(), list[int]()
    outbox.put(loop, lambda: outbox.put(loop, lambda: written.append(2)))
    for _ in range(2):
        await asyncio.sleep(0)
    outbox.put(loop, lambda: written.append(3))
    await asyncio.sleep(0)
    assert written == [2, 3]
