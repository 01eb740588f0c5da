"""`counterseal keys`: which keys sign, and the JWKS that the world sees."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from counterseal.cli import options
from counterseal.config.load import load
from counterseal.gateway.by_hand import check_keys_are_shared
from counterseal.gateway.issuer_wiring import open_ring
from counterseal.issuer.documents import jwks as jwks_document
from counterseal.issuer.ring import KeyRing
from counterseal.jose.algorithms import EXPERIMENTAL


@click.group()
def keys() -> None:
    """The signing keys.

    \b
    Examples:
      counterseal keys list
      counterseal keys jwks > jwks.json
    """


@keys.command("list")
@options.config
@options.as_json
def list_keys(config: Path, as_json: bool) -> None:
    """List the live keys; the first is the default.

    \b
    Example:
      counterseal keys list --json
    """
    ring = _ring(config)
    if as_json:
        rows = [
            {
                "kid": signer.kid,
                "algorithm": signer.algorithm,
                "state": "active",
                "experimental": signer.algorithm in EXPERIMENTAL,
            }
            for signer in ring.signers
        ]
        click.echo(json.dumps(rows))
        return
    table = Table("kid", "algorithm", "state", box=None)
    for signer in ring.signers:
        mark = " (experimental)" if signer.algorithm in EXPERIMENTAL else ""
        table.add_row(signer.kid, f"{signer.algorithm}{mark}", "active")
    Console().print(table)


@keys.command()
@options.config
def jwks(config: Path) -> None:
    """Print the JWKS document (RFC 7517), public keys only. Standard error says which of them are experimental.

    \b
    Example:
      counterseal keys jwks > jwks.json
    """
    ring = _ring(config)
    click.echo(jwks_document(ring))
    for signer in ring.signers:
        if signer.algorithm in EXPERIMENTAL:
            click.echo(f"The key {signer.kid} is experimental: {signer.algorithm}.", err=True)


@keys.command()
@options.config
def rotate(config: Path) -> None:
    """Start a new key. Not built yet."""
    raise click.UsageError("`counterseal keys rotate` is not built yet.")


def _ring(config: Path) -> KeyRing:
    configuration = load(config)
    check_keys_are_shared(configuration)
    return asyncio.run(open_ring(configuration))
