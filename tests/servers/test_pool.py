"""Open conversations: opened once, given to whom they belong, ended when they are over."""

from __future__ import annotations

import asyncio

import pytest

from counterseal.core.call import Era
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.conversation import Conversation
from counterseal.servers.link import unreachable
from counterseal.servers.pool import Pool
from tests.contracts.http import until
from tests.contracts.server import LIMITS, Countersign, decide

KEY = ("modern", b"")


class Opening:
    """Opens conversations. failing: what the next one ends with."""

    def __init__(self, *failing: CallError) -> None:
        self.opened: list[Conversation] = []
        self.tries = 0
        self.gate = asyncio.Event()
        self._failing = list(failing)

    async def __call__(self) -> Conversation:
        self.tries += 1
        await self.gate.wait()
        if self._failing:
            raise self._failing.pop(0)
        made = Conversation("weather", Era.MODERN, LIMITS, decide, Countersign(), lambda _: None)
        self.opened.append(made)
        return made


async def test_a_conversation_is_opened_once_for_all_who_wait() -> None:
    pool, opening = Pool(None, None), Opening()
    asking = [asyncio.create_task(pool.take(KEY, b"", opening)) for _ in range(5)]
    await asyncio.sleep(0)
    opening.gate.set()
    assert set(await asyncio.gather(*asking)) == set(opening.opened)
    assert (opening.tries, pool.find(KEY)) == (1, opening.opened[0])
    await pool.close()
    assert opening.opened[0].over
    assert pool.find(KEY) is None


async def test_everybody_who_waits_hears_of_a_failure_in_an_error_of_his_own() -> None:
    pool, opening = Pool(None, None), Opening(unreachable("gone"))
    asking = [asyncio.create_task(pool.take(KEY, b"", opening)) for _ in range(3)]
    await asyncio.sleep(0)
    opening.gate.set()
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert all(isinstance(error, ServerError) and error.detail == "gone" for error in errors)
    assert await pool.take(KEY, b"", opening) is opening.opened[0]
    await pool.close()


async def test_what_is_denied_to_one_is_not_denied_to_another_who_waits() -> None:
    pool, opening = Pool(None, None), Opening(BadCall("policy_denied", "not for the first"))
    asking = [asyncio.create_task(pool.take(KEY, b"", opening)) for _ in range(2)]
    await asyncio.sleep(0)
    opening.gate.set()
    first, second = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(first, BadCall)
    assert second is opening.opened[0]
    await pool.close()


async def test_one_that_is_over_is_opened_anew() -> None:
    pool, opening = Pool(None, None), Opening()
    opening.gate.set()
    first = await pool.take(KEY, b"", opening)
    first.broken(unreachable("gone"))
    assert pool.find(KEY) is None
    assert await pool.take(KEY, b"", opening) is not first
    await pool.close()


async def test_what_nobody_waits_for_any_more_is_ended_once_it_is_open() -> None:
    pool, opening = Pool(None, None), Opening()
    asking = asyncio.create_task(pool.take(KEY, b"", opening))
    await asyncio.sleep(0)
    pool.abandon(KEY)
    opening.gate.set()
    await asking
    assert await until(lambda: opening.opened[0].over)


async def test_the_end_of_the_pool_does_not_wait_for_what_is_being_opened() -> None:
    pool, opening = Pool(None, None), Opening()
    asking = asyncio.create_task(pool.take(KEY, b"", opening))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await pool.close()
    for waiting in (asking, pool.take(KEY, b"", opening)):
        with pytest.raises(CallError) as refused:
            await waiting
        assert refused.value.reason.code == "overloaded"


async def test_a_caller_who_leaves_is_no_end_of_the_pool() -> None:
    pool, opening = Pool(None, None), Opening()
    asking = asyncio.create_task(pool.take(KEY, b"", opening))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    opening.gate.set()
    assert await pool.take(KEY, b"", opening) is opening.opened[0]
    await pool.close()
