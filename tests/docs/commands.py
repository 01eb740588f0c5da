"""The commands that pages name, held against the command line as it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from counterseal.cli import cli
from tests.docs.pages import PAGES, all_blocks, name_of, spans

_OPERATORS: Final = re.compile(r"\s(?:\||&&|&|;|>|<)(?:\s|$)")
_LATER: Final = "Not built yet."


@dataclass(frozen=True, slots=True)
class Named:
    """A command that a page names. words: after `counterseal`. is_example: it stands there to be typed."""

    where: str
    words: tuple[str, ...]
    is_example: bool

    def __str__(self) -> str:
        return f"{self.where}: counterseal {' '.join(self.words)}"


def named() -> Iterator[Named]:
    for block in all_blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if (words := _words(line)) is not None:
                yield Named(str(block), words, is_example=True)
    for page in PAGES:
        for span in spans(page):
            if (words := _words(span)) is not None:
                yield Named(name_of(page), words, is_example=False)


def _words(line: str) -> tuple[str, ...] | None:
    command = _OPERATORS.split(line, maxsplit=1)[0]
    if not re.match(r"(?:\w+=\S* )?counterseal(?: |$)", command):
        return None
    words = shlex.split(command, comments=True)
    return tuple(words[words.index("counterseal") + 1 :])


def resolve(words: tuple[str, ...]) -> tuple[click.Command, list[str]]:
    """The command that words name, and the words behind it. Raises KeyError for one that there is not."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            raise KeyError(rest[0])
        command = found
        rest.pop(0)
    return command, rest


def problem(one: Named) -> str | None:
    """Why a command that a page names is not so, or None."""
    try:
        command, rest = resolve(one.words)
    except KeyError as error:
        return f"there is no command {error}"
    later = is_later(command)
    if later:
        return f"`{command.name}` is not built yet" if one.is_example else None
    options = {name: option for option in command.params for name in option.opts if isinstance(option, click.Option)}
    for word in rest:
        name = word.partition("=")[0]
        if not name.startswith("-") or name in ("-", "--help"):
            continue
        if name not in options:
            return f"`{command.name}` has no option {name}"
        if one.is_example and _LATER in (options[name].help or ""):
            return f"{name} is not built yet"
    return None


def is_later(command: click.Command) -> bool:
    """Whether a command only says that it is not built yet."""
    return _LATER in (command.help or "")
