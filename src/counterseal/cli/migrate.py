"""`counterseal migrate`: a LiteLLM config.yaml as a configuration of ours, with what became of each part of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from counterseal.config.litellm import text
from counterseal.config.load import load, read_litellm


@click.command()
@click.argument("config", metavar="LITELLM_CONFIG", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs: the configuration as a value, and the notes.")
def migrate(config: Path, as_json: bool) -> None:
    """Print the configuration that a LiteLLM config.yaml means here, with comments: what became what, what is left out and
    why, and what is safer now.

    It prints no secret: `os.environ/NAME` becomes `env:NAME`, and what stands in the file itself becomes a reference that
    you put the secret behind. The variables that LiteLLM reads must be set as they are for LiteLLM.

    \b
    Examples:
      counterseal migrate config.yaml > counterseal.yaml
      counterseal migrate config.yaml --json
    """
    translated = read_litellm(config, os.environ)
    # What is printed is right, or nothing is. Secrets and programs are another matter, and `check` looks for them.
    load(config, with_secrets=False)
    if not as_json:
        click.echo(text.written(translated, config.name), nl=False)
        return
    notes = [
        {"kind": note.kind, "path": note.path, "line": note.place[0], "column": note.place[1], "text": note.what}
        for note in translated.notes
    ]
    click.echo(json.dumps({"configuration": translated.document.data, "notes": notes}))
