"""`counterseal token`: look into a token, verify one, mint one by hand.

`inspect` believes nothing and says so; `verify` does what a server's verifier does, but uses no token up.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from counterseal.cli import asking, options
from counterseal.cli.claim_words import OTHER, header_words, is_experimental, is_time, word
from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.limits import LIMITS
from counterseal.core.profiles import COUNTERSEAL, PROFILES
from counterseal.errors import CallError
from counterseal.gateway import by_hand
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.strict import for_display_only
from counterseal.verify import NotVerified, Verified, Verifier

NOT_VERIFIED: Final = "NOT VERIFIED: anyone can write such a token. `counterseal token verify` checks one."

_token = click.argument("token")


@click.group()
def token() -> None:
    """Look into a call token, verify one, or mint one by hand.

    \b
    Examples:
      counterseal token inspect eyJhbGciOi...
      counterseal token verify - --jwks https://gateway.example.com/.well-known/jwks.json \\
          --issuer https://gateway.example.com --audience https://weather.example.com/mcp < token.txt
      counterseal token mint --as key:k3m9x0a7q2fz weather tools/list > token.txt
    """


@token.command()
@_token
@options.unread_config
@options.as_json
def inspect(token: str, as_json: bool) -> None:
    """Show what a token says, with a word on each claim. Nothing is verified.

    TOKEN may be - for standard input.

    \b
    Example:
      counterseal token inspect - < token.txt
    """
    try:
        header, claims = for_display_only(_read(token), LIMITS)
    except TokenRefused as refused:
        raise click.ClickException(f"This is not a token: {refused.detail}.") from None
    if as_json:
        document = {"verified": False, "note": NOT_VERIFIED, "experimental": is_experimental(header)}
        document |= {"header": header, "claims": claims}
        click.echo(json.dumps(document | {"times": _times(claims)}, indent=2))
        return
    click.secho(NOT_VERIFIED, fg="yellow")
    click.echo("\nHeader")
    _show(header, header_words(header))
    click.echo("\nClaims")
    _show(claims, {name: word(name) for name in claims})
    click.echo(f"\n{NOT_VERIFIED}")


@token.command()
@_token
@click.option("--jwks", required=True, metavar="URL_OR_FILE", help="The issuer's public keys.")
@click.option("--issuer", required=True, help="The gateway's exact issuer.")
@click.option("--audience", required=True, help="The server's exact resource identifier.")
@click.option("--method", help="The JSON-RPC method that it should be good for.")
@click.option("--name", help="The tool, prompt or resource.")
@click.option("--args", "arguments", metavar="JSON", help="The arguments, as a JSON object.")
@click.option(
    "--profile",
    type=click.Choice(tuple(PROFILES)),
    default=COUNTERSEAL.name,
    help="The shape of the server's tokens, its signer's `profile`.",
)
@options.unread_config
@options.as_json
def verify(
    *,
    token: str,
    jwks: str,
    issuer: str,
    audience: str,
    method: str | None,
    name: str | None,
    arguments: str | None,
    profile: str,
    as_json: bool,
) -> None:
    """Verify a token as a server would; exit 0 if it holds, 1 with the reason if not.

    Without --method the operation is not checked, and single use never is. TOKEN may be - for standard input.

    \b
    Example:
      counterseal token verify - --jwks jwks.json --issuer https://gateway.example.com \\
          --audience https://weather.example.com/mcp --method tools/call --name get_weather \\
          --args '{"city": "Oslo"}' < token.txt
    """
    if method is None and (name is not None or arguments is not None):
        raise click.UsageError("--name and --args say nothing without --method.")
    parsed = None if arguments is None else asking.arguments(arguments)
    if "://" not in jwks and not Path(jwks).is_file():
        raise click.UsageError(f"--jwks: {jwks!r} is neither an address nor a file.")
    try:
        verifier = Verifier(issuer=issuer, audience=audience, jwks=jwks, single_use=False, profile=profile)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    presented = _read(token)
    try:
        if method is None:
            verified = verifier.verify_without_operation(presented)
        else:
            verified = verifier.verify(presented, method=method, name=name, arguments=parsed)
    except NotVerified as error:
        if as_json:
            click.echo(json.dumps({"verified": False, "reason": error.code, "message": error.message}, indent=2))
        else:
            click.echo(f"Not verified: {error.code}: {error.message}")
        sys.exit(1)
    header, _ = for_display_only(presented, LIMITS)
    _show_verified(verified, header, method, as_json=as_json)


@token.command()
@asking.caller
@asking.call
@click.option("--ttl", type=click.IntRange(1, 900), metavar="SECONDS", help="Its life.  [default: as configured]")
@options.config
@options.as_json
def mint(
    *,
    caller: str,
    channel_token: str | None,
    offline: bool,
    server: str,
    method: str,
    name: str | None,
    arguments: str | None,
    ttl: int | None,
    config: Path,
    as_json: bool,
) -> None:
    """Mint a call token by hand, to try a server. Exit code 1 if such a call is refused.

    It is decided, made and recorded as for a call of CALLER; only the call is left to you. The token alone goes to standard
    output. What --as takes, and how METHOD, NAME and --args are written, `counterseal explain --help` says.

    \b
    Example:
      counterseal token mint --as key:k3m9x0a7q2fz weather tools/call get_forecast --args '{"city": "Oslo"}' > token.txt
    """
    configuration = load(config)
    asked = asking.asked(configuration, caller, server, method, name, arguments, channel=channel_token, offline=offline)
    try:
        made = asyncio.run(by_hand.mint(configuration, asked, SystemClock(), ttl=ttl))
    except CallError as error:
        reason = error.reason
        if as_json:
            told = {"reason": reason.code, "status": reason.status, "message": error.message, "detail": error.detail}
            click.echo(json.dumps({"minted": False, **told, "rule": error.rule, "record": error.record}, indent=2))
        else:
            click.echo(f"Refused: {reason.status} {reason.code}: {asking.escaped(error.message)}", err=True)
            for more in filter(None, (error.detail, error.rule)):
                click.echo(f"  {asking.escaped(more)}", err=True)
        sys.exit(1)
    permit = made.permit
    if as_json:
        document = {"minted": True, "token": permit.token, "claims": dict(permit.claims), "record": made.record}
        click.echo(json.dumps(document | {"times": _times(permit.claims)}, indent=2))
    else:
        click.echo(permit.token)
    what = asking.escaped(f"{permit.call.method} {permit.call.name or ''}".strip())
    click.secho(
        f"Whoever has this token can make this call, once, until {_human(permit.claims['exp'])}: {what} on "
        f"{permit.call.server}. It is in the records as {made.record}.",
        fg="yellow",
        err=True,
    )


def _read(token: str) -> str:
    """The token, or standard input for `-`; at most a little more than the ceiling, so that too much is seen as such."""
    return (sys.stdin.read(LIMITS.token_bytes + 16) if token == "-" else token).strip()  # noqa: S105


def _show_verified(verified: Verified, header: Mapping[str, Any], method: str | None, *, as_json: bool) -> None:
    checked = "signature, issuer, audience, times" + ("" if method is None else ", operation, arguments")
    if as_json:
        document = {"verified": True, "checked": checked, "experimental": is_experimental(header)}
        document |= {"claims": dict(verified.claims)}
        click.echo(json.dumps(document | {"times": _times(verified.claims)}, indent=2))
        return
    click.secho(f"Verified: {checked}.", fg="green")
    if is_experimental(header):
        click.echo(f"Its signature is experimental: {header['alg']}.")
    if method is None:
        click.echo("The operation was not checked: say which with --method, --name and --args.")
    click.echo("\nClaims")
    _show(verified.claims, {name: word(name) for name in verified.claims})


def _show(values: Mapping[str, Any], words: Mapping[str, str]) -> None:
    """One line for each member. Values are JSON in ASCII: a token may hold what a terminal takes for a command."""
    for name, value in values.items():
        shown = json.dumps(value)
        if is_time(name, value):
            shown += f"  {_human(value)}"
        click.echo(f"  {json.dumps(name)[1:-1]:<22} {shown}")
        click.secho(f"  {'':<22} {words.get(name, OTHER)}", dim=True)


def _times(claims: Mapping[str, Any]) -> dict[str, str]:
    return {name: _human(value) for name, value in claims.items() if is_time(name, value)}


def _human(seconds: float) -> str:
    """A time as people write it, and how far from now it is."""
    try:
        date = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "no such time"
    away = round(seconds - SystemClock().wall())
    return f"{date} ({_span(abs(away))} {'from now' if away > 0 else 'ago'})"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
