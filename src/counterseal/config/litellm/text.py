"""What a translation is to people: our configuration as YAML, each part with what it comes from, and what there is to say.

The text is read again to the same document. It holds no secret: those are references, whatever LiteLLM's file had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from counterseal.config.litellm.writing import Note, Translated
from counterseal.config.reader import Steps, read

_COLUMN: Final = 60
_WIDTH: Final = 118
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_TITLES: Final = {
    "secret": "To do before this file is used: the file of LiteLLM holds secrets, and ours never does",
    "safer": "Safer now",
    "left out": "Left out",
}


def written(translated: Translated, name: str) -> str:
    """The whole text. name: what LiteLLM's file is called."""
    lines = [
        f"# Made from {name} by `counterseal migrate`. What stands behind a value is what it comes from.",
        "# `counterseal check` says whether it can be used.",
        "",
    ]
    data: Mapping[str, Any] = translated.document.data
    for key, value in data.items():
        lines += [*_member(key, value, (key,), 0, translated.comments), ""]
    for kind, title in _TITLES.items():
        if notes := [note for note in translated.notes if note.kind == kind]:
            lines += [f"# {title}:", *(line for note in sorted(notes, key=_by_place) for line in _note(note, name)), ""]
    return "\n".join(lines)


def _by_place(note: Note) -> tuple[Any, ...]:
    return note.place, note.path


def _note(note: Note, name: str) -> Iterator[str]:
    """Folded, because it is read."""
    words = f"{name}:{note.place[0]}: {note.path}: {note.what}".split(" ")
    line = "# *"
    for word in words:
        if len(line) + len(word) >= _WIDTH and line not in ("# *", "#  "):
            yield line
            line = "#  "
        line += f" {word}"
    yield line


def _member(key: str, value: Any, steps: Steps, indent: int, comments: Mapping[Steps, str]) -> Iterator[str]:
    head = f"{' ' * indent}{_scalar(key)}:"
    if isinstance(value, dict | tuple) and value and not _is_short(value):
        yield _commented(head, comments.get(steps))
        yield from _inside(value, steps, indent + 2, comments)
    else:
        yield _commented(f"{head} {_short(value)}", comments.get(steps))


def _inside(value: Any, steps: Steps, indent: int, comments: Mapping[Steps, str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _member(key, child, (*steps, key), indent, comments)
        return
    for index, child in enumerate(value):
        yield _commented(f"{' ' * indent}- {_short(child)}", comments.get((*steps, index)))


def _commented(line: str, comment: str | None) -> str:
    return line if not comment else f"{line:<{_COLUMN}}  # {comment}"


def _is_short(value: Any) -> bool:
    """Whether it stands in one line: a list of what is neither list nor mapping."""
    return isinstance(value, tuple) and not any(isinstance(child, dict | tuple) for child in value)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_short(child)}" for key, child in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if not isinstance(value, str):
        return str(value)
    # Words such as `on` and `null` are no texts in YAML, so what is not in quotes is read to see what it is.
    if _PLAIN.fullmatch(value) and read(f"a: {value}").data == {"a": value}:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
