"""`counterseal apikey`: create, list, rotate, revoke and recognise API keys of the configured store.

A key's secret exists in two places only: in the output of `create` or `rotate`, and with whoever it is given to. It is never an
argument, which everybody on the machine can read.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from counterseal.cli import key_options, options
from counterseal.cli.found_keys import MEANING, Known, judge
from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError
from counterseal.identity.key_form import PREFIX, RANDOM_BYTES, find_keys, mac, make_key
from counterseal.store.open import open_store
from counterseal.store.port import API_KEY_PEPPER, ApiKeyRow, Store

T = TypeVar("T")

_LONGEST_LIFE: Final = "36500d"
_LONGEST_OVERLAP: Final = "30d"
"""What goes on for longer is a second key."""
_NO_ARGUMENT: Final = (
    "An argument can be read by others on this machine and stays in the shell's history: rotate a key that was one."
)


def _no_secret(_: click.Context, __: click.Parameter, id: str) -> str:
    if id.encode(errors="replace").startswith(PREFIX):
        raise click.UsageError(
            f"Give the key's id, not the key: it is the part between the two underscores. {_NO_ARGUMENT}"
        )
    return id


_id = click.argument("id", callback=_no_secret)


@click.group()
def apikey() -> None:
    """The API keys that callers prove themselves with.

    \b
    Examples:
      counterseal apikey create --subject alice --servers weather --expires 90d
      counterseal apikey list
      counterseal apikey rotate k3m9x0a7q2fz --overlap 24h
      counterseal apikey revoke k3m9x0a7q2fz
      counterseal apikey inspect < found.txt
    """


@apikey.command()
@options.config
@click.option("--subject", required=True, help="Who calls with it: the `sub` of the call tokens.")
@click.option("--email", help="The subject's address.")
@click.option("--team", help="The subject's team.")
@click.option("--org", help="The subject's organisation.")
@click.option("--agent", help="The agent that calls for the subject: the `act` of the call tokens.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="NAME=VALUE",
    help="Anything else to know about it, as text; may be repeated. NAME: A-Z a-z 0-9 _ . -",
)
@click.option("--servers", metavar="a,b", help="Only these servers.  [default: all that policy permits]")
@click.option("--tools", metavar="'get_*,list_*'", help="Only these tools.  [default: all that policy permits]")
@click.option("--expires", metavar="90d", help="End after this time (s, m, h, d).  [default: never]")
@options.as_json
def create(
    config: Path,
    subject: str,
    email: str | None,
    team: str | None,
    org: str | None,
    agent: str | None,
    metadata: tuple[str, ...],
    servers: str | None,
    tools: str | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Create a key and print it, once.

    \b
    Example:
      counterseal apikey create --subject alice --team data --tools 'get_*,list_*' --expires 90d
    """
    texts = {"subject": subject, "email": email, "team": team, "org": org, "agent": agent}
    key_options.check_texts([*texts.items(), ("tools", tools), *(("metadata", pair) for pair in metadata)])
    key_options.check_names(texts.items())
    life = None if expires is None else key_options.seconds("--expires", expires, least=1, most=_LONGEST_LIFE)
    configuration = _load(config)
    now = SystemClock().wall()
    id, key = make_key(secrets.token_bytes(RANDOM_BYTES))
    holder = partial(
        ApiKeyRow,
        id=id,
        subject=subject,
        email=email,
        team=team,
        org=org,
        agent=agent,
        metadata=key_options.metadata(metadata),
        servers=_servers(servers, configuration),
        tools=key_options.names("--tools", tools),
        created=now,
        expires=None if life is None else now + life,
    )

    async def add(store: Store) -> None:
        pepper = await store.secret(API_KEY_PEPPER)
        await store.add_api_key(holder(mac=mac(pepper, key.encode())))

    _with_store(configuration, add)
    if as_json:
        click.echo(json.dumps({"id": id, "secret": key}))
        return
    _show_once(key)
    click.echo(f"Its id, for policies and records, is {id}. To end it: counterseal apikey revoke {id}")


