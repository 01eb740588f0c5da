"""JSON pointers (RFC 6901) into a document, and what could not be mapped at one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Pointer = tuple[str | int, ...]
"""The way to a value: names of members and positions in lists."""

_FOLLOWED = 32
"""References that lead to references, one after the other."""


class NotMapped(Exception):
    """Something in the document has no form as a tool. at: where it stands. The text says why, and how to mend it."""

    def __init__(self, what: str, at: Pointer) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


def pointer_text(pointer: Pointer) -> str:
    """As a URI fragment writes it, for people: `#/paths/~1users~1{id}/get`."""
    return "#" + "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in pointer)


@dataclass(frozen=True, slots=True)
class References:
    """What `$ref` leads to, within the document alone (K-02, M-16)."""

    document: Mapping[str, Any]

    def target(self, reference: Any, at: Pointer) -> tuple[Any, Pointer]:
        """The value that a `$ref` names, and where it stands. Raises NotMapped for one that leads out of the document, or
        nowhere."""
        if not isinstance(reference, str):
            raise NotMapped("`$ref` is not a text", at)
        if not reference.startswith("#"):
            raise NotMapped(
                "`$ref` leads out of the document, and nothing is fetched: copy what it names into `components`", at
            )
        if reference != "#" and not reference.startswith("#/"):
            raise NotMapped("`$ref` names an anchor: write it as a JSON pointer, `#/components/...`", at)
        value: Any = self.document
        pointer: Pointer = ()
        for raw in unquote(reference).split("/")[1:]:
            step: str | int = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(value, list) and str(step).isdecimal() and int(step) < len(value):
                step = int(step)
            elif not (isinstance(value, dict) and step in value):
                raise NotMapped("`$ref` leads nowhere: there is no such place in the document", at)
            value = value[step]
            pointer = (*pointer, step)
        return value, pointer

    def followed(self, value: Any, at: Pointer) -> tuple[Any, Pointer]:
        """The value itself, where it is not a reference, or what it leads to in the end. Raises NotMapped."""
        begun = at
        for _ in range(_FOLLOWED):
            if not (isinstance(value, dict) and "$ref" in value):
                return value, at
            value, at = self.target(value["$ref"], (*at, "$ref"))
        raise NotMapped(f"`$ref` leads to a `$ref` more than {_FOLLOWED} times, or in a circle", begun)
