"""What the options of `counterseal apikey` may say. Everything else is wrong usage, with what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click

from counterseal.core.names import SUBJECT_LENGTH, is_seen

_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_METADATA_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names that can be written in a configuration."""


def check_texts(options: Iterable[tuple[str, str | None]]) -> None:
    """Raises UsageError for an option with bytes that are no UTF-8, which Python hands on as halves of characters."""
    for option, given in options:
        try:
            (given or "").encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"--{option} is not text in UTF-8.") from None


def check_names(options: Iterable[tuple[str, str | None]]) -> None:
    """Raises UsageError for an option that names somebody by what no call would be let through with, or nobody could read."""
    for option, given in options:
        if given is None:
            continue
        if not given.strip():
            raise click.UsageError(f"--{option} is empty.")
        if not is_seen(given):
            raise click.UsageError(
                f"--{option} is 1 to {SUBJECT_LENGTH} characters that a reader can see: no line breaks, no other control or "
                "format characters."
            )


def names(option: str, text: str | None) -> tuple[str, ...] | None:
    """`a,b` as its parts; None where the option was left out, which restricts nothing."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise click.UsageError(f"{option} has an empty name; leave the option out to restrict nothing.")
    return parts


def metadata(pairs: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE`, each name once. A value is any text, also with `=` in it or none at all."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--metadata is NAME=VALUE, and {pair!r} has no `=`.")
        if _METADATA_NAME.fullmatch(name) is None:
            raise click.UsageError(f"--metadata: the name {name!r} is not 1 to 64 of A-Z a-z 0-9 _ . and -.")
        if name in found:
            raise click.UsageError(f"--metadata names {name} twice; a name has one value.")
        found[name] = value
    return found


def seconds(option: str, text: str, *, least: int, most: str) -> int:
    """A time like `90d` in seconds. most: the longest, written in the same way."""
    found = _seconds(text)
    if found is None or found < least:
        raise click.UsageError(f"{option} is a time like 90d, 12h, 30m or 45s.")
    longest = _seconds(most)
    assert longest is not None
    if found > longest:
        raise click.UsageError(f"{option} is at most {most}.")
    return found


def _seconds(text: str) -> int | None:
    duration = _DURATION.fullmatch(text)
    return None if duration is None else int(duration[1]) * _UNITS[duration[2]]
