"""`counterseal audit reconcile`: hold what the gateway minted against what its servers verified."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from counterseal.audit import reader
from counterseal.audit.reconcile import MEANINGS, Difference, Found, Unreadable
from counterseal.audit.reconcile import reconcile as hold_together
from counterseal.cli import options
from counterseal.cli.asking import escaped

_SHOWN: Final = 20
"""Differences of one kind that are printed; all are in the JSON."""

_place = click.Path(exists=True, path_type=Path)


@click.command()
@click.option(
    "--gateway", multiple=True, required=True, metavar="FILES", type=_place, help="Records: a folder or a file."
)
@click.option(
    "--server", multiple=True, required=True, metavar="FILES", type=_place, help="Receipts: a folder or a file."
)
@click.option("--audience", multiple=True, help="Of a server of which there may be no receipt yet.")
@click.option("--since", metavar="TIME", help="Compare from then on, as 2026-07-28T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Compare what was before then.")
@options.as_json
def reconcile(
    *,
    gateway: tuple[Path, ...],
    server: tuple[Path, ...],
    audience: tuple[str, ...],
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Show that the calls which the gateway minted are those which the servers verified, or which are not.

    --gateway and --server may be given several times. The receipts are written by `counterseal.verify` with `receipts`. Calls
    that never left, failed or are in flight are explained by the records. Exit code 1 if anything is left that is not.

    \b
    Example:
      counterseal audit reconcile --gateway audit/ --server receipts/
    """
    records, receipts = _files(gateway, "--gateway"), _files(server, "--server")
    try:
        found = hold_together(
            records, receipts, audiences=audience, since=_time(since, "--since"), until=_time(until, "--until")
        )
    except (OSError, Unreadable) as error:
        text = str(error) if isinstance(error, Unreadable) else f"{error.filename}: {error.strerror}"
        click.secho(f"{text}: nothing was compared.", fg="red", err=True)
        sys.exit(1)
    if not found.servers:
        raise click.UsageError(
            "there is no receipt, so nobody knows of which server: name its audience with --audience, or leave out nothing that "
            "`receipts` of its Verifier wrote."
        )
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
    else:
        _show(found)
    sys.exit(0 if found.equal else 1)


def _files(places: Sequence[Path], option: str) -> list[Path]:
    found = [path for place in places for path in (reader.files(place) if place.is_dir() else [place])]
    if not found and option == "--gateway":
        raise click.UsageError(f"{option}: there is no file of records.")
    # Named twice, a file would say everything twice.
    return list({path.resolve(): path for path in found}.values())


def _time(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.UsageError(f"{option}: write a time with its zone, as 2026-07-28T12:00:00Z.")
    return time.timestamp()


def _show(found: Found) -> None:
    for server in found.servers:
        click.echo(f"server    {escaped(server)}")
    click.echo(f"minted    {found.minted}")
    click.echo(f"verified  {found.verified}")
    for why, count in sorted(found.explained.items()):
        click.echo(f"explained {count}  {escaped(why)}")
    notes = (
        (found.again, "more times a token that had been verified was presented, and refused"),
        (found.elsewhere, "minted for other servers, and left out"),
        (found.torn, "lines that a server was writing when it ended: it let no such call through"),
    )
    for count, what in notes:
        if count:
            click.echo(f"note      {count}  {what}")
    for kind, meaning in MEANINGS.items():
        those = [one for one in found.differences if one.kind == kind]
        if those:
            click.secho(f"\n{len(those)}  {meaning}", fg="red")
            for one in those[:_SHOWN]:
                click.echo(f"  {_line(one)}")
            if len(those) > _SHOWN:
                click.echo(f"  ... and {len(those) - _SHOWN} more: --json has them all")
    if found.equal:
        click.secho("\nThe same calls on both sides.", fg="green")
    else:
        click.secho(f"\nNot the same: {len(found.differences)} differences.", fg="red")


def _line(one: Difference) -> str:
    words = (one.time, one.jti, one.method, one.name, one.sub, one.aud, one.detail, one.where)
    return "  ".join("-" if word in (None, "") else escaped(word) for word in words)


def _document(found: Found) -> dict[str, object]:
    whole = asdict(found)
    for one in whole["differences"]:
        one["meaning"] = MEANINGS[one["kind"]]
    return {"equal": found.equal, **whole}
