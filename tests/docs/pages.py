"""The pages as tests look at them: text, code, links. Everything that is written for people, the tables of the code included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILT: Final = {"node_modules", "target", "build"}
"""Folders that hold what is installed or built, and nothing of ours."""
PAGES: Final = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    + [page for page in (ROOT / "docs").rglob("*.md") if not BUILT & set(page.parts)]
)

_FENCE: Final = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_INDENTED: Final = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced piece of code. info: what stands behind the opening fence. line: where that is, from 1."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def mark(self) -> str:
        """What the page says about the block: `run`, `policy`, `walkthrough=...`, `document=...` (not ours), or nothing."""
        return self.info.partition(" ")[2]

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page."""
    text = page.read_text()
    for match in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1].strip(), match[2])


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def block(page: str, mark: str) -> Block:
    """The one block of a page with this mark or, where it has none, of this language."""
    (found,) = (one for one in blocks(ROOT / page) if mark in (one.mark, one.info))
    return found


def prose(page: Path) -> str:
    """What a person reads: without code."""
    return _SPAN.sub("", _INDENTED.sub("", _FENCE.sub("", page.read_text())))


def spans(page: Path) -> list[str]:
    """Code inside of sentences."""
    return _SPAN.findall(_FENCE.sub("", page.read_text()))


def links(page: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What `#...` may say about a page: its headings, in lower case, without punctuation, joined by hyphens."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, heads and rules left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_rule = re.fullmatch(r"\|(?:-+\|)+", line)
        is_head = number + 1 < len(lines) and re.fullmatch(r"\|(?:-+\|)+", lines[number + 1])
        if line.startswith("|") and not is_rule and not is_head:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]
