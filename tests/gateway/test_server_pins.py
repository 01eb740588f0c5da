"""What several workers with one store make of what lists show, in any order."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.config.servers import OnToolChange
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.errors import CannotTell
from counterseal.gateway.pin_keeping import PinKeeping
from counterseal.gateway.server_pins import ServerPins
from counterseal.store.memory import MemoryStore

ALICE = Caller(kind="api_key", client_id="k", subject="alice")
TOOLS = ("a", "b")
SAYS = ("good", "evil", "other")


def text(tool: str, says: str) -> bytes:
    return json.dumps({"name": tool, "description": says}).encode()


class Worker:
    """One worker: what it tells, and what it shows."""

    def __init__(self, store: Any, mode: OnToolChange = "hold", limits: Limits = LIMITS) -> None:
        self.told: list[tuple[str, str | None, str]] = []
        self.pins = ServerPins(
            "weather", mode, None, limits, lambda caller, tool, pin, seen: self.told.append((tool, pin, seen))
        )
        self.keeping = PinKeeping(store, {"weather": self.pins})

    def shows(self, tool: str, says: str) -> bool:
        return self.pins.vet(ALICE, tool, text(tool, says), 1.0)


Step = tuple[str, int, str, str]
STEPS = st.lists(
    st.tuples(st.sampled_from(["list", "refresh"]), st.integers(0, 2), st.sampled_from(TOOLS), st.sampled_from(SAYS)),
    max_size=25,
)


@given(STEPS)
def test_m_14_once_a_worker_knows_what_is_approved_it_shows_nothing_else(steps: list[Step]) -> None:
    asyncio.run(_shown(steps))


async def _shown(steps: list[Step]) -> None:
    store = MemoryStore()
    workers = [Worker(store) for _ in range(3)]
    first: dict[str, set[str]] = {}
    for kind, index, tool, says in steps:
        worker = workers[index]
        if kind == "refresh":
            await worker.keeping.refresh()
            continue
        approved = {pin.tool: pin.approved for pin in (await store.tool_pins())[1]}
        if worker.shows(tool, says):
            # Shown is what is approved, or what this worker saw first without knowing of any other.
            first.setdefault(f"{index} {tool}", set()).add(says)
        assert len(first.get(f"{index} {tool}", ())) <= 2, approved
    for _ in range(2):
        for worker in workers:
            await worker.keeping.refresh()
    known = {
        pin.tool: json.loads(pin.approved_definition or "")["description"] for pin in await store.tool_definitions()
    }
    for worker in workers:
        for tool, good in known.items():
            for says in SAYS:
                assert worker.shows(tool, says) == (says == good)


@given(STEPS)
def test_after_they_have_heard_of_each_other_all_workers_decide_alike(steps: list[Step]) -> None:
    asyncio.run(_alike(steps))


async def _alike(steps: list[Step]) -> None:
    store = MemoryStore()
    workers = [Worker(store) for _ in range(3)]
    for kind, index, tool, says in steps:
        if kind == "refresh":
            await workers[index].keeping.refresh()
        else:
            workers[index].shows(tool, says)
    for _ in range(2):
        for worker in workers:
            await worker.keeping.refresh()
    waiting = {pin.tool for pin in (await store.tool_pins())[1] if pin.seen is not None}
    for worker in workers:
        assert {tool for tool in TOOLS if worker.pins.unlike(tool)} == waiting
        assert worker.pins.changed == len(waiting)


class Failing(MemoryStore):
    """A store that can be out of reach."""

    reachable = True

    async def note_tools(self, sightings: Any) -> None:
        if not self.reachable:
            raise CannotTell("store_unavailable", "the store cannot be reached")
        await super().note_tools(sightings)


async def test_what_the_store_could_not_be_told_is_told_later_the_first_sight_first() -> None:
    store = Failing()
    worker = Worker(store)
    store.reachable = False
    for says in ("good", "evil", "other"):
        worker.shows("a", says)
        with pytest.raises(CannotTell):
            await worker.keeping.refresh()
    store.reachable = True
    await worker.keeping.refresh()
    (pin,) = await store.tool_definitions()
    assert (pin.approved_definition, pin.seen_definition) == (text("a", "good").decode(), text("a", "other").decode())
    assert worker.pins.unlike("a")


async def test_what_was_approved_is_shown_from_then_on_by_every_worker() -> None:
    store = MemoryStore()
    one, other = Worker(store), Worker(store)
    one.shows("a", "good")
    await one.keeping.refresh()
    await other.keeping.refresh()
    assert not other.shows("a", "evil")
    await other.keeping.refresh()
    (pin,) = [pin for pin in (await store.tool_pins())[1] if pin.tool == "a"]
    assert pin.seen is not None
    await store.approve_tools("weather", {"a": pin.seen}, 2.0)
    for worker in (one, other):
        await worker.keeping.refresh()
        assert not worker.pins.unlike("a")
        assert worker.shows("a", "evil")
        assert not worker.shows("a", "good")


def test_each_change_is_told_once_and_no_more_than_so_many() -> None:
    limits = dataclasses.replace(LIMITS, tool_change_count=3)
    worker = Worker(MemoryStore(), limits=limits)
    worker.shows("a", "good")
    for _ in range(2):
        for number in range(5):
            assert not worker.shows("a", f"evil {number}")
            assert worker.shows("a", "good")
    assert len(worker.told) == 3
    assert {tool for tool, _, _ in worker.told} == {"a"}


@pytest.mark.parametrize("mode", ["hold", "allow"])
def test_a_flood_of_tools_has_a_ceiling_and_what_is_pinned_stays(mode: OnToolChange) -> None:
    limits = dataclasses.replace(LIMITS, pinned_tool_count=3)
    worker = Worker(MemoryStore(), mode, limits)
    shown = [worker.shows(f"t{number}", "good") for number in range(6)]
    assert shown == ([True] * 3 + [False] * 3 if mode == "hold" else [True] * 6)
    assert worker.shows("t0", "good")
    assert worker.shows("t0", "evil") == (mode == "allow")
    assert worker.pins.unlike("t0")


@pytest.mark.parametrize("mode", ["hold", "allow"])
def test_a_definition_that_could_not_be_kept_is_not_even_read(mode: OnToolChange) -> None:
    """A list of a hundred thousand tools costs what two thousand do: while it is read, nobody else is answered (M-24)."""
    worker = Worker(MemoryStore(), mode, dataclasses.replace(LIMITS, pinned_tool_count=1))
    assert worker.shows("t0", "good")
    unreadable: Any = object()
    for name in ("t1", "n" * (LIMITS.pinned_name_bytes + 1)):
        assert worker.pins.vet(ALICE, name, unreadable, 1.0) == (mode == "allow")
    with pytest.raises(TypeError):
        worker.pins.vet(ALICE, "t0", unreadable, 1.0)


def test_a_name_of_any_length_costs_no_place() -> None:
    worker = Worker(MemoryStore())
    longest = "n" * LIMITS.pinned_name_bytes
    assert worker.shows(longest, "good")
    assert not worker.shows(longest + "n", "good")


async def test_a_long_definition_is_compared_and_not_kept() -> None:
    store = MemoryStore()
    worker = Worker(store)
    most = LIMITS.pinned_definition_bytes
    for tool, size in (("fits", most), ("long", most + 1)):
        worker.pins.vet(ALICE, tool, text(tool, "x" * (size - len(text(tool, "")))), 1.0)
    await worker.keeping.refresh()
    kept = {pin.tool: pin.approved_definition is not None for pin in await store.tool_definitions()}
    assert kept == {"fits": True, "long": False}
    assert not worker.shows("long", "other")
