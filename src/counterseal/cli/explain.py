"""`counterseal explain`: what would be decided about a call, and why. It sends nothing to a server and prints no token."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from counterseal.cli import asking, options
from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.core.caller import Caller
from counterseal.core.origins import Origin
from counterseal.core.paths import written
from counterseal.gateway.explaining import Explained
from counterseal.gateway.explaining import explain as look

_KINDS: Final = {"api_key": "API key", "token": "token of", "anonymous": "anonymous"}
_NOT_SHOWN: Final = "<not shown>"


@click.command()
@asking.caller
@asking.call
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=VALUE",
    help="With this identity header, or one of the server's `forward_headers`; may be repeated.",
)
@click.option(
    "--peer", metavar="ADDRESS", help="As if the request came from there: identity headers count from trusted peers."
)
@click.option("--no-hooks", is_flag=True, help="Call no gate and no claim source. By default they run as for a call.")
@options.config
@options.as_json
def explain(
    *,
    caller: str,
    channel_token: str | None,
    offline: bool,
    server: str,
    method: str,
    name: str | None,
    arguments: str | None,
    headers: tuple[str, ...],
    peer: str | None,
    no_hooks: bool,
    config: Path,
    as_json: bool,
) -> None:
    """The decision about a call, the rule that made it, each claim with its origin, and what would change the outcome.

    CALLER is key:ID, token:FILE (token:- for standard input) or anonymous. SERVER is one of the configuration, METHOD one of MCP,
    NAME a tool, a prompt or the URI of a resource.

    Nothing is sent to the server, nothing is recorded, and no token is made that could be used. A token is verified for real, for
    which its issuer is asked for its keys. Hooks run for real.

    Exit code 0: permitted. 1: refused. 2: wrong usage.

    \b
    Examples:
      counterseal explain --as key:k3m9x0a7q2fz weather tools/call get_forecast --args '{"city": "Oslo"}'
      counterseal explain --as token:- weather tools/list --json < token.txt
      counterseal explain --as anonymous weather resources/read file:///stations.csv
      counterseal explain --as key:k3m9x0a7q2fz --header X-User=alice --peer 10.0.0.7 weather tools/list
    """
    if peer is not None:
        try:
            ipaddress.ip_address(peer)
        except ValueError:
            raise click.UsageError("--peer is an IP address, such as 10.0.0.7.") from None
    configuration = load(config)
    asked = asking.asked(
        configuration,
        caller,
        server,
        method,
        name,
        arguments,
        channel=channel_token,
        headers=headers,
        peer=peer,
        offline=offline,
    )
    found = asyncio.run(look(configuration, asked, SystemClock(), with_hooks=not no_hooks))
    hooks = _hooks(configuration, found, no_hooks)
    if as_json:
        click.echo(json.dumps(_document(configuration, found, server, method, name, hooks), indent=2))
    else:
        what = f"{method} {name or ''}".strip() + f" on {server}"
        _show(configuration, found, what, hooks, _not_sent(configuration, found, server))
    sys.exit(0 if found.permitted else 1)


def _document(
    configuration: Configuration, found: Explained, server: str, method: str, name: str | None, hooks: str | None
) -> dict[str, Any]:
    caller, refused = found.caller, found.refused
    return {
        "permitted": found.permitted,
        "caller": None if caller is None else _who(caller),
        "call": {"server": server, "method": method, "name": name},
        "credential_problem": found.invalid,
        "rule": found.rule if refused is None else refused.rule,
        "refused": None
        if refused is None
        else {"reason": refused.reason, "status": refused.status, "message": refused.message, "detail": refused.detail},
        "claims": [
            {"claim": written(path), "value": value, "origin": _origin(configuration, found, origin)}
            for path, value, origin in _claims(found)
        ],
        "key": None if found.kid is None else {"kid": found.kid, "algorithm": found.algorithm},
        "headers": [{"name": name, "value": value} for name, value in found.headers],
        "hooks": {"called": list(found.asked), "changed": list(found.changed), "note": hooks},
        "headers_left_out": list(found.left_out),
        "headers_not_sent": _not_sent(configuration, found, server),
        "changes": list(found.changes),
    }


def _who(caller: Caller) -> dict[str, Any]:
    named = {"kind": caller.kind, "client_id": caller.client_id, "issuer": caller.issuer, "subject": caller.subject}
    channel = None if caller.channel is None else {"issuer": caller.channel.issuer, **caller.channel.actor}
    return {**named, "channel": channel, "headers": dict(caller.headers), "expires": caller.expires}


def _claims(found: Explained) -> Iterator[tuple[tuple[str, ...], Any, Origin | None]]:
    """Each claim; one whose parts came from several places, part by part."""
    for name, value in found.claims.items():
        parts = [path for path in found.origins if path[0] == name and len(path) > 1]
        yield (name,), value, found.origins.get((name,))
        for path in parts:
            inner = value
            for step in path[1:]:
                inner = inner[step]
            yield path, inner, found.origins[path]


def _origin(configuration: Configuration, found: Explained, origin: Origin | None) -> dict[str, str] | None:
    if origin is None:
        return None
    return {
        "kind": origin.kind,
        "detail": origin.detail,
        "where": origin.where,
        "text": _words(configuration, found, origin),
    }


def _words(configuration: Configuration, found: Explained, origin: Origin) -> str:
    """An origin as a few words: `claim preferred_username of issuer corp`, and the key of the configuration that asks for it."""
    detail = origin.detail
    match origin.kind:
        case "claim":
            said = f"claim {detail} of issuer {_issuer(configuration, found.caller)}"
        case "key":
            said = f"field {detail} of the API key"
        case "header":
            said = f"identity header {detail}"
        case "caller" | "call" | "gateway":
            said = f"the {origin.kind}: {detail}"
        case "channel":
            said = f"channel token{f': {detail}' if detail else ''}"
        case "configuration":
            said = "" if origin.where else detail
        case "template":
            said = f"template {detail}"
        case "hook":
            said = f"hook {', '.join(found.changed)}"
    return ", ".join(filter(None, (said, origin.where)))


def _issuer(configuration: Configuration, caller: Caller | None) -> str:
    if caller is None or caller.issuer is None:
        return "-"
    return next((one.name for one in configuration.callers.issuers if caller.issuer in one.issuers), caller.issuer)


def _hooks(configuration: Configuration, found: Explained, none: bool) -> str | None:
    if none and configuration.hooks:
        return "left out: a gate may deny the call, and a claim source may add claims"
    return None


def _not_sent(configuration: Configuration, found: Explained, server: str) -> list[str]:
    """The headers that would go on from a caller who sent them."""
    there = {name for name, _ in found.headers}
    return [name for name in configuration.servers[server].forward_headers if found.headers and name not in there]


def _show(configuration: Configuration, found: Explained, what: str, hooks: str | None, not_sent: list[str]) -> None:
    refused, caller = found.refused, found.caller
    if found.permitted:
        _line(click.style("permitted", fg="green", bold=True), f"by {found.rule}")
    elif refused is None:
        _line(click.style("refused", fg="red", bold=True), f"401 credential_invalid: {found.invalid}")
        _line("otherwise", f"permitted by {found.rule}")
    else:
        if found.invalid is not None:
            _line(click.style("refused", fg="red", bold=True), f"401 credential_invalid: {found.invalid}")
        word = "refused" if found.invalid is None else "otherwise"
        _line(click.style(word, fg="red", bold=True), f"{refused.status} {refused.reason}: {refused.message}")
        if refused.detail:
            _line("because", refused.detail)
        if refused.rule and refused.rule != "default":
            _line("by", refused.rule)
    if caller is not None:
        _line("caller", _named(configuration, caller))
    _line("call", what)
    for name in found.left_out:
        _line("left out", f"the header {name}: its peer is not in `trust_identity_headers_from`, or no source names it")
    for name in not_sent:
        _line(
            "not sent",
            f"the header {name}: it would go on to the server (`forward_headers`); ask with --header {name}=VALUE",
        )
    for label in found.asked:
        _line("hook", label)
    if hooks is not None:
        _line("hooks", hooks)
    if found.claims:
        claims = [(written(path), _json(value), origin) for path, value, origin in _claims(found)]
        _table(
            "Claims", [(name, value, _words(configuration, found, one) if one else "") for name, value, one in claims]
        )
        click.echo(f"  signed with {found.algorithm}, key {found.kid}")
    if found.headers:
        click.echo("\nHeaders to the server")
        width = max(len(name) for name, _ in found.headers)
        for name, value in found.headers:
            click.echo(f"  {name:{width}}  {asking.escaped(_NOT_SHOWN if value is None else value)}")
    if found.changes:
        click.echo("\nWhat would change it")
        for change in found.changes:
            click.echo(f"  {asking.escaped(change)}")
    click.echo("\nNothing was sent to the server.")


def _line(word: str, text: str) -> None:
    click.echo(f"{word}{' ' * (11 - len(click.unstyle(word)))}{asking.escaped(text)}")


def _table(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Name and value, and below them where it came from."""
    click.echo(f"\n{title}")
    width = max(len(asking.escaped(name)) for name, _, _ in rows)
    for name, value, words in rows:
        click.echo(f"  {asking.escaped(name):{width}}  {value}")
        if words:  # the parts of an object may have come from several places, and stand below it
            click.secho(f"  {'':{width}}  <- {asking.escaped(words)}", dim=True)


def _json(value: Any) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def _named(configuration: Configuration, caller: Caller) -> str:
    who = _KINDS[caller.kind]
    if caller.kind == "api_key":
        who += f" {caller.client_id}"
    elif caller.kind == "token":
        who += f" {_issuer(configuration, caller)}, client {caller.client_id}"
    if caller.subject is not None:
        who += f", subject {caller.subject}"
    if caller.channel is not None:
        who += f", through a channel of {caller.channel.issuer}"
    return who
