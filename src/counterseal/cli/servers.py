"""`counterseal servers`: which there are, how they are, and what their tools are."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from counterseal.cli import asking, judgements, options
from counterseal.clock import SystemClock
from counterseal.config.compile import signing_algorithm
from counterseal.config.load import load
from counterseal.config.lock import NAME, Locked, lock_path, read_lock, write_lock
from counterseal.config.problems import nearest
from counterseal.config.schema import Configuration
from counterseal.core.canonical import NotCanonical
from counterseal.core.definition import definition_digest, read_definition, shown
from counterseal.core.limits import LIMITS
from counterseal.gateway import approving
from counterseal.gateway.approving import Waiting
from counterseal.gateway.inspecting import Inspected, inspect

_names = click.argument("names", nargs=-1, metavar="[SERVER]...")


@click.group()
def servers() -> None:
    """The configured servers.

    \b
    Examples:
      counterseal servers list
      counterseal servers check weather
      counterseal servers diff
      counterseal servers approve weather get_forecast
      counterseal servers lock
    """


@servers.command("list")
@options.config
@options.as_json
def list_servers(config: Path, as_json: bool) -> None:
    """List the servers, and how many of their tools are pinned. No server is asked.

    \b
    Example:
      counterseal servers list --json
    """
    configuration = load(config, with_secrets=False)
    locked = read_lock(configuration.folder)
    pins = () if configuration.store == "memory:" else asyncio.run(approving.pinned(configuration))
    changes = () if configuration.store == "memory:" else asyncio.run(approving.waiting(configuration))
    counts = Counter(pin.server for pin in pins if pin.approved is not None)
    waiting = Counter(one.server for one in changes)
    rows = []
    for name, server in configuration.servers.items():
        signer = configuration.signer_of(name)
        pinned = len(locked[name]) if name in locked else counts[name]
        rows.append(
            {
                "name": name,
                "transport": server.transport,
                "address": server.place,
                "audience": signer.audience or server.audience(name),
                "algorithm": signing_algorithm(configuration, name),
                "header": signer.header if server.transport != "stdio" else None,
                "on_tool_change": configuration.on_tool_change_of(name),
                "locked": name in locked,
                "pinned": pinned,
                "changed": waiting[name],
            }
        )
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("No servers. Write one under `servers:`; docs/configuration.md begins with an example.")
        return
    lines: list[tuple[str, ...]] = [("NAME", "TRANSPORT", "ADDRESS", "TOOLS", "ON CHANGE", "SIGNED", "AUDIENCE")]
    for row in rows:
        tools = f"{row['pinned']} {'locked' if row['locked'] else 'pinned'}"
        tools += f", {row['changed']} changed" if row["changed"] else ""
        cells = (row["name"], row["transport"], row["address"], tools, row["on_tool_change"], row["algorithm"])
        lines.append(tuple(asking.escaped(cell) for cell in (*cells, row["audience"])))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@servers.command()
@_names
@options.config
@options.as_json
def check(names: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Ask each server, or those named, what it is and has, with a call token of the gateway's own.

    It says what is wrong and how to mend it, and whether the server refuses a request without a token. No tool is called. The
    exit code is 1 if a server has a problem.

    \b
    Examples:
      counterseal servers check
      counterseal servers check weather crm --json
    """
    configuration = load(config)
    found = asyncio.run(inspect(configuration, _named(configuration, names), SystemClock()))
    judged = [one.judged for one in found]
    if as_json:
        click.echo(json.dumps([judgements.plain(one) for one in judged]))
    else:
        judgements.show(judged, "servers")
    sys.exit(1 if any(one.level == "problem" for one in judged) else 0)


@servers.command()
@click.argument("name", metavar="[SERVER]", required=False)
@options.config
@options.as_json
def diff(name: str | None, config: Path, as_json: bool) -> None:
    """Show how tools differ from what was approved. No server is asked: it is what callers' lists have shown.

    Characters that cannot be seen are shown as escapes.

    \b
    Examples:
      counterseal servers diff
      counterseal servers diff weather --json
    """
    configuration = load(config, with_secrets=False)
    approving.check_store(configuration)
    if name is not None:
        _named(configuration, (name,))
    found = asyncio.run(approving.waiting(configuration, name))
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found]))
        return
    if not found:
        click.echo("Nothing has changed.")
        return
    locked = read_lock(configuration.folder)
    for server in dict.fromkeys(one.server for one in found):
        changes = [one for one in found if one.server == server]
        for one in changes:
            _show_change(one, is_locked=server in locked)
        if server in locked:
            click.echo(f"To accept what the server has now: counterseal servers lock {server}\n")
        else:
            change = approving.change_of(changes)
            click.echo(f"To accept this: counterseal servers approve {server} --change {change}\n")