@apikey.command("list")
@options.config
@options.as_json
def list_keys(config: Path, as_json: bool) -> None:
    """List the keys, never their secrets.

    \b
    Example:
      counterseal apikey list --json
    """

    async def read(store: Store) -> tuple[ApiKeyRow, ...]:
        return (await store.api_keys())[1]

    rows = _with_store(_load(config), read)
    if as_json:
        click.echo(json.dumps([_shown(row) for row in rows]))
        return
    if not rows:
        click.echo("No API keys. Make one with: counterseal apikey create --subject NAME")
        return
    now = SystemClock().wall()
    lines = [("ID", "STATE", "SUBJECT", "SERVERS", "TOOLS", "EXPIRES", "LAST USED", "EARLIER SECRET")]
    lines += [
        (
            row.id,
            _state(row, now),
            # The other fields may hold what a terminal takes for a command.
            json.dumps(row.subject)[1:-1],
            "all" if row.servers is None else ",".join(row.servers),
            "all" if row.tools is None else json.dumps(",".join(row.tools))[1:-1],
            _date(row.expires) or "never",
            _date(row.last_used) or "never",
            f"until {_date(row.previous_ends)}" if _overlaps(row, now) else "-",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@apikey.command()
@options.config
@_id
@click.option(
    "--overlap",
    metavar="24h",
    default="0s",
    show_default=True,
    help="How long the earlier secret goes on, at most 30d.",
)
@options.as_json
def rotate(config: Path, id: str, overlap: str, as_json: bool) -> None:
    """Give a key a new secret and print it, once. Everything else about the key stays, its id too.

    The earlier secret ends at once, or after --overlap. There are never more than two: rotating again in that time ends the
    oldest at once.

    \b
    Examples:
      counterseal apikey rotate k3m9x0a7q2fz
      counterseal apikey rotate k3m9x0a7q2fz --overlap 24h --json
    """
    seconds = key_options.seconds("--overlap", overlap, least=0, most=_LONGEST_OVERLAP)
    now = SystemClock().wall()
    _, key = make_key(secrets.token_bytes(RANDOM_BYTES), id)

    async def change(store: Store) -> ApiKeyRow | None:
        pepper = await store.secret(API_KEY_PEPPER)
        return await store.rotate_api_key(id, mac(pepper, key.encode()), now, now + seconds)

    row = _with_store(_load(config), change)
    if row is None:
        raise _no_such_key(id)
    if not row.in_force(now):
        how = "was revoked" if row.revoked is not None else "has expired"
        raise click.ClickException(
            f"API key {id} {how}, and that is final. Make another one with: counterseal apikey create --subject NAME"
        )
    ends = _date(row.previous_ends)
    if as_json:
        click.echo(json.dumps({"id": id, "secret": key, "previous_ends": ends}))
        return
    _show_once(key)
    if _overlaps(row, now):
        click.echo(f"The earlier secret of {id} works until {ends}; rotating again ends it at once.")
    else:
        click.echo(f"The earlier secret of {id} has ended. A running gateway refuses it within a second or so.")


@apikey.command()
@options.config
@_id
@options.as_json
def revoke(config: Path, id: str, as_json: bool) -> None:
    """End a key. A running gateway refuses it within a second or so.

    \b
    Example:
      counterseal apikey revoke k3m9x0a7q2fz
    """
    now = SystemClock().wall()

    async def end(store: Store) -> bool:
        return await store.revoke_api_key(id, now)

    if not _with_store(_load(config), end):
        raise _no_such_key(id)
    click.echo(json.dumps({"id": id, "revoked": True}) if as_json else f"Revoked {id}.")


@apikey.command(context_settings={"allow_extra_args": True})
@click.pass_context
@options.config
@click.option("--no-store", is_flag=True, help="Go by the form and its check alone; needs no configuration.")
@options.as_json
def inspect(context: click.Context, config: Path, no_store: bool, as_json: bool) -> None:
    """Say which keys a text holds: their ids and whether they work, never the keys.

    The text comes from standard input: a string that somebody found, a log, a whole history. No gateway is asked. The exit
    code is 0 if there is a key in it, 1 if not.

    \b
    Examples:
      counterseal apikey inspect < found.txt
      git log -p | counterseal apikey inspect --json
    """
    if context.args:
        raise click.UsageError(f"The text comes from standard input. {_NO_ARGUMENT}")
    known = None if no_store else _with_store(_load(config), _known)
    if sys.stdin.isatty():
        click.echo("Paste the text, then press Ctrl-D.", err=True)
    now = SystemClock().wall()
    keys = dict.fromkeys(key for line in sys.stdin.buffer for key in find_keys(line))
    found = [judge(key, known, now) for key in keys]
    if as_json:
        rows = [{"id": one.id, "state": one.state, "works": one.works, "subject": one.subject} for one in found]
        click.echo(json.dumps(rows))
    for one in () if as_json else found:
        whose = "" if one.subject is None else f" ({json.dumps(one.subject)[1:-1]})"
        click.echo(f"{one.id}{whose}: {one.state}: {MEANING[one.state]}.")
    if all(one.state == "not_a_key" for one in found):
        click.echo("There is no API key in it.", err=True)
        sys.exit(1)


async def _known(store: Store) -> Known:
    return Known({row.id: row for row in (await store.api_keys())[1]}, await store.secret(API_KEY_PEPPER))


def _show_once(key: str) -> None:
    click.echo(f"{click.style(key, bold=True)}\n")
    click.echo("This is the only time that the key is shown. A caller sends it as one of these headers:")
    click.echo("  Authorization: Bearer <the key>\n  X-API-Key: <the key>\n")


def _no_such_key(id: str) -> click.ClickException:
    return click.ClickException(f"There is no API key {id!r}; `counterseal apikey list` shows the ids.")


def _load(config: Path) -> Configuration:
    """Without the secrets of servers, which whoever hands out keys need not have."""
    return load(config, with_secrets=False)


def _with_store(configuration: Configuration, act: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    if configuration.store == "memory:":
        raise ConfigError(
            f"{configuration.place_of('store')}: store: with `memory:` nothing outlives the gateway's own process, so no other "
            "process can make or change its keys. Use `store: sqlite:counterseal.db`."
        )

    async def run() -> T:
        store = await open_store(configuration.store)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _servers(text: str | None, configuration: Configuration) -> tuple[str, ...] | None:
    servers = key_options.names("--servers", text)
    unknown = [name for name in servers or () if name not in configuration.servers]
    if unknown:
        known = ", ".join(configuration.servers) or "none"
        raise click.UsageError(f"--servers names {', '.join(unknown)}, and the configuration has {known}.")
    return servers


def _overlaps(row: ApiKeyRow, now: float) -> bool:
    """Whether two secrets of the key work."""
    return row.in_force(now) and row.previous_ends is not None and now < row.previous_ends


def _state(row: ApiKeyRow, now: float) -> str:
    if row.revoked is not None:
        return "revoked"
    return "expired" if row.expires is not None and now >= row.expires else "active"


def _shown(row: ApiKeyRow) -> dict[str, Any]:
    names = ("id", "subject", "email", "team", "org", "agent", "servers", "tools")
    shown = {name: getattr(row, name) for name in names} | {"metadata": dict(row.metadata)}
    return shown | {
        name: _date(getattr(row, name)) for name in ("created", "expires", "revoked", "last_used", "previous_ends")
    }


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
