"""The outputs in docs/explain.md are what the commands print."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from counterseal.cli import cli
from counterseal.store.open import open_store
from counterseal.store.port import ApiKeyRow
from tests.docs import pages

PAGE = "docs/explain.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterseal.yaml").write_text(pages.block(PAGE, "yaml explain").text)
    asyncio.run(_keys())
    return tmp_path


async def _keys() -> None:
    store = await open_store("sqlite:counterseal.db")
    for id, subject, team in (("k3m9x0a7q2fz", "alice", "data"), ("q2fzk3m9x0a7", "bob", "sales")):
        held: dict[str, Any] = {"subject": subject, "team": team, "metadata": {"tenant": "north"}}
        await store.add_api_key(ApiKeyRow(id=id, mac=bytes(32), created=1.0, **held))
    await store.close()


def run(line: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, shlex.split(line.partition(" > ")[0])[1:])
    return done.exit_code, done.stdout


def test_a_permitted_call_begins_as_the_page_shows(folder: Path) -> None:
    lines = [
        line for block in pages.blocks(pages.ROOT / PAGE) if block.info == "sh" for line in block.text.splitlines()
    ]
    code, printed = run(lines[0])
    assert code == 0
    assert printed.startswith(pages.block(PAGE, "explain=permitted").text)
    assert "north" in printed
    code, printed = run(lines[1])
    assert (code, printed) == (1, pages.block(PAGE, "explain=refused").text)
    code, printed = run(lines[2])
    assert (code, printed.count("."), len(printed.splitlines())) == (0, 2, 1)
