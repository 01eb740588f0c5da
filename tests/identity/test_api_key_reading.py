"""API keys keep up with the store, and cost it next to nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.api_key import LOOK_AGAIN_SECONDS, POLL_SECONDS, ApiKeys
from counterseal.identity.key_form import RANDOM_BYTES, mac, make_key
from counterseal.store.memory import MemoryStore
from counterseal.store.port import ApiKeyRow
from counterseal.store.sqlite import open_sqlite
from tests.identity.keys import ID, INBOUND, KEY, NEW_KEY, NOW, PEPPER, ROW, HeldClock, Source, refusal


@pytest.fixture
async def source() -> Source:
    store = MemoryStore()
    await store.add_api_key(ROW)
    return Source(store)


async def test_calls_with_known_keys_ask_the_store_nothing(source: Source) -> None:
    await source.store.rotate_api_key(ID, mac(PEPPER, NEW_KEY.encode()), NOW, NOW + 60)
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    source.asked.clear()
    for _ in range(1000):
        assert await keys.authenticate(KEY.encode(), INBOUND) is not None
        assert await keys.authenticate(NEW_KEY.encode(), INBOUND) is not None
    assert source.asked == []


@pytest.mark.parametrize("id", [None, ID], ids=["unknown ids", "wrong secrets"])
async def test_a_05_ten_thousand_guesses_in_a_second_ask_the_store_five_times(source: Source, id: str | None) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    source.asked.clear()
    for guess in range(10_000):
        with pytest.raises(Unauthenticated):
            await keys.authenticate(make_key(guess.to_bytes(16, "big") + bytes(32), id)[1].encode(), INBOUND)
        clock.seconds += 1 / 10_000
    assert source.asked == ["generation"] * 5


async def test_a_typo_asks_the_store_nothing(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    source.asked.clear()
    with pytest.raises(Unauthenticated, match="not accepted"):
        await keys.authenticate((KEY[:-1] + ("a" if KEY[-1] != "a" else "b")).encode(), INBOUND)
    assert source.asked == []


def test_a_04_a_revocation_is_looked_for_often_enough_to_be_seen_within_a_second() -> None:
    assert POLL_SECONDS <= 0.5


async def test_keys_are_read_again_only_when_they_changed(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    await keys.refresh()
    assert source.asked == ["generation", "api_keys", "generation"]
    await source.store.revoke_api_key(ID, NOW)
    await keys.refresh()
    assert source.asked[3:] == ["generation", "api_keys"]
    assert "was revoked" in refusal(keys, KEY.encode())


async def test_a_04_a_key_that_another_process_revokes_ends_with_the_next_refresh(tmp_path: Path) -> None:
    ours, theirs = await open_sqlite(tmp_path / "store.db"), await open_sqlite(tmp_path / "store.db")
    await theirs.add_api_key(ROW)
    keys = ApiKeys(ours, PEPPER, HeldClock())
    await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None
    await theirs.revoke_api_key(ID, NOW)
    await keys.refresh()
    assert "was revoked" in refusal(keys, KEY.encode())
    await ours.close()
    await theirs.close()


def cannot_tell(keys: ApiKeys, presented: bytes = KEY.encode()) -> str:
    with pytest.raises(CannotTell) as told:
        keys.holder(presented, NOW)
    assert told.value.reason.code == "store_unavailable"
    assert told.value.detail == keys.healthy()
    return told.value.detail or ""


async def test_a_07_before_the_keys_were_read_nobody_can_be_told(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    assert cannot_tell(keys) == "the API keys have not been read yet"


async def test_a_07_keys_that_were_read_too_long_ago_are_not_believed(source: Source) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    source.down = True
    clock.seconds = LIMITS.store_stale_seconds
    with pytest.raises(CannotTell):
        await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None
    assert keys.healthy() is None
    clock.seconds += 0.001
    assert cannot_tell(keys) == "the API keys were last read 5 s ago"
    assert cannot_tell(keys, make_key(bytes(RANDOM_BYTES))[1].encode())  # neither can an unknown one
    source.down = False
    await keys.refresh()
    assert keys.holder(KEY.encode(), NOW) is not None


async def test_a_07_a_slow_answer_is_as_old_as_its_question(source: Source) -> None:
    clock = HeldClock()

    class Slow(Source):
        async def generation(self) -> int:
            clock.seconds += 4
            return await super().generation()

    keys = ApiKeys(Slow(source.store), PEPPER, clock)
    await keys.refresh()
    clock.seconds += 1
    assert keys.healthy() is None
    clock.seconds += 0.5
    assert keys.healthy() is not None


async def test_run_keeps_on_when_the_store_fails_and_says_so_once(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.down = True
    keys = ApiKeys(source, PEPPER, HeldClock())
    running = asyncio.ensure_future(keys.run(every=0))
    while len(source.asked) < 3:
        source.arrived.clear()
        await source.arrived.wait()
    assert keys.healthy() is not None
    source.down = False
    while "api_keys" not in source.asked:
        source.arrived.clear()
        await source.arrived.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert keys.healthy() is None
    assert caplog.messages == ["the store fails: CannotTell"]


async def test_the_last_use_is_noted_at_once_and_then_once_a_minute(source: Source) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    await keys._note_use()
    assert "note_use" not in source.asked
    for seconds, noted in ((0.0, NOW), (59.0, NOW), (60.0, NOW + 60)):
        clock.seconds = seconds
        await keys.refresh()
        assert keys.holder(KEY.encode(), clock.wall()) is not None
        await keys._note_use()
        assert (await source.store.api_keys())[1][0].last_used == noted


async def test_a_key_works_from_the_moment_that_it_was_made(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    id, key = make_key(bytes(RANDOM_BYTES))
    await source.store.add_api_key(ApiKeyRow(id=id, mac=mac(PEPPER, key.encode()), subject="bob", created=NOW))
    caller = await keys.authenticate(key.encode(), INBOUND)
    assert caller is not None
    assert caller.client_id == id


async def test_a_new_secret_works_from_the_moment_that_it_was_made(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    await source.store.rotate_api_key(ID, mac(PEPPER, NEW_KEY.encode()), NOW, NOW)
    caller = await keys.authenticate(NEW_KEY.encode(), INBOUND)
    assert caller is not None
    assert caller.client_id == ID
    assert "the time of this one is over" in refusal(keys, KEY.encode())


async def test_many_calls_at_once_with_a_key_that_was_just_made_all_work_and_ask_once(source: Source) -> None:
    keys = ApiKeys(source, PEPPER, HeldClock())
    await keys.refresh()
    source.asked.clear()
    await source.store.rotate_api_key(ID, mac(PEPPER, NEW_KEY.encode()), NOW, NOW)
    callers = await asyncio.gather(*(keys.authenticate(NEW_KEY.encode(), INBOUND) for _ in range(50)))
    assert [caller and caller.client_id for caller in callers] == [ID] * 50
    assert source.asked == ["generation", "api_keys"]


class Held(Source):
    """Answers each question when it is told to, with what was so when it was asked."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.held: list[asyncio.Event] = []

    async def hold(self) -> None:
        self.held.append(asyncio.Event())
        await self.held[-1].wait()

    async def api_keys(self) -> tuple[int, tuple[ApiKeyRow, ...]]:
        answer = await super().api_keys()
        await self.hold()
        return answer


