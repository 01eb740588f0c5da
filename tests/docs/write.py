"""Writes the tables of errors.md, limits.md, call-token.md, probe.md and commands.md under docs/ from the code, between the two
marks of each.

    python -m tests.docs.write

The explanations of limits are written by hand; a new limit gets an empty one, which a test refuses.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from counterseal.cli import cli
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS, Kind
from counterseal.errors import REASONS
from counterseal.gateway.probe.attacks import ATTACKS

DOCS: Final = Path(__file__).parents[2] / "docs"
BEGIN: Final = "<!-- table: written by python -m tests.docs.write -->"
END: Final = "<!-- end of table -->"

_FAULTS: Final = {"caller": "the caller's", "server": "the server's", "us": "ours", "operator": "the operator's"}
_KINDS: Final = {Kind.OPEN: "open", Kind.TOOL: "a tool", Kind.ITEM: "a prompt or resource", Kind.TASK: "its tool"}
_LIMIT_ROW: Final = re.compile(r"^\| `([a-z_]+)` \| [^|]* \| ([^|]*) \|$", re.MULTILINE)


def errors_table() -> str:
    """One row for each reason, in the order of errors/reasons.py."""
    rows = ["| reason | HTTP | JSON-RPC | whose fault | cause | remedy |", "|---|---|---|---|---|---|"]
    for row in REASONS.values():
        cells = (f"`{row.code}`", str(row.status), str(row.rpc), _FAULTS[row.fault], row.cause, row.remedy)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def limits_table(page: str) -> str:
    """One row for each limit, in the order of core/limits.py, with the explanations that the page has."""
    explanations = dict(_LIMIT_ROW.findall(page))
    rows = ["| limit | value | what it is, and what happens over it |", "|---|---|---|"]
    for field in dataclasses.fields(LIMITS):
        value = value_of(field.name, getattr(LIMITS, field.name))
        rows.append(f"| `{field.name}` | {value} | {explanations.get(field.name, '')} |")
    return "\n".join(rows)


def methods_table() -> str:
    """One row for each method, in the order of core/methods.py."""
    rows = ["| method | name | arguments | revisions | policy treats it as |", "|---|---|---|---|---|"]
    for row in METHODS.values():
        name = f"`params.{row.name_field}`" if row.name_field else "-"
        if row.name == "completion/complete":
            name = "`name` or `uri` of `params.ref`"
        arguments = "`params.arguments`" if row.arguments else "-"
        revisions = "both" if row.modern and row.legacy else "modern" if row.modern else "legacy"
        rows.append(f"| `{row.name}` | {name} | {arguments} | {revisions} | {_KINDS[row.kind]} |")
    return "\n".join(rows)


def attacks_table() -> str:
    """One row for each attack on a server, in the order in which they are tried."""
    rows = ["| what is sent | likely cause, if it is taken | remedy |", "|---|---|---|"]
    for row in ATTACKS.values():
        if row.servers:
            rows.append(f"| {row.sent} | {row.cause} | {row.fix} |")
    return "\n".join(rows)


def commands_table() -> str:
    """For each command one row, with the options that it shares with others, then one for each option of its own; in the order of
    `counterseal --help`."""
    rows = ["| command | option | what it does, or is |", "|---|---|---|"]
    shared = {("--config", "The configuration."), ("--json", "For programs.")}
    for words, command in commands():
        context = click.Context(command, info_name=command.name)
        arguments = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
        name = " ".join(["counterseal", *words, *arguments])
        options = [one for one in command.params if isinstance(one, click.Option)]
        usual = [one for one in options if (one.opts[0], one.help) in shared]
        rows.append(_row(f"`{name}`", ", ".join(f"`{one.opts[0]}`" for one in usual), _first_paragraph(command)))
        for option in options:
            if option not in usual:
                shown, what = option.get_help_record(context) or ("", "")
                rows.append(_row("", f"`{shown}`", what))
    return "\n".join(rows)


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group of others, with the words behind `counterseal`."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        if not isinstance(command, click.Group):
            yield words, command
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, (*words, name))

    return below(cli, ())


def _first_paragraph(command: click.Command) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _row(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def value_of(name: str, value: float) -> str:
    """A limit as people write it."""
    if name.endswith("_bytes"):
        return f"{value / 1024**2:g} MiB" if value % 1024**2 == 0 else f"{value / 1024:g} KiB"
    if name.endswith("_seconds"):
        return f"{value / 3600:g} h" if value >= 3600 and value % 3600 == 0 else f"{value:g} s"
    return f"{value:,}"


def between_marks(page: str) -> str:
    """The table of a page. Raises ValueError where the marks are not there once."""
    _, begin, rest = page.partition(BEGIN + "\n")
    table, end, after = rest.partition("\n" + END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ValueError("the page does not have the two marks of its table once")
    return table


TABLES: Final[Mapping[str, Callable[[str], str]]] = {
    "errors.md": lambda _: errors_table(),
    "limits.md": limits_table,
    "call-token.md": lambda _: methods_table(),
    "probe.md": lambda _: attacks_table(),
    "commands.md": lambda _: commands_table(),
}
"""The page, and what makes its table from the page as it is."""


def main() -> None:
    for name, table in TABLES.items():
        page = (DOCS / name).read_text()
        old = f"{BEGIN}\n{between_marks(page)}\n{END}"
        (DOCS / name).write_text(page.replace(old, f"{BEGIN}\n{table(page)}\n{END}"))


if __name__ == "__main__":
    main()
