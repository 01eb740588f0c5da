"""`counterseal check`: is the configuration right? It opens no connection, makes no key and writes nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from counterseal.config.compile import signer_settings, warnings
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError
from counterseal.issuer.keys import from_file, from_text
from counterseal.issuer.ring import KeyRing


@click.command()
@click.argument("config", type=click.Path(path_type=Path), default="counterseal.yaml")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--online", is_flag=True, help="Also ask the issuers that the configuration names. Not built yet.")
def check(config: Path, as_json: bool, online: bool) -> None:
    """Validate a configuration file: CONFIG, or counterseal.yaml.

    It tells every problem with its line, column, key and remedy, and then exits with 1. The secrets and the key file that the
    configuration refers to must be there.

    \b
    Examples:
      counterseal check
      counterseal check prod.yaml --json
    """
    if online:
        raise click.UsageError("`--online` is not built yet: leave it out.")
    try:
        configuration = load(config)
        _try_keys(configuration)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"config": str(config), "ok": False, "problems": list(error.problems)}))
        else:
            for problem in error.problems:
                click.echo(problem)
        sys.exit(1)
    summary = _summary(configuration)
    noted = list(warnings(configuration, os.environ))
    if as_json:
        click.echo(json.dumps({"config": str(config), "ok": True, **summary, "warnings": noted}))
        return
    click.echo(f"{config}: {click.style('ok', fg='green', bold=True)}")
    for name, value in summary.items():
        click.echo(f"  {name:8} {_plainly(value)}")
    for warning in noted:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}: {warning}")


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
        algorithm = signer_settings(configuration, name, first_algorithm=ring.signers[0].algorithm).algorithm
        if algorithm not in [signer.algorithm for signer in ring.signers]:
            there = ", ".join(signer.algorithm for signer in ring.signers)
            raise ConfigError(f"{where}: it has no {algorithm} key for the server `{name}`; use one of {there} there")


def _summary(configuration: Configuration) -> dict[str, Any]:
    callers = configuration.callers
    kinds = [
        *(["API keys"] if callers.api_keys else []),
        *(["anonymous"] if callers.anonymous else []),
        *(f"tokens of {issuer.name}" for issuer in callers.issuers),
    ]
    return {
        "issuer": configuration.issuer,
        "store": configuration.store,
        "keys": configuration.keys.source,
        "callers": kinds,
        "servers": {name: server.place for name, server in configuration.servers.items()},
        "rules": len(configuration.policy),
    }


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({place})" for name, place in value.items()) or "none"
    return ", ".join(value) if isinstance(value, list) else str(value)
