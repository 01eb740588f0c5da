"""The comparison in docs/operating.md is what the command prints, and its table has every difference."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from counterseal.audit.reconcile import MEANINGS
from counterseal.cli import cli
from tests.audit.test_reconcile import held, intent, outcome, receipt
from tests.docs import pages

PAGE = "docs/operating.md"
STOLEN = "Lk2b7nV0w5sYz1QmTqkG8A"


def test_what_is_printed_is_as_the_page_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = outcome("c", "failed", status=502, reason="server_unreachable")
    entries = [intent("a"), outcome("a"), intent("b"), outcome("b"), intent("c"), failed]
    receipts = [receipt("a"), receipt("b"), receipt(STOLEN, name="delete_all")]
    held(tmp_path, entries, receipts)
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts.jsonl").rename(tmp_path / "receipts/20270115T080000-3f9a.jsonl")
    monkeypatch.chdir(tmp_path)
    (line,) = (
        block.text
        for block in pages.blocks(pages.ROOT / PAGE)
        if block.info == "sh" and block.text.startswith("counterseal audit reconcile")
    )
    done = CliRunner().invoke(cli, shlex.split(line)[1:])
    assert (done.exit_code, done.stdout) == (1, pages.block(PAGE, "text reconcile").text)


def test_every_difference_is_in_the_table() -> None:
    section = (pages.ROOT / PAGE).read_text().partition("### The same calls on both sides")[2].partition("## Health")[0]
    named = {name.strip("` ") for cells in pages.rows(section) for name in cells[0].split(",")}
    assert set(MEANINGS) <= named
