"""What `counterseal explain` and `counterseal token mint` are asked about: a caller and a call, from the command line.

A credential is never an argument, which everybody on the machine can read: a key is named by its id, a token by its file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from counterseal.cli import key_options
from counterseal.config.problems import nearest
from counterseal.config.schema import Configuration
from counterseal.core import strict_json
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS
from counterseal.gateway.asked import Asked
from counterseal.hooks.view import CREDENTIALS
from counterseal.identity.key_form import PREFIX
from counterseal.wire.headers import is_own

F = TypeVar("F", bound=Callable[..., Any])

_FORMS: Final = "`key:ID`, `token:FILE` (`token:-` for standard input) or `anonymous`"
_COMPLETION: Final = "completion/complete"


def caller(command: F) -> F:
    """--as and what comes with it."""
    for option in (
        click.option("--offline", is_flag=True, help="Ask no identity provider: a token is refused as wrong usage."),
        click.option("--channel-token", metavar="FILE", help="With the channel token in this file."),
        click.option(
            "--as",
            "caller",
            required=True,
            metavar="CALLER",
            help="key:ID, token:FILE (- for standard input) or anonymous.",
        ),
    ):
        command = option(command)
    return command


def call(command: F) -> F:
    """SERVER METHOD [NAME] [--args JSON]"""
    for parameter in (
        click.option("--args", "arguments", metavar="JSON", help="The arguments, as a JSON object."),
        click.argument("name", required=False),
        click.argument("method"),
        click.argument("server"),
    ):
        command = parameter(command)
    return command


def asked(
    configuration: Configuration,
    caller: str,
    server: str,
    method: str,
    name: str | None,
    given: str | None,
    *,
    channel: str | None = None,
    headers: tuple[str, ...] = (),
    peer: str | None = None,
    offline: bool = False,
) -> Asked:
    """What is asked about. Raises UsageError that says what would be right."""
    key_options.check_texts([("as", caller), ("args", given), *((f"header {one}", one) for one in headers)])
    for what, text in (("SERVER", server), ("METHOD", method), ("NAME", name or "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{what} is not text in UTF-8.") from None
    if server not in configuration.servers:
        raise click.UsageError(f"there is no server {server!r}{_stop(nearest(server, configuration.servers))}")
    _check_call(method, name, given)
    kind, _, rest = caller.partition(":")
    if kind == "token" and channel == "-" == rest:
        raise click.UsageError("standard input holds one token: name a file for the other one.")
    if offline and (kind == "token" or channel is not None):
        raise click.UsageError(
            "--offline: a token is verified with what its issuer publishes, which has to be fetched; leave --offline out, or "
            "ask about a key or about `anonymous` without a channel token."
        )
    return Asked(
        **_caller(kind, rest, caller),
        server=server,
        method=method,
        name=name,
        arguments=None if given is None else arguments(given),
        headers=tuple(map(_header, headers)),
        peer=peer,
        channel=None if channel is None else _token(channel, "--channel-token"),
    )


def arguments(text: str, option: str = "--args") -> dict[str, Any]:
    """The JSON object that an option holds. Raises UsageError."""
    try:
        value = strict_json.read(text.encode(), depth=LIMITS.json_depth, members=LIMITS.json_members)
    except (strict_json.NotStrict, strict_json.TooBig, UnicodeEncodeError) as error:
        raise click.UsageError(
            f'{option} is not JSON: {error}. Quote it for the shell: {option} \'{{"city": "Oslo"}}\'.'
        ) from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{option} is not a JSON object.")
    return value


def escaped(text: object) -> str:
    """Printable ASCII: what others wrote may hold what a terminal takes for a command."""
    return json.dumps(str(text))[1:-1].replace("\x7f", "\\u007f").replace('\\"', '"')


def _check_call(method: str, name: str | None, given: str | None) -> None:
    row = METHODS.get(method)
    if row is None:
        raise click.UsageError(f"MCP has no method {method!r}{_stop(nearest(method, METHODS))}")
    names = row.name_field or ("ref" if method == _COMPLETION else None)
    if names is not None and name is None:
        what = {"uri": "the URI of a resource", "ref": "a prompt, or the URI of a resource"}.get(names, "a name")
        raise click.UsageError(f"{method} needs {what}: write it behind the method.")
    if names is None and name is not None:
        raise click.UsageError(f"{method} is about nothing by name: leave {name!r} out.")
    if given is not None and not row.arguments:
        taking = " and ".join(one.name for one in METHODS.values() if one.arguments)
        raise click.UsageError(f"{method} has no arguments: leave --args out; {taking} have some.")


def _caller(kind: str, rest: str, whole: str) -> Mapping[str, str]:
    if whole.encode(errors="replace").startswith(PREFIX) or rest.encode(errors="replace").startswith(PREFIX):
        raise click.UsageError(
            "--as names a key by its id, not by its secret: key:ID, the part between the two underscores. An argument can be "
            "read by others on this machine and stays in the shell's history: rotate a key that was one."
        )
    if whole == "anonymous":
        return {}
    if kind == "key" and rest:
        return {"key": rest}
    if kind == "token" and rest:
        return {"token": _token(rest, "--as")}
    raise click.UsageError(f"--as is {_FORMS}.")


def _token(place: str, option: str) -> str:
    """One token from a file; at most a little more than the ceiling, so that too much is seen as such."""
    most = LIMITS.token_bytes + 16
    try:
        if place == "-":
            text = sys.stdin.read(most)
        else:
            with Path(place).open(encoding="ascii") as file:
                text = file.read(most)
    except OSError as error:
        raise click.UsageError(
            f"{option}: {place} cannot be read ({error.strerror}); it names a file, never a token."
        ) from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{option}: {place} holds no token: those are ASCII.") from None
    text = text.strip()
    if text.encode(errors="replace").startswith(PREFIX):
        raise click.UsageError(f"{option}: {place} holds an API key: name it by its id, `--as key:ID`.")
    if not text or not text.isascii():
        raise click.UsageError(f"{option}: {place} holds no token.")
    return text


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    lower = name.lower()
    if not equals or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise click.UsageError("--header is NAME=VALUE.")
    if lower in CREDENTIALS or is_own(lower):
        raise click.UsageError(f"--header: {name} is no identity header: it is the gateway's, or a credential's.")
    return name, value


def _stop(words: str) -> str:
    return words if words.endswith("?") else f"{words}."