@servers.command()
@click.argument("name", metavar="SERVER")
@click.argument("tools", nargs=-1, metavar="[TOOL]...")
@click.option("--change", metavar="ID", help="Only if what waits is still what `servers diff` showed under this id.")
@options.config
@options.as_json
def approve(name: str, tools: tuple[str, ...], change: str | None, config: Path, as_json: bool) -> None:
    """Approve what a server's tools are now: those named, or all that have changed. It leaves a record.

    A running gateway takes it over within a second or so.

    \b
    Examples:
      counterseal servers approve weather get_forecast
      counterseal servers approve weather --change 5f1c2e90ab34
    """
    configuration = load(config, with_secrets=False)
    approving.check_store(configuration)
    _named(configuration, (name,))
    if name in read_lock(configuration.folder):
        raise click.ClickException(
            f"{NAME} says what the tools of {name} are, so it has to say it anew: counterseal servers lock {name}"
        )
    found = asyncio.run(approving.waiting(configuration, name))
    if change is not None and change != approving.change_of(found):
        raise click.ClickException(
            f"What waits at {name} is not what was shown as {change}: look again with `counterseal servers diff {name}`."
        )
    by_name = {one.tool: one for one in found}
    for tool in tools:
        if tool not in by_name:
            raise click.ClickException(f"Nothing waits at {name} for the tool {tool!r}{nearest(tool, by_name)}")
    wanted = [by_name[tool] for tool in tools] if tools else list(found)
    seen = {one.tool: one.seen for one in wanted}
    done = asyncio.run(approving.approve(configuration, name, seen, SystemClock())) if seen else frozenset()
    if as_json:
        click.echo(json.dumps([{"server": name, "tool": tool, "approved": seen[tool]} for tool in sorted(done)]))
    elif not seen:
        click.echo(f"Nothing waits at {name}.")
    for tool in () if as_json else sorted(done):
        click.echo(f"Approved {asking.escaped(tool)} ({seen[tool]}).")
    if left := sorted(seen.keys() - done):
        raise click.ClickException(
            f"Changed again meanwhile: {', '.join(map(asking.escaped, left))}. Look again with `counterseal servers diff {name}`."
        )


@servers.command()
@_names
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if the file would change.")
@options.config
@options.as_json
def lock(names: tuple[str, ...], only_check: bool, config: Path, as_json: bool) -> None:
    """Write counterseal.lock: ask each server, or those named, for its tools, and take them as approved.

    The file stands beside the configuration; keep it with that, so that changes are reviewed. Servers that are not named stay in
    it as they are. A gateway reads it when it starts.

    \b
    Examples:
      counterseal servers lock
      counterseal servers lock weather
      counterseal servers lock --check
    """
    configuration = load(config)
    before = read_lock(configuration.folder)
    wanted = _named(configuration, names)
    found = asyncio.run(inspect(configuration, wanted, SystemClock()))
    if any(one.judged.level == "problem" for one in found):
        judgements.show([one.judged for one in found if one.judged.level == "problem"], "servers")
        raise click.ClickException(f"{NAME} was not written, because not every server could be asked.")
    kept = {name: tools for name, tools in before.items() if names or name in configuration.servers}
    after: Locked = kept | {one.name: _definitions(one) for one in found}
    rows = [row for name in wanted for row in _differences(name, before, after)]
    path = lock_path(configuration.folder)
    changed = after != before or (not only_check and not path.exists())
    if changed and not only_check:
        _write(path, write_lock(after))
    if as_json:
        click.echo(json.dumps({"file": str(path), "changed": after != before, "tools": rows}))
    else:
        for row in rows:
            click.echo(f"{row['change']:7}  {row['server']}  {asking.escaped(row['tool'])}")
        tools = judgements.counted(sum(map(len, after.values())), "tool")
        state = "would change" if only_check and changed else "is as it was" if not changed else "written"
        click.echo(f"{path}: {state}: {tools} of {judgements.counted(len(after), 'server')}.")
    sys.exit(1 if only_check and after != before else 0)


def _named(configuration: Configuration, names: Sequence[str]) -> list[str]:
    """Those, each once, or all. Raises UsageError."""
    for name in names:
        if name not in configuration.servers:
            hint = nearest(name, configuration.servers)
            raise click.UsageError(f"there is no server {name!r}{hint if hint.endswith('?') else f'{hint}.'}")
    return list(dict.fromkeys(names or configuration.servers))


def _show_change(one: Waiting, *, is_locked: bool) -> None:
    tool = asking.escaped(one.tool)
    when = datetime.fromtimestamp(one.seen_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if one.approved is None:
        click.secho(
            f"{one.server}: {tool} is not in {NAME}; seen {when}" if is_locked else f"{one.server}: {tool}; seen {when}"
        )
    else:
        click.secho(f"{one.server}: {tool} changed; seen {when}")
    for what, digest, definition in (
        ("approved", one.approved, one.approved_definition),
        ("seen", one.seen, one.seen_definition),
    ):
        click.echo(f"  {what:8} {digest or 'nothing'}" + ("" if definition or not digest else " (too long to be kept)"))
    if one.seen_definition is not None and (one.approved is None or one.approved_definition is not None):
        before = [] if one.approved_definition is None else shown(one.approved_definition).splitlines()
        lines = difflib.unified_diff(before, shown(one.seen_definition).splitlines(), lineterm="", n=2)
        for line in list(lines)[2:]:
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            click.secho(f"  {line}", fg=colour)
    click.echo()


def _plain(one: Waiting) -> dict[str, Any]:
    return {
        "server": one.server,
        "tool": one.tool,
        "approved": one.approved,
        "approved_definition": one.approved_definition,
        "seen": one.seen,
        "seen_definition": one.seen_definition,
        "seen_at": one.seen_at,
    }


def _definitions(one: Inspected) -> dict[str, dict[str, Any]]:
    found = {}
    for tool, text in one.definitions.items():
        try:
            found[tool] = read_definition(text, LIMITS)
            definition_digest(found[tool])
        except NotCanonical as error:
            raise click.ClickException(
                f"The tool {asking.escaped(tool)} of {one.name} cannot be locked, because its definition can be read in two ways "
                f"({error}): mend the server."
            ) from None
    return found


def _differences(server: str, before: Locked, after: Locked) -> list[dict[str, str]]:
    old, new = before.get(server, {}), after[server]
    words = []
    for tool in sorted(old.keys() | new.keys()):
        change = "new" if tool not in old else "gone" if tool not in new else "changed"
        if old.get(tool) != new.get(tool):
            words.append({"server": server, "tool": tool, "change": change})
    return words


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}.")
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written ({error.strerror}): let this account write there."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
