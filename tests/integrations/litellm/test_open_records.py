"""How a call ended, as LiteLLM tells it: once, for the right call, and unknown where nobody tells."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from counterseal.integrations.litellm.open_records import UNTOLD, OpenRecords
from tests.integrations.litellm.opening import opened


class Record:
    """Notes how it ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int | None, str | None]] = []

    def ended(self, how: str, *, status: int | None = None, detail: str | None = None) -> None:
        self.ends.append((how, status, detail))


async def test_each_record_ends_once_with_what_was_told_of_its_own_call() -> None:
    records, one, other = OpenRecords(60), Record(), Record()
    records.keep("1", one)  # type: ignore[arg-type]
    records.keep("2", other)  # type: ignore[arg-type]
    records.ended("2", "failed", None, "LiteLLM: Timeout")
    records.ended("2", "answered", 200)
    records.ended("3", "answered", 200)
    records.ended(None, "answered", 200)
    assert one.ends == []
    assert other.ends == [("failed", None, "LiteLLM: Timeout")]
    records.close()
    assert one.ends == [("unknown", None, UNTOLD)]
    assert len(records) == 0


@pytest.mark.parametrize("id", [None, "1"])
async def test_an_id_that_a_client_chose_takes_no_record_from_another_call(id: Any) -> None:
    records, first, second = OpenRecords(60), Record(), Record()
    records.keep("1", first)  # type: ignore[arg-type]
    records.keep(id, second)  # type: ignore[arg-type]
    assert second.ends == [("unknown", None, UNTOLD)]
    records.ended("1", "answered", 200)
    assert first.ends == [("answered", 200, None)]


async def test_nobody_is_waited_for_for_ever() -> None:
    records, record = OpenRecords(0), Record()
    records.keep("1", record)  # type: ignore[arg-type]
    while not record.ends:
        await asyncio.sleep(0)
    assert record.ends == [("unknown", None, UNTOLD)]
    assert len(records) == 0


async def test_a_caller_is_counted_out_when_its_call_has_ended(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        await made()
        admission = (await made.sign._running()).parts.pipeline.admission
        assert len(admission._calls) == 1
        made.records.ended("call-1", "answered", 200)
        assert len(admission._calls) == 0
