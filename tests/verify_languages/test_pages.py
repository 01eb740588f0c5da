"""The pages under `docs/verify/` say what is there: files and their length, versions, commands, and nothing of a registry."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT
from tests.verify_languages.languages import ALL, Language

each = pytest.mark.parametrize("language", ALL, ids=[one.name for one in ALL])
SOURCES = (".ts", ".go", ".java", ".rs")


@each
def test_the_page_lists_every_source_file_with_its_length(language: Language) -> None:
    told = {}
    for cells in pages.rows(language.page.read_text()):
        if found := re.fullmatch(r"\[`[^`]+`\]\(([^)]+)\)", cells[0]):
            told[found[1]] = int(cells[1])
    there = {
        str(path.relative_to(language.page.parent)): len(path.read_text().splitlines())
        for path in language.folder.rglob("*")
        if path.suffix in SOURCES and not pages.BUILT & set(path.parts)
    }
    assert told == there


@each
def test_the_page_runs_it_with_the_options_that_it_has(language: Language) -> None:
    """The flow tests start it with these."""
    (line,) = (
        line
        for block in pages.blocks(language.page)
        if block.language == "sh"
        for line in block.text.splitlines()
        if "--issuer" in line
    )
    words = shlex.split(line)
    assert [word for word in words if word.startswith("--")] == ["--port", "--issuer", "--audience"]
    assert any(language.program.rpartition("/")[2] in word for word in words)
    configuration = next(block.text for block in pages.blocks(language.page) if block.language == "yaml")
    assert f"issuer: {words[words.index('--issuer') + 1]}\n" in configuration
    assert f"url: {words[words.index('--audience') + 1]}\n" in configuration


@each
def test_the_page_is_found(language: Language) -> None:
    for page in ("docs/index.md", "docs/verifying.md"):
        assert f"verify/{language.name}.md" in pages.links(ROOT / page)


@each
def test_the_example_holds_no_address_of_a_registry(language: Language) -> None:
    for path in language.folder.rglob("*"):
        # Cargo.lock is made here, and kept by nobody.
        if path.is_file() and path.name != "Cargo.lock" and not pages.BUILT & set(path.parts):
            assert not re.search(r'registry\+|registry\.|"resolved"|repo\.maven|proxy\.golang', path.read_text()), path
