"""`counterseal audit`: read the records of a folder, and check that nobody changed them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from counterseal.audit import reader
from counterseal.cli import options
from counterseal.cli.asking import escaped
from counterseal.cli.reconcile import reconcile

_FOLLOW_SECONDS: Final = 0.5
_UNENDED: Final = 10_000
"""Calls under way that `tail` remembers."""
_COLOURS: Final = {"refusal": "yellow", "failed": "red", "unreadable": "red", "error": "yellow", "aborted": "yellow"}

_folder = click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def audit() -> None:
    """The records of what was called, refused and answered.

    \b
    Examples:
      counterseal audit tail audit/ -f
      counterseal audit verify audit/
      counterseal audit reconcile --gateway audit/ --server receipts/
    """


@audit.command()
@_folder
@click.option("--json", "as_json", is_flag=True, help="The records as they are, one a line.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is added, until interrupted.")
@click.option("-n", "count", type=click.IntRange(min=0), default=20, show_default=True, help="How many records.")
@options.unread_config
def tail(folder: Path, as_json: bool, follow: bool, count: int) -> None:
    """Print the last records of all files together, in order of time.

    \b
    Examples:
      counterseal audit tail audit/ -n 100
      counterseal audit tail audit/ --json | grep rec_w5Rs
    """
    end = reader.Tail(folder)
    intents: dict[str, Mapping[str, Any]] = {}
    records = end.last(2 * count)
    before = max(0, len(records) - count)
    for record in records[:before]:
        _sentence(record, intents)  # not to show: an outcome that is shown may be of one of these
    _print(records[before:], as_json, intents)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            _print(end.more(), as_json, intents)


@audit.command()
@_folder
@click.option("--jwks", metavar="URL_OR_FILE", help="Keys to check signed checkpoints with. Not built yet.")
@options.unread_config
@options.as_json
def verify(folder: Path, jwks: str | None, as_json: bool) -> None:
    """Check the chain of every file. Exit code 1 if one is broken.

    A line that was edited, taken out, put in or moved is found. Lines cut off at the end of a file that was not closed are not:
    that takes signed checkpoints, which are not built yet.

    \b
    Example:
      counterseal audit verify audit/
    """
    if jwks is not None:
        raise click.UsageError("`--jwks` is not built yet: there are no signed checkpoints to check.")
    found = reader.verify(folder)
    if as_json:
        rows = [
            {
                "file": str(path),
                "state": report.state,
                "records": report.lines,
                "line": report.line,
                "problem": report.problem,
            }
            for path, report in found.files
        ]
        click.echo(json.dumps({"broken": found.broken, "files": rows, "intents_without_outcome": found.unfinished}))
    else:
        for path, report in found.files:
            if report.state == "broken":
                click.echo(click.style(f"{escaped(str(path))}:{report.line}: {report.problem}", fg="red"))
            else:
                click.echo(f"{escaped(str(path))}: {report.lines} records, {_STATES[report.state]}")
        click.echo(f"{len(found.files)} files; {found.unfinished} calls with an intent and no outcome")
        if any(report.state in ("open", "torn") for _, report in found.files):
            click.echo("Whether records were cut off the end of a file that was not closed cannot be seen yet.")
    if found.broken:
        click.get_current_context().exit(1)


_STATES: Final = {
    "closed": "whole and closed",
    "open": "whole so far, not closed: still being written, or its writer was killed",
    "torn": "whole so far, not closed, and the last line is not complete",
}


@audit.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def export() -> None:
    """Hand records to another system. Not built yet."""
    raise click.UsageError(
        "`counterseal audit export` is not built yet: `counterseal audit tail DIR --json -n N` prints them."
    )


audit.add_command(reconcile)


def _print(records: Iterable[Mapping[str, Any]], as_json: bool, intents: dict[str, Mapping[str, Any]]) -> None:
    """intents: those read so far whose calls have not ended, by record id, so that an outcome can say whose it is."""
    for record in records:
        # ensure_ascii keeps what callers named things away from the terminal (U-05).
        click.echo(json.dumps(record, separators=(",", ":")) if as_json else _sentence(record, intents))


def _sentence(record: Mapping[str, Any], intents: dict[str, Mapping[str, Any]]) -> str:
    """time, event, caller, server, method, name, how, record id; `-` for what a record doesn't say.

    how: for an intent and for a token that was minted by hand the rule, for a refusal the reason, for an outcome how it ended,
    its status or reason, and how long; for a tool that changed what was done.
    """
    event, call = str(record.get("event", "-")), str(record.get("record"))
    what, how = record, record.get("reason") or record.get("detail") or record.get("action")
    if event in ("intent", "mint"):
        how = str(record.get("rule")).partition(" ")[0]
    if event in ("intent", "gather"):
        intents[call] = record
        if len(intents) > _UNENDED:
            del intents[next(iter(intents))]
    elif event == "outcome":
        what = intents.pop(call, record)
        parts = (record.get("outcome"), record.get("reason") or record.get("status"), _milliseconds(record))
        how = ",".join(str(part) for part in parts if part is not None)
    caller = what.get("caller")
    who = (caller.get("subject") or caller.get("client_id")) if isinstance(caller, Mapping) else None
    colour = _COLOURS.get(event) or _COLOURS.get(str(record.get("outcome")))
    words = (who, what.get("server"), what.get("method"), what.get("name"))
    return " ".join(
        [
            _plain(record.get("time")),
            click.style(f"{_plain(event):8}", fg=colour),
            *(_plain(word) for word in words),
            click.style(_plain(how), fg=colour),
            _plain(record.get("record")),
        ]
    )


def _milliseconds(record: Mapping[str, Any]) -> str | None:
    seconds = record.get("seconds")
    return f"{seconds * 1000:.1f}ms" if isinstance(seconds, int | float) else None


def _plain(word: object) -> str:
    """Printable ASCII without spaces, so that the columns stay what they are and no name can command a terminal."""
    if word is None or word == "":
        return "-"
    return json.dumps(str(word))[1:-1].replace("\x7f", "\\u007f").replace(" ", "\\u0020")
