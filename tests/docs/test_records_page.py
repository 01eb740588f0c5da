"""docs/records.md: every field of every kind of record, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from counterseal.audit import chain
from counterseal.audit.sinks import FileSink
from counterseal.clock import SystemClock
from counterseal.core import record
from counterseal.core.operation import Operation
from counterseal.errors import REASONS
from tests.core.callers import call, inbound, token
from tests.core.test_record import permit
from tests.docs import pages
from tests.docs.pages import ROOT

PAGE: Final = (ROOT / "docs" / "records.md").read_text()
CHAIN: Final = {"v", "seq", "time", "writer", "prev", "event"}


def rows(heading: str) -> dict[str, list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {cells[0].strip("`"): cells for cells in pages.rows(section)}


def entries() -> Iterator[Mapping[str, Any]]:
    """One of each kind, with everything that it can have."""
    request, caller, asked = inbound(b"{}"), token(), call(name="get_weather")
    sent = msgspec.structs.replace(permit(), forwarded=(("X-Case", "7"),))
    yield record.intent("rec_1", request, sent, "mac", "rec_0")
    yield record.refusal("rec_1", request, caller, asked, REASONS["policy_denied"], part_of="rec_0")
    yield record.outcome("rec_1", "answered", status=200, reason=None, detail=None, size=1, seconds=0.1)
    yield record.gather("rec_1", request, caller, asked)
    yield record.minted("rec_1", request, sent, "mac")
    yield record.tool_change("rec_1", "weather", "a", caller, approved="x", seen="y", action="hold")
    yield record.tool_approval("rec_1", "weather", "a", before=None, approved="y")


async def lines(folder: Path) -> list[dict[str, Any]]:
    """The first and the last line of a file."""
    sink = FileSink(folder, issuer="https://gateway", clock=SystemClock())
    await sink.start()
    await sink.close()
    (file,) = folder.iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_each_field_is_in_the_records_that_the_page_names_and_in_no_other(tmp_path: Path) -> None:
    said: dict[str, set[str]] = {}
    for field, (_, events, *_) in rows("What they say").items():
        for event in re.findall(r"`(\w+)`", events):
            said.setdefault(event, set()).add(field)
    made = {str(entry["event"]): entry.keys() - {"event"} for entry in entries()}
    for line in await lines(tmp_path):
        assert line.keys() >= CHAIN
        made[line["event"]] = line.keys() - CHAIN
    made |= {"open": made["open"] | {"after"}, "lost": {"entries"}}  # what follows a failure (tests/audit/)
    assert said == made
    assert rows("Every line").keys() == CHAIN
    kinds = {cells[0] for cells in pages.rows(PAGE.partition("## Every line")[0])}
    assert set(re.findall(r"`(\w+)`", " ".join(kinds))) == said.keys()


def test_a_probes_mint_has_what_the_page_says() -> None:
    claims = permit().claims
    made = record.probed(
        "rec_1", "x", "weather", Operation("tools/list", None, None), claims, kid="K", algorithm="ES256"
    )
    sentence = next(line for line in PAGE.splitlines() if line.startswith("A probe's `mint`"))
    named = set(re.findall(r"`(\w+)`", sentence)) - {"mint", "sub"}
    as_in_the_token = set(re.findall(r"`(\w+)`", rows("What they say")["sub"][2])) | {"sub"}
    assert made.keys() - {"event"} == named | as_in_the_token


def test_an_outcome_ends_in_one_of_the_ways_that_the_page_names() -> None:
    assert set(re.findall(r"`(\w+)`", rows("What they say")["outcome"][2])) == set(record.Outcome.__args__)
    assert int(rows("Every line")["v"][1].split("`")[1]) == chain.VERSION
