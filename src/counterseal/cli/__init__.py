"""The command line: one file a command, loaded only when it is used.

Exit codes: 0 done, 1 it could not be done or what was asked is not so, 2 wrong usage. Data goes to standard output, everything
else to standard error; colours only on a terminal.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from counterseal import __version__
from counterseal.errors import CallError, ConfigError

_COMMANDS: Final = {
    "serve": "Run the gateway.",
    "demo": "A gateway, a server that verifies, one countersigned call, three refusals.",
    "check": "Validate a configuration file.",
    "apikey": "Create, list, rotate, revoke and recognise API keys.",
    "keys": "The signing keys.",
    "token": "Look into a call token, verify one, or mint one by hand.",
    "servers": "The servers: ask them, and see and approve changes of their tools.",
    "explain": "What would be decided about a call, and why.",
    "probe": "Attack a server with bad tokens, and report which it takes.",
    "audit": "Read and check the records.",
    "migrate": "Turn a LiteLLM config.yaml into a native one.",
}


class _Commands(click.Group):
    """Commands by name; each lives in a module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"counterseal.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="counterseal")
def cli() -> None:
    """A zero-trust identity gateway for MCP.

    Agents call it with an API key or an IdP token; it decides about each call, countersigns it with a short-lived token for
    one server, one operation and one set of arguments, and streams it through.

    \b
    Examples:
      counterseal demo                      see it work, with nothing to set up
      counterseal check                     is counterseal.yaml right?
      counterseal apikey create --subject alice
      counterseal serve
      counterseal explain --as key:k3m9x0a7q2fz weather tools/call get_forecast
    """


def main() -> None:
    """The entry point. Errors that the operator can mend are sentences, not tracebacks."""
    try:
        cli()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(1)
    except CallError as error:
        click.echo(f"{error.message}{f' ({error.detail})' if error.detail else ''}", err=True)
        sys.exit(1)
