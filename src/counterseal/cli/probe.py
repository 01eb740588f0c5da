"""`counterseal probe`: attack one server with bad tokens, and say which it takes, why that is likely so, and how to mend it.

Exit codes beside the usual: 1 it took one that it should have refused, 3 nobody can tell.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from counterseal.cli import asking, options
from counterseal.clock import SystemClock
from counterseal.config.addresses import ServerUrl
from counterseal.config.load import load
from counterseal.config.problems import nearest
from counterseal.config.schema import Configuration
from counterseal.core.limits import LIMITS
from counterseal.core.names import reserved_in
from counterseal.core.operation import Operation
from counterseal.errors import CallError, ConfigError
from counterseal.gateway.probe.aim import SECONDS, NotProbed, Wanted, name_of
from counterseal.gateway.probe.attacks import ATTACKS, Attack
from counterseal.gateway.probe.probing import Part, Report, Result
from counterseal.gateway.probe.probing import probe as attack
from counterseal.identity.key_form import PREFIX

CANNOT_TELL: Final = 3
_COLOURS: Final = {"accepted": "red", "error": "yellow", "skipped": None, "refused": "green"}
_WIDTH: Final = max(len(one.sent) for one in ATTACKS.values())
_SHOWN: Final = {"accepted": "ACCEPTED", "error": "error", "skipped": "not tried", "refused": "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What to attack, and with what, in the command line's own words: the options as they were written."""

    server: str
    tool: str | None
    arguments: str | None
    audience: str | None
    claims: str | None
    key: str | None = field(repr=False)  # somebody may have given the key itself, which is refused
    gateway: str | None
    timeout: float


@click.command()
@click.argument("server")
@click.option("--tool", metavar="NAME", help="Call this tool, which must be harmless, instead of asking for lists.")
@click.option("--args", "arguments", metavar="JSON", help="Its arguments, as a JSON object.")
@click.option("--audience", help="Of an address that is not in the configuration.  [default: the address]")
@click.option("--claims", metavar="JSON", help="Claims that the server asks for besides those of every call token.")
@click.option("--key", metavar="FILE", help="An API key (- for standard input): attack the gateway itself as well.")
@click.option("--gateway", metavar="URL", help="Where the gateway is.  [default: its issuer]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=60),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="For one request.",
)
@click.option("--yes", is_flag=True, help="Do not ask before an address that is not in the configuration.")
@options.config
@options.as_json
def probe(*, yes: bool, config: Path, as_json: bool, **given: Any) -> None:
    """Attack SERVER with bad tokens, and report which it takes.

    SERVER is a name of the configuration, or an address. In each era that it speaks it gets a good token, then some twenty that
    it should refuse, then a good one. All of them ask for the same: a list, or the call of --tool. The gateway's own key signs
    them, and each that it signs is in the records as a mint with the peer `probe`.

    Exit code 0: it refused all. 1: it took one. 2: wrong usage. 3: nobody can tell, as where it refused the good token too.

    \b
    Examples:
      counterseal probe weather
      counterseal probe weather --tool get_forecast --args '{"city": "Oslo"}'
      counterseal probe https://weather.example.com/mcp --yes --json
    """
    try:
        report = _probed(_Given(**given), yes=yes, config=config)
    except (NotProbed, ConfigError, CallError) as error:
        for line in error.problems if isinstance(error, ConfigError) else [_told(error)]:
            click.echo(f"Cannot tell: {line}", err=True)
        sys.exit(CANNOT_TELL)
    if as_json:
        click.echo(json.dumps(_document(report), indent=2))
    else:
        _show(report)
    sys.exit(1 if report.accepted else CANNOT_TELL if report.cannot_tell else 0)


def _told(error: Exception) -> str:
    if not isinstance(error, CallError):
        return str(error)
    return f"{error.message}{f' ({error.detail})' if error.detail else ''}"


def _probed(given: _Given, *, yes: bool, config: Path) -> Report:
    """Raises UsageError, ConfigError, NotProbed, and CallError where nothing can be signed or recorded."""
    configuration = load(config)
    wanted = _wanted(configuration, given)
    if name_of(configuration, given.server) is None:
        _confirm(given.server, yes)
    return asyncio.run(attack(configuration, wanted, SystemClock()))


def _wanted(configuration: Configuration, given: _Given) -> Wanted:
    """Raises UsageError that says what would be right."""
    name = name_of(configuration, given.server)
    if name is None:
        _check_address(configuration, given.server, given.audience)
    elif given.audience is not None:
        raise click.UsageError("--audience is for an address: that of a configured server is its `signer.audience`.")
    if given.tool is None and given.arguments is not None:
        raise click.UsageError("--args are those of a tool: name it with --tool.")
    if given.tool is None and name is not None and configuration.servers[name].transport == "openapi":
        raise click.UsageError(
            "an HTTP API has no list to ask for: name a harmless tool with --tool, and its arguments with --args."
        )
    if given.key is None and given.gateway is not None:
        raise click.UsageError("--gateway needs the key of a caller: name its file with --key.")
    if given.key is not None and name is None:
        raise click.UsageError("--key is for a configured server: the gateway does not lead to any other.")
    claims = {} if given.claims is None else asking.arguments(given.claims, "--claims")
    for claim in claims:
        if reserved_in(claim) is not None:
            raise click.UsageError(f"--claims: {claim!r} is the gateway's own: leave it out.")
    operation = None
    if given.tool is not None:
        arguments = {} if given.arguments is None else asking.arguments(given.arguments)
        operation = Operation("tools/call", given.tool, arguments)
    return Wanted(
        server=given.server,
        audience=given.audience,
        operation=operation,
        claims=claims,
        key=None if given.key is None else _key(given.key),
        gateway=None if given.gateway is None else _address(given.gateway, "--gateway"),
        seconds=given.timeout,
    )