async def turns() -> None:
    """Lets everybody go on who can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_04_an_older_answer_never_comes_after_a_newer_one(source: Source) -> None:
    """A poll that reads before a revocation, and a look that reads after it: a revoked key must not come back."""
    held = Held(source.store)
    keys = ApiKeys(held, PEPPER, HeldClock())
    polling = asyncio.ensure_future(keys.refresh())
    await turns()
    await held.store.revoke_api_key(ID, NOW)
    looking = asyncio.ensure_future(keys.refresh())
    for _ in range(2):
        await turns()
        held.held.pop().set()  # the latest question is answered first
    await asyncio.gather(polling, looking)
    assert "was revoked" in refusal(keys, KEY.encode())


async def test_nobody_waits_for_a_slow_store_longer_than_for_two_answers(source: Source) -> None:
    clock = HeldClock()

    class Slow(Held):
        async def generation(self) -> int:
            answer = await super().generation()
            await self.hold()
            clock.seconds += 1
            return answer

    slow = Slow(source.store)
    keys = ApiKeys(slow, PEPPER, clock)
    reading = asyncio.ensure_future(keys.refresh())
    waiting = []
    for _ in range(2):
        await turns()
        slow.held.pop().set()
    await reading
    slow.asked.clear()
    unknown = make_key(bytes(RANDOM_BYTES))[1].encode()
    for _ in range(20):  # one each twentieth of a second, while the first answer does not come
        waiting.append(asyncio.ensure_future(keys.authenticate(unknown, INBOUND)))
        await turns()
        clock.seconds += 0.05
    while not all(one.done() for one in waiting):
        if slow.held:
            slow.held.pop().set()
        await turns()
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, Unauthenticated) for one in refused)
    assert slow.asked == ["generation", "generation"]


async def test_a_cancelled_look_keeps_nobody_from_looking(source: Source) -> None:
    clock = HeldClock()
    keys = ApiKeys(source, PEPPER, clock)
    await keys.refresh()
    held = Held(source.store)
    keys._source = held
    await held.store.rotate_api_key(ID, mac(PEPPER, NEW_KEY.encode()), NOW, NOW)
    left = asyncio.ensure_future(keys.authenticate(NEW_KEY.encode(), INBOUND))
    await turns()
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    clock.seconds += LOOK_AGAIN_SECONDS
    again = asyncio.ensure_future(keys.authenticate(NEW_KEY.encode(), INBOUND))
    await turns()
    held.held.pop().set()
    caller = await again
    assert caller is not None
    assert caller.client_id == ID
