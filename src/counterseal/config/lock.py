"""`counterseal.lock`, beside the configuration: the tools of servers as somebody approved them, to be reviewed with the code.

A server that it names has these tools and no others. The whole definitions stand in it, because a digest alone tells a reviewer
nothing; the digests too, so that a file that was mended by hand is found out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from counterseal.core.canonical import NotCanonical
from counterseal.core.definition import definition_digest, visible
from counterseal.errors import ConfigError
from counterseal.wire.openapi.pointer import Pointer
from counterseal.wire.openapi.text import NotADocument, Text

NAME: Final = "counterseal.lock"
_FORM: Final = 1
_MOST_BYTES: Final = 32 * 1024 * 1024
_AGAIN: Final = "write the file again with `counterseal servers lock`"

Locked = Mapping[str, Mapping[str, dict[str, Any]]]
"""Server to tool to definition."""


def lock_path(folder: Path) -> Path:
    """Where the file is, whether or not it is there. folder: of the configuration."""
    return folder / NAME


def read_lock(folder: Path) -> Locked:
    """What is locked; nothing where there is no file. Raises ConfigError with all problems."""
    path = lock_path(folder)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({error.strerror}): let the gateway's account read it") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: it holds more than {_MOST_BYTES} bytes: {_AGAIN}")
    try:
        text = Text.read(content)
    except NotADocument as error:
        line, column = error.place
        raise ConfigError(f"{path}:{line}:{column}: the file {error.what}: {_AGAIN}") from None
    locked, problems = _locked(text.value)
    if problems:
        places = text.places([at for at, _ in problems])
        lines = ((places.get(at, (1, 1)), ".".join(map(str, at)) or NAME, what) for at, what in problems)
        raise ConfigError(*(f"{path}:{line}:{column}: {at}: {what}" for (line, column), at, what in sorted(lines)))
    return locked


def write_lock(locked: Locked) -> str:
    """The text of the file: sorted, so that it changes only where something changed."""
    servers = {
        server: {
            tool: {"digest": definition_digest(definition), "definition": definition}
            for tool, definition in tools.items()
        }
        for server, tools in locked.items()
    }
    text = json.dumps({"lock": _FORM, "servers": servers}, indent=2, sort_keys=True, ensure_ascii=False)
    return visible(text) + "\n"


def _locked(value: Any) -> tuple[Locked, Sequence[tuple[Pointer, str]]]:
    if not isinstance(value, dict) or not isinstance(servers := value.get("servers"), dict):
        return {}, [((), f"is not what `counterseal servers lock` writes: {_AGAIN}")]
    if value.get("lock") != _FORM:
        return {}, [(("lock",) if "lock" in value else (), f"is of another version; this one reads {_FORM}: {_AGAIN}")]
    problems: list[tuple[Pointer, str]] = [
        ((name,), "is an unknown member: remove it") for name in value.keys() - {"lock", "servers"}
    ]
    locked: dict[str, dict[str, dict[str, Any]]] = {}
    for server, tools in servers.items():
        if not isinstance(tools, dict):
            problems.append((("servers", server), f"is not a mapping of tools: {_AGAIN}"))
            continue
        locked[server] = {}
        for tool, entry in tools.items():
            at = ("servers", server, tool)
            what = _problem(tool, entry)
            if what is not None:
                problems.append((at, what))
            else:
                locked[server][tool] = entry["definition"]
    return locked, problems


def _problem(tool: str, entry: Any) -> str | None:
    if not isinstance(entry, dict) or entry.keys() != {"digest", "definition"}:
        return f"must have `digest` and `definition` and nothing else: {_AGAIN}"
    definition = entry["definition"]
    if not isinstance(definition, dict) or definition.get("name") != tool:
        return f"has the definition of another tool: {_AGAIN}"
    try:
        digest = definition_digest(definition)
    except NotCanonical:
        digest = None
    if entry["digest"] != digest:
        return f"has a `digest` that is not that of its `definition`, so one of them was changed by hand: {_AGAIN}"
    return None
