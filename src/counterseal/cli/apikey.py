"""`counterseal apikey`: create, list and revoke API keys in the configured store.

A key's secret exists in two places only: in the output of `create`, and with whoever it is given to.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError
from counterseal.identity.api_key import RANDOM_BYTES, mac, make_key
from counterseal.store.open import open_store
from counterseal.store.port import API_KEY_PEPPER, ApiKeyRow, Store

T = TypeVar("T")

_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="counterseal.yaml",
    show_default=True,
    help="The configuration.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def apikey() -> None:
    """The API keys that callers prove themselves with.

    \b
    Examples:
      counterseal apikey create --subject alice --servers weather --expires 90d
      counterseal apikey list
      counterseal apikey revoke k3m9x0a7q2fz
    """


@apikey.command()
@_config
@click.option("--subject", required=True, help="Who calls with it: the `sub` of the call tokens.")
@click.option("--email", help="The subject's address.")
@click.option("--team", help="The subject's team.")
@click.option("--org", help="The subject's organisation.")
@click.option("--agent", help="The agent that calls for the subject: the `act` of the call tokens.")
@click.option(
    "--metadata", multiple=True, metavar="NAME=VALUE", help="Anything else to know about it; may be repeated."
)
@click.option("--servers", metavar="A,B", help="Only these servers.  [default: all that policy permits]")
@click.option("--tools", metavar="'GET_*,LIST_*'", help="Only these tools.  [default: all that policy permits]")
@click.option("--expires", metavar="90d", help="End after this time (s, m, h, d).  [default: never]")
@_as_json
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
    for option, given in (("subject", subject), ("email", email), ("team", team), ("org", org), ("agent", agent)):
        if given is not None and not given.strip():
            raise click.UsageError(f"--{option} is empty.")
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
        metadata=_metadata(metadata),
        servers=_servers(servers, configuration),
        tools=_names("--tools", tools),
        created=now,
        expires=None if expires is None else now + _seconds(expires),
    )

    async def add(store: Store) -> None:
        pepper = await store.secret(API_KEY_PEPPER)
        await store.add_api_key(holder(mac=mac(pepper, key.encode())))

    _with_store(configuration, add)
    if as_json:
        click.echo(json.dumps({"id": id, "secret": key}))
        return
    click.echo(f"{click.style(key, bold=True)}\n")
    click.echo("This is the only time that the key is shown. A caller sends it as one of these headers:")
    click.echo("  Authorization: Bearer <the key>\n  X-API-Key: <the key>\n")
    click.echo(f"Its id, for policies and records, is {id}. To end it: counterseal apikey revoke {id}")


@apikey.command("list")
@_config
@_as_json
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
    lines = [("ID", "STATE", "SUBJECT", "SERVERS", "TOOLS", "EXPIRES", "LAST USED")]
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
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@apikey.command()
@_config
@click.argument("id")
@_as_json
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
        raise click.ClickException(f"There is no API key {id!r}; `counterseal apikey list` shows the ids.")
    click.echo(json.dumps({"id": id, "revoked": True}) if as_json else f"Revoked {id}.")


@apikey.command()
@_config
@click.argument("id")
def rotate(config: Path, id: str) -> None:
    """Give a key a new secret. Not built yet."""
    raise click.UsageError("`counterseal apikey rotate` is not built yet: create a key, then revoke the old one.")


def _load(config: Path) -> Configuration:
    """Without the secrets of servers, which whoever hands out keys need not have."""
    return load(config, with_secrets=False)


def _with_store(configuration: Configuration, act: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    if configuration.store == "memory:":
        raise ConfigError(
            "store: with `memory:` nothing outlives the gateway's own process, so no other process can make, list or revoke "
            "its keys. Use `store: sqlite:counterseal.db`."
        )

    async def run() -> T:
        store = await open_store(configuration.store)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise click.UsageError(f"{option} has an empty name; leave the option out to restrict nothing.")
    return names


def _servers(text: str | None, configuration: Configuration) -> tuple[str, ...] | None:
    names = _names("--servers", text)
    unknown = [name for name in names or () if name not in configuration.servers]
    if unknown:
        known = ", ".join(configuration.servers) or "none"
        raise click.UsageError(f"--servers names {', '.join(unknown)}, and the configuration has {known}.")
    return names


def _metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals or name in metadata:
            raise click.UsageError("--metadata is NAME=VALUE, with another name each time.")
        metadata[name] = value
    return metadata


def _seconds(text: str) -> int:
    duration = _DURATION.fullmatch(text)
    if duration is None:
        raise click.UsageError("--expires is a time like 90d, 12h, 30m or 45s.")
    return int(duration[1]) * _UNITS[duration[2]]


def _state(row: ApiKeyRow, now: float) -> str:
    if row.revoked is not None:
        return "revoked"
    return "expired" if row.expires is not None and now >= row.expires else "active"


def _shown(row: ApiKeyRow) -> dict[str, Any]:
    names = ("id", "subject", "email", "team", "org", "agent", "servers", "tools")
    shown = {name: getattr(row, name) for name in names} | {"metadata": dict(row.metadata)}
    return shown | {name: _date(getattr(row, name)) for name in ("created", "expires", "revoked", "last_used")}


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
