"""The options that several commands have, written the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

config: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="counterseal.yaml",
    show_default=True,
    help="The configuration.",
)
unread_config: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="counterseal.yaml",
    expose_value=False,
    help="Taken as by other commands, for scripts that always give it. It is not read.",
)
as_json: Final = click.option("--json", "as_json", is_flag=True, help="For programs.")