def _check_address(configuration: Configuration, server: str, audience: str | None) -> None:
    if "://" not in server:
        text = f"{server!r} is no address and no configured server{nearest(server, configuration.servers)}"
        raise click.UsageError(text if text.endswith("?") else f"{text}.")
    _address(server, "SERVER")
    for name, one in configuration.servers.items():
        if (audience or server) == (configuration.signer_of(name).audience or one.audience(name)):
            raise click.UsageError(
                f"--audience is that of `{name}`, whose tokens would be sent to somebody else: probe {name} by its name."
            )


def _address(text: str, what: str) -> str:
    try:
        address: str = TypeAdapter(ServerUrl).validate_python(text)
    except ValidationError as error:
        raise click.UsageError(f"{what} {error.errors()[0]['msg']}.") from None
    return address


def _key(place: str) -> str:
    if place.encode(errors="replace").startswith(PREFIX):
        raise click.UsageError(
            "--key names a file with an API key: an argument can be read by others. Rotate this key."
        )
    try:
        text = sys.stdin.read(LIMITS.token_bytes) if place == "-" else Path(place).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(f"--key: {place} cannot be read as a file with an API key.") from None
    if not text.encode().startswith(PREFIX):
        raise click.UsageError(f"--key: {place} holds no API key.")
    return text.strip()


def _confirm(server: str, yes: bool) -> None:
    if yes:
        return
    what = f"{server} is not in the configuration. Attack it"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}? If it is yours, say so with --yes.")
    if not click.confirm(f"{what}", err=True):
        raise click.UsageError("nothing was sent.")


def _show(report: Report) -> None:
    click.echo(f"{report.server} at {report.place}")
    click.echo(f"audience {report.audience}")
    for part in report.spoken:
        click.echo(f"\n{part.name}, {_asked(part)}")
        for one in part.results:
            verdict = click.style(f"{_SHOWN[one.verdict]:<9}", fg=_COLOURS[one.verdict])
            click.echo(f"  {verdict}  {one.attack.sent:<{_WIDTH}}  {asking.escaped(one.said)}")
        if part.problem is not None:
            click.secho(f"  Cannot tell: {asking.escaped(part.problem)}.", fg="yellow")
    _show_causes(report)
    _show_unspoken(report)
    click.echo(f"\n{_summary(report)}")


def _show_unspoken(report: Report) -> None:
    """The ways by which there was nothing to attack, and whether that matters."""
    for who in (False, True):
        silent = [part for part in report.parts if part.gateway is who and not part.spoken]
        blind = bool(silent) and not any(part.gateway is who for part in report.spoken)
        what = "the gateway refuses the key" if who else "it refuses the good token"
        if blind:
            click.secho(f"\nCannot tell: {what} as well, so its refusals say nothing.", fg="yellow")
        elif silent:
            click.echo("\nNot attacked")
        for part in silent:
            click.echo(f"  {part.name}: {asking.escaped(part.problem)}")
        if blind and not who:
            click.echo(_MAY_BE)


_MAY_BE: Final = """\
Does it have the issuer, the audience and the keys of this configuration, and the gateway's address in reach? Does it ask for
claims of its own (--claims)? Does it answer none of the lists (--tool NAME)?"""


def _show_causes(report: Report) -> None:
    for taken, parts in _causes(report).items():
        click.secho(f"\n{taken.sent} ({', '.join(parts)})", fg="red")
        click.echo(f"  likely cause  {taken.cause}")
        click.echo(f"  remedy        {taken.fix}")


def _causes(report: Report) -> dict[Attack, list[str]]:
    """Each attack that needs a cause, with the ways by which it went through."""
    found: dict[Attack, list[str]] = {}
    for part, one in report.accepted:
        if one.because is None:
            found.setdefault(one.attack, []).append(part.name)
    return found


def _asked(part: Part) -> str:
    assert part.operation is not None
    return asking.escaped(f"{part.operation.method} {part.operation.name or ''}".strip())


def _summary(report: Report) -> str:
    count = dict.fromkeys(_SHOWN, 0)
    for part in report.spoken:
        for one in part.results:
            count[one.verdict] += 1
    words = ", ".join(f"{number} {_SHOWN[verdict]}" for verdict, number in count.items() if number)
    signed = f"{report.signed} tokens were signed for this; the records have each, with the peer `probe`."
    return f"probe: {words}. {signed}" if words else f"probe: {signed}"


def _document(report: Report) -> Mapping[str, Any]:
    return {
        "server": report.server,
        "place": report.place,
        "audience": report.audience,
        "accepted": bool(report.accepted),
        "cannot_tell": report.cannot_tell,
        "signed": report.signed,
        "parts": [
            {
                "way": part.name,
                "method": None if part.operation is None else part.operation.method,
                "name": None if part.operation is None else part.operation.name,
                "good_token_taken": part.spoken,
                "problem": part.problem,
                "attacks": [_of(one) for one in part.results],
            }
            for part in report.parts
        ],
    }


def _of(one: Result) -> Mapping[str, Any]:
    found: dict[str, Any] = {"attack": one.attack.id, "sent": one.attack.sent, "verdict": one.verdict, "said": one.said}
    if one.verdict == "accepted":
        found |= {"because": one.because, "cause": one.attack.cause, "fix": one.attack.fix}
    return found
