"""What every audit sink keeps to. Derive from `SinkContract` and give it the fixtures `sink` and `written`: what somebody else
can read of it now, without what the sink adds by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.audit.sink import Sink
from counterseal.errors import CannotTell

Written = Callable[[], list[dict[str, Any]]]


def entry(number: int, event: str = "intent") -> dict[str, Any]:
    return {
        "event": event,
        "record": f"rec_{number}",
        "name": "täglich\n\x1b[31m",
        "nothing": None,
        "act": {"sub": "x"},
    }


class SinkContract:
    async def test_an_entry_can_be_read_once_write_returns(self, sink: Sink, written: Written) -> None:
        await sink.write(entry(1))
        assert written() == [entry(1)]

    async def test_entries_stay_in_the_order_in_which_they_were_given(self, sink: Sink, written: Written) -> None:
        sink.post(entry(0, "outcome"))
        await sink.write(entry(1))
        sink.post(entry(2, "outcome"))
        await sink.write(entry(3))
        assert [each["record"] for each in written()] == ["rec_0", "rec_1", "rec_2", "rec_3"]

    async def test_entries_that_are_written_at_once_are_all_there(self, sink: Sink, written: Written) -> None:
        await asyncio.gather(*(sink.write(entry(number)) for number in range(500)))
        assert sorted(each["record"] for each in written()) == sorted(f"rec_{number}" for number in range(500))

    async def test_close_writes_what_was_posted(self, sink: Sink, written: Written) -> None:
        for number in range(100):
            sink.post(entry(number, "outcome"))
        await sink.close()
        assert [each["record"] for each in written()] == [f"rec_{number}" for number in range(100)]

    async def test_a_closed_sink_takes_nothing(self, sink: Sink, written: Written) -> None:
        assert sink.healthy() is None
        await sink.close()
        await sink.close()
        assert sink.healthy() == "the sink is closed"
        with pytest.raises(CannotTell) as told:
            await sink.write(entry(1))
        assert told.value.reason.code == "audit_unavailable"
        with pytest.raises(CannotTell):
            sink.post(entry(1))
        assert written() == []

    async def test_an_entry_without_a_json_form_is_refused_and_the_next_one_is_not(
        self, sink: Sink, written: Written
    ) -> None:
        for bad in ({"event": object()}, {"event": "\ud800"}, {}):
            with pytest.raises(CannotTell) as told:
                await sink.write(bad)
            assert told.value.reason.code == "audit_unavailable"
            with pytest.raises(CannotTell):
                sink.post(bad)
        await sink.write(entry(1))
        assert written() == [entry(1)]
        assert sink.healthy() is None

    async def test_an_entry_may_be_changed_after_it_was_given(self, sink: Sink, written: Written) -> None:
        given = entry(1)
        sink.post(given)
        given["record"] = "rec_2"
        await sink.close()
        assert written() == [entry(1)]
