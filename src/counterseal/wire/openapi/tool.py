"""What an operation of a document becomes: the tool that an agent sees, and the request that a call of it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Raw

from counterseal.wire.openapi.checker import Checker
from counterseal.wire.openapi.parameters import Parameter
from counterseal.wire.openapi.pointer import NotMapped, Pointer

Segment = tuple["str | Parameter", ...]
"""One segment of a path: pieces of text, percent-encoded, and the parameters between them."""

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_ENCODED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_DECODINGS: Final = 6


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: JSON, under this media type."""

    media: str
    required: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """definition: as `tools/list` shows it, in JSON. segments: of the path, after the base of the server. parameters: those of
    queries and headers. checks: the arguments. answers: what is promised of `structuredContent`, None for nothing."""

    name: str
    verb: str
    segments: tuple[Segment, ...]
    parameters: tuple[Parameter, ...]
    body: Body | None
    definition: Raw = field(repr=False)
    checks: Checker = field(repr=False)
    answers: Checker | None = field(repr=False)


def segments_of(path: str, parameters: Mapping[str, Parameter], at: Pointer) -> tuple[Segment, ...]:
    """A path with its parameters in their places. parameters: by their names in the path. Raises NotMapped."""
    if not path.startswith("/") or not path.isprintable():
        raise NotMapped("the path does not begin with `/`, or holds characters that cannot be seen", at)
    if "?" in path or "#" in path:
        raise NotMapped("the path holds a query or a fragment: declare what follows `?` as parameters", at)
    raw = path[1:].split("/")
    if "" in raw[:-1] or any(is_dots(one) for one in raw):
        raise NotMapped("the path has an empty segment, or one of dots, so that readers could take it for another", at)
    return tuple(_segment(one, parameters, at) for one in raw)


def _segment(raw: str, parameters: Mapping[str, Parameter], at: Pointer) -> Segment:
    pieces: list[str | Parameter] = []
    for index, piece in enumerate(_BRACES.split(raw)):
        if index % 2:
            if piece not in parameters:
                raise NotMapped(f"the path has {{{piece[:80]}}}, for which there is no parameter", at)
            pieces.append(parameters[piece])
        elif "{" in piece or "}" in piece:
            raise NotMapped("the path has a brace without its other half", at)
        elif piece:
            pieces.append(quote(piece, safe="!$&'()*+,;=:@~" + ("%" if _ENCODED.fullmatch(piece) else "")))
    return tuple(pieces)


def is_dots(segment: str) -> bool:
    """Whether a segment means another place than itself, `.` or `..`, to anybody who decodes it (RFC 3986 section 5.2.4), however
    often, or who takes away what follows a `;`."""
    try:
        return decoded(segment).partition(";")[0] in (".", "..")
    except ValueError:
        return True


def decoded(text: str) -> str:
    """What is left after percent-decoding until nothing changes. Raises ValueError for a text that was encoded more often than an
    honest one."""
    for _ in range(_DECODINGS):
        if "%" not in text or (once := unquote(text)) == text:
            return text
        text = once
    raise ValueError("encoded too often")
