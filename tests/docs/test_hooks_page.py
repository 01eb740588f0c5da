"""docs/hooks.md: its example works as it stands, and what it counts and lists is what the code has."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

import counterseal.hooks
from counterseal.core.limits import LIMITS
from counterseal.gateway.hook_loading import Loaded, load
from counterseal.hooks import CallerView, CallView, Deny, Event, Offered, Pass, contained
from counterseal.hooks.testing import offered, view
from counterseal.hooks.view import CREDENTIALS
from tests.docs import pages
from tests.support.tokens import FixedClock

PAGE: Final = pages.ROOT / "docs" / "hooks.md"
TEXT: Final = PAGE.read_text()
EXAMPLE: Final = pages.block("docs/hooks.md", "office hours").text
(ENTRY,) = yaml.safe_load(next(block.text for block in pages.blocks(PAGE) if block.language == "yaml"))["hooks"]
DAY: Final = 24 * 3600


@pytest.fixture
def at_noon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FixedClock]:
    module = ENTRY["use"].partition(":")[0]
    (tmp_path / f"{module}.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    yield FixedClock(20_000 * DAY + 12 * 3600)
    sys.modules.pop(module, None)


def made(clock: FixedClock, **settings: int) -> Loaded:
    return load(ENTRY["use"], {**ENTRY["with"], **settings}, offered(clock=clock))


def test_the_example_is_short_enough_to_be_read() -> None:
    lines = [line for line in EXAMPLE.splitlines() if line.strip() and not line.startswith(("from", "import"))]
    assert len(lines) <= 15


async def test_the_example_does_what_the_page_says(at_noon: FixedClock) -> None:
    hook = made(at_noon)
    assert hook.kind == "gate"
    assert await hook.method(view("delete_station")) == Pass()
    at_noon.advance(5 * 3600)
    assert await hook.method(view("delete_station")) == Deny("delete_station may be called from 8 to 17 o'clock UTC")
    at_noon.advance(15 * 3600)
    assert await hook.method(view("delete_station")) == Pass()


def test_the_example_refuses_settings_that_make_no_sense(at_noon: FixedClock) -> None:
    with pytest.raises(ValueError, match="must be hours"):
        made(at_noon, opens=18)


def cells(heading: str) -> dict[str, str]:
    """The first table of a section, its first cell to its second."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {row[0].strip("`"): row[1] for row in pages.rows(section)}


@pytest.mark.parametrize(("field", "kind"), [("view.caller", CallerView), ("view.call", CallView)])
def test_the_page_lists_every_field_of_a_view(field: str, kind: type) -> None:
    told = re.findall(r"`(\w+)`", cells("What a hook sees")[field])
    assert told == [one.name for one in dataclasses.fields(kind)]


def test_the_page_lists_every_field_of_an_event() -> None:
    told = re.search(r"An `Event` has (.*?)\. What", TEXT, re.DOTALL)
    assert told is not None
    words = [word for word in re.findall(r"`(\w+)`", told[1]) if word not in ("permitted", "refused")]
    assert words == [one.name for one in dataclasses.fields(Event)]


def test_the_page_lists_everything_that_is_offered() -> None:
    told = [re.sub(r"offered\.|\(.*", "", name) for name in cells("Settings")]
    assert sorted(told) == sorted(one.name for one in dataclasses.fields(Offered))


def test_the_page_names_everything_that_the_package_gives() -> None:
    for name in counterseal.hooks.__all__:
        if name not in ("CallView", "CallerView", "Gate", "ClaimSource", "Observer"):
            assert re.search(rf"\b{name}\b", TEXT), name


def test_the_page_counts_right() -> None:
    assert f"up to {contained._THREADS} at a time" in TEXT
    assert f"after {contained._STUCK} of them" in TEXT
    assert f"a queue of {LIMITS.hook_events:,}" in TEXT
    assert f"At most {LIMITS.hook_header_count} for a call, {LIMITS.hook_header_bytes // 1024} KiB each" in TEXT
    assert f"it is bounded: {LIMITS.tool_schema_bytes // 1024} KiB" in TEXT


def test_the_page_names_the_credentials_that_callers_send() -> None:
    section = TEXT.partition("## What a hook sees")[2].partition("\n## ")[0].lower()
    assert all(f"`{name}`" in section for name in CREDENTIALS - {"set-cookie", "x-mcp-channel-token"})
