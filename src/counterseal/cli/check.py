"""`counterseal check`: is the configuration right? It makes no key and writes nothing.

Without `--online` it opens no connection. With it, it asks everybody whose word the gateway takes, and says what they have.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from counterseal.audit.sinks import look_at_folder
from counterseal.cli import judgements, options
from counterseal.clock import SystemClock
from counterseal.config.compile import signing_algorithm, warnings
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError
from counterseal.gateway.hook_wiring import try_hooks
from counterseal.gateway.issuer_wiring import try_store
from counterseal.gateway.online import ask
from counterseal.issuer.keys import from_file, from_text
from counterseal.issuer.ring import KeyRing


@click.command()
@click.argument("config", type=click.Path(path_type=Path), default="counterseal.yaml")
@options.as_json
@click.option(
    "--online",
    is_flag=True,
    help="Also ask identity providers and introspection endpoints what they have now. Sends no token of anybody.",
)
def check(config: Path, as_json: bool, online: bool) -> None:
    """Validate a configuration file: CONFIG, or counterseal.yaml.

    It tells every problem with its line, column, key and remedy, and then exits with 1. The secrets and the key files that the
    configuration refers to must be there; the store and the folder of the records must be usable by the account that runs this.
    It makes and changes nothing.

    \b
    Examples:
      counterseal check
      counterseal check prod.yaml --json
      counterseal check prod.yaml --online
    """
    try:
        configuration = load(config)
        tools, left_out = _beyond(configuration)
        noted = [*warnings(configuration, os.environ), *left_out]
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"config": str(config), "ok": False, "problems": list(error.problems)}))
        else:
            for problem in error.problems:
                click.echo(problem)
        sys.exit(1)
    summary = {**_summary(configuration), **({"tools": tools} if tools else {})}
    if not as_json:
        _show(config, summary, noted)
    judged = asyncio.run(ask(configuration, SystemClock())) if online else ()
    problems = sum(line.level == "problem" for one in judged for line in one.lines)
    if as_json:
        document = {"config": str(config), "ok": not problems, **summary, "warnings": noted}
        click.echo(json.dumps(document | ({"online": [judgements.plain(one) for one in judged]} if online else {})))
    elif online:
        judgements.show(judged, "online")
    sys.exit(1 if problems else 0)


def _beyond(configuration: Configuration) -> tuple[Any, Sequence[str]]:
    """What stands in other files and folders, all of it, whatever is wrong with some: the tools of OpenAPI documents, and what is
    left out of them. Raises ConfigError with all problems."""
    problems: list[str] = []
    looked: tuple[Any, Sequence[str]] = {}, ()
    for look in (_try_keys, _try_client_keys, try_hooks, _try_store, _try_records):
        try:
            look(configuration)
        except ConfigError as error:
            problems += error.problems
    try:
        looked = _look(configuration)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return looked


def _try_store(configuration: Configuration) -> None:
    """Is the store ours alone, one that we can use, and this issuer's? Are the keys in it whole?"""
    try:
        asyncio.run(try_store(configuration))
    except ConfigError as error:
        raise _placed(configuration, error) from None


def _try_records(configuration: Configuration) -> None:
    """Can records be written where they are to go?"""
    try:
        look_at_folder(configuration.audit.folder)
    except ConfigError as error:
        raise _placed(configuration, error) from None


def _placed(configuration: Configuration, error: ConfigError) -> ConfigError:
    """The same, where each problem begins with its key."""
    return ConfigError(
        *(f"{configuration.place_of(problem.partition(':')[0])}: {problem}" for problem in error.problems)
    )


def _try_keys(configuration: Configuration) -> None:
    """Keys that the operator brings: are they of a kind and size that can sign, and is there one for each server?"""
    kind, _, place = configuration.keys.source.partition(":")
    if kind == "store":
        return
    where = f"{configuration.place_of('keys.source')}: keys.source"
    wanted = configuration.keys.algorithms
    ring = KeyRing.of(
        from_text(os.environ[place], where, wanted) if kind == "env" else from_file(Path(place), where, wanted)
    )
    for name in configuration.servers:
        algorithm = signing_algorithm(configuration, name, first_algorithm=ring.signers[0].algorithm)
        if algorithm not in [signer.algorithm for signer in ring.signers]:
            there = ", ".join(signer.algorithm for signer in ring.signers)
            raise ConfigError(f"{where}: it has no {algorithm} key for the server `{name}`; use one of {there} there")


def _try_client_keys(configuration: Configuration) -> None:
    """Keys by which the gateway proves itself to an introspection endpoint."""
    for index, issuer in enumerate(configuration.callers.issuers):
        asked = issuer.introspection
        if asked is not None and asked.private_key is not None:
            key = f"callers.issuers[{index}].introspection.private_key"
            from_file(Path(asked.private_key.place), f"{configuration.place_of(key)}: {key}", None)


def _look(configuration: Configuration) -> tuple[Any, Sequence[str]]:
    """The tools of OpenAPI documents, and what is left out of them. Raises ConfigError."""
    if all(server.transport != "openapi" for server in configuration.servers.values()):
        return {}, ()
    # It brings a checker of schemas, which others need not load.
    from counterseal.gateway import openapi_wiring  # noqa: PLC0415

    return openapi_wiring.look(configuration)


def _summary(configuration: Configuration) -> dict[str, Any]:
    callers = configuration.callers
    kinds = [
        *(["API keys"] if callers.api_keys else []),
        *(["anonymous"] if callers.anonymous else []),
        *(f"tokens of {issuer.name}" for issuer in callers.issuers),
    ]
    forwards = {
        name: ", ".join(one.forward_headers) for name, one in configuration.servers.items() if one.forward_headers
    }
    return {
        "issuer": configuration.issuer,
        "store": configuration.store,
        "keys": configuration.keys.source,
        "callers": kinds,
        "servers": {name: server.place for name, server in configuration.servers.items()},
        **({"forwards": forwards} if forwards else {}),
        "rules": len(configuration.policy),
        "hooks": [hook.name or hook.use for hook in configuration.hooks],
    }


def _show(config: Path, summary: dict[str, Any], noted: Sequence[str]) -> None:
    click.echo(f"{config}: {click.style('ok', fg='green', bold=True)}")
    for name, value in summary.items():
        click.echo(f"  {name:8} {_plainly(value)}")
    for warning in noted:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}: {warning}")


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({place})" for name, place in value.items()) or "none"
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
