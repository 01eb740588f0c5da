"""Writes the tables of errors.md, limits.md, call-token.md and probe.md under docs/ from the code, between the two marks of each.

    python -m tests.docs.write

The explanations of limits are written by hand; a new limit gets an empty one, which a test refuses.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

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
}
"""The page, and what makes its table from the page as it is."""


def main() -> None:
    for name, table in TABLES.items():
        page = (DOCS / name).read_text()
        old = f"{BEGIN}\n{between_marks(page)}\n{END}"
        (DOCS / name).write_text(page.replace(old, f"{BEGIN}\n{table(page)}\n{END}"))


if __name__ == "__main__":
    main()
