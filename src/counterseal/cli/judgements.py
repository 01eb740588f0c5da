"""What was found out by asking others, for people and for programs: `check --online` and `servers check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from counterseal.gateway.judged import Judged, Level

_COLOURS: Final[dict[Level, str | None]] = {"ok": "green", "note": None, "warning": "yellow", "problem": "red"}


def show(judged: Sequence[Judged], what: str) -> None:
    """One paragraph each, and the count of what is not well. what: was done."""
    for one in judged:
        click.echo(f"\n{one.kind} {one.name}")
        for line in one.lines:
            level = click.style(
                f"{line.level:7}", fg=_COLOURS[line.level], bold=True if line.level == "problem" else None
            )
            click.echo(f"  {level}  {line.about:10}  {line.text}")
    levels = [line.level for one in judged for line in one.lines]
    counts = [counted(levels.count(level), level) for level in ("problem", "warning") if level in levels]
    told = ", ".join(counts) or ("ok" if judged else "nobody to ask")
    click.echo(f"\n{what}: {told}")


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def plain(one: Judged) -> dict[str, Any]:
    """For programs."""
    lines = [{"level": line.level, "about": line.about, "text": line.text, **line.facts} for line in one.lines]
    return {"kind": one.kind, "name": one.name, "level": one.level, "lines": lines}
