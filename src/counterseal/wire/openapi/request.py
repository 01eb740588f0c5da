"""The request that a call of a tool makes: its address, headers and body, from the arguments alone.

An argument fills the place that the document gives it, and cannot leave it: what it would need to be another segment, another
parameter or another header is percent-encoded, or refused where a reader might decode it first and look for its meaning
afterwards. Many do: to them `a%2Fb` is two segments. So no value in a path holds a slash, a backslash or a control character,
however often it is decoded, nor makes a segment of dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from counterseal.wire import jsonrpc
from counterseal.wire.openapi.parameters import BODY, Parameter
from counterseal.wire.openapi.tool import Segment, Tool, decoded, is_dots

_LEAVES: Final = re.compile(r"[/\\\x00-\x1f\x7f]")
_HEADER: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_WHOLE: Final = float(2**53)


class NotWritten(ValueError):
    """An argument has no place in the request. The text says which and why, for the caller, without its value."""


@dataclass(frozen=True, slots=True)
class Written:
    """target: path and query, after the base of the server. headers: those of the arguments, and what the body is."""

    verb: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)


def write_request(tool: Tool, arguments: Mapping[str, Any], most: int) -> Written:
    """arguments: checked against the tool's schema. most: characters of the address and of the headers together. Raises
    NotWritten."""
    path = "".join(f"/{_segment(segment, arguments)}" for segment in tool.segments)
    query: list[str] = []
    headers: list[tuple[str, str]] = []
    for parameter in tool.parameters:
        value = arguments.get(parameter.argument)
        if value is None:
            continue
        if parameter.place == "query":
            query += _query(parameter, value)
        else:
            headers.append((parameter.name, _header(parameter, value)))
    target = f"{path}?{'&'.join(query)}" if query else path
    if len(target) + sum(len(value) for _, value in headers) > most:
        raise NotWritten(f"the arguments are too long for an address: more than {most} characters")
    body = None
    if tool.body is not None and BODY in arguments:
        body = jsonrpc.write(arguments[BODY])
        headers.append(("Content-Type", tool.body.media))
    elif tool.verb in ("POST", "PUT", "PATCH"):
        body = b""  # with its length, without which some servers wait for it
    return Written(tool.verb, target, tuple(headers), body)


# ---- paths ----------------------------------------------------------------------------------------------------------


def _segment(segment: Segment, arguments: Mapping[str, Any]) -> str:
    text = "".join(
        piece if isinstance(piece, str) else _in_path(piece, arguments.get(piece.argument)) for piece in segment
    )
    if is_dots(text):
        raise NotWritten(f"{_names(segment)} would lead to another place of the server: it is nothing but dots")
    return text


def _in_path(parameter: Parameter, value: Any) -> str:
    texts = _simple(parameter, value)
    for text in texts:
        try:
            leaves = _LEAVES.search(decoded(text)) is not None
        except ValueError:
            leaves = True
        if leaves:
            raise NotWritten(
                f"`{parameter.argument}` holds a slash, a backslash or a control character, plain or encoded, "
                "which would lead to another place of the server"
            )
    if not any(texts):
        raise NotWritten(f"`{parameter.argument}` is empty, which would lead to another place of the server")
    return ",".join(map(_quote, texts))


def _names(segment: Segment) -> str:
    return " and ".join(f"`{piece.argument}`" for piece in segment if not isinstance(piece, str))


# ---- queries and headers ----------------------------------------------------------------------------------------------


def _query(parameter: Parameter, value: Any) -> Iterable[str]:
    name = _quote(parameter.name)
    if parameter.style == "json":
        return [f"{name}={_quote(_json(value))}"]
    if parameter.style == "deepObject" and not isinstance(value, dict):
        raise NotWritten(f"`{parameter.argument}` has a value that this place has no form for: it takes an object")
    if isinstance(value, list):
        items = [_scalar(parameter, item) for item in value if item is not None]
        if parameter.explode:
            return [f"{name}={_quote(item)}" for item in items]
        return [f"{name}={','.join(map(_quote, items))}"] if items else []
    if isinstance(value, dict):
        members = {key: _scalar(parameter, one) for key, one in value.items() if one is not None}
        if parameter.style == "deepObject":
            return [f"{_quote(f'{parameter.name}[{key}]')}={_quote(text)}" for key, text in members.items()]
        if parameter.explode:
            raise NotWritten(f"`{parameter.argument}` is an object, whose members would become parameters of their own")
        return [f"{name}={','.join(_quote(one) for member in members.items() for one in member)}"]
    return [f"{name}={_quote(_scalar(parameter, value))}"]


def _header(parameter: Parameter, value: Any) -> str:
    pieces = _simple(parameter, value)
    # A header encodes nothing, so a comma would make another piece, which nobody checked against the schema.
    if parameter.style != "json" and isinstance(value, list | dict) and any("," in piece for piece in pieces):
        raise NotWritten(f"`{parameter.argument}` holds a comma in one of its values, which would make two of it")
    if parameter.explode and isinstance(value, dict) and any("=" in key for key in value):
        raise NotWritten(f"`{parameter.argument}` has a name with `=` in it, which would be read as another name")
    text = ",".join(pieces)
    if not _HEADER.fullmatch(text):
        raise NotWritten(f"`{parameter.argument}` is empty, or holds characters that no header has")
    return text


# ---- values -----------------------------------------------------------------------------------------------------------


def _simple(parameter: Parameter, value: Any) -> list[str]:
    """The pieces of a value of style `simple`, which are written with commas between them."""
    if parameter.style == "json":
        return [_json(value)]
    if isinstance(value, list):
        return [_scalar(parameter, item) for item in value]
    if isinstance(value, dict):
        pairs = [(key, _scalar(parameter, one)) for key, one in value.items()]
        return (
            [f"{key}={text}" for key, text in pairs] if parameter.explode else [one for pair in pairs for one in pair]
        )
    return [_scalar(parameter, value)]


def _scalar(parameter: Parameter, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)
    raise NotWritten(f"`{parameter.argument}` has a value that this place has no form for")


def _json(value: Any) -> str:
    return jsonrpc.write(value).decode()


def _quote(text: str) -> str:
    return quote(text, safe="")
