"""The parameters of an operation: which argument each takes, and how its value is written (OpenAPI 3 `style` and `explode`).

Mapped are `simple` in paths and headers, `form` and `deepObject` in queries, and JSON text where a parameter has `content`. A
header that routes, frames or authenticates a request is nobody's argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from counterseal.wire.meanings import has_meaning
from counterseal.wire.openapi.pointer import NotMapped, Pointer, References

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_STYLES: Final = {"path": ("simple",), "query": ("form", "deepObject"), "header": ("simple",)}
_IGNORED: Final = frozenset({"accept", "content-type", "authorization"})
"""Section 4.7.12.2 of OpenAPI 3.0 has them ignored: the gateway writes them."""
BODY: Final = "body"
"""The argument that holds the body."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """argument: its name among the arguments. name: in the request. style: one of OpenAPI's, or `json`."""

    argument: str
    name: str
    place: str
    style: str
    explode: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A parameter of the document. schema, at: of its value."""

    parameter: Parameter
    schema: Any
    at: Pointer
    description: Any


def read_parameters(
    references: References,
    lists: Iterable[tuple[Any, Pointer]],
    reserved: frozenset[str],
    has_body: bool,
) -> tuple[list[Found], list[NotMapped]]:
    """The parameters of an operation, and those that it can do without and that have no form here.

    lists: of the path, then of the operation, whose own take the place of the path's. reserved: headers, in lower case, that this
    server's requests have already. Raises NotMapped for one that the operation cannot do without.
    """
    merged: dict[tuple[str, str], tuple[Mapping[str, Any], Pointer]] = {}
    for values, at in lists:
        if not isinstance(values, list):
            raise NotMapped("`parameters` is not a list", at)
        for index, value in enumerate(values):
            parameter, place = references.followed(value, (*at, index))
            name, where = (_text(parameter, member, place) for member in ("name", "in"))
            merged[name.lower() if where == "header" else name, where] = parameter, place
    found: list[Found] = []
    without: list[NotMapped] = []
    for (name, where), (parameter, at) in merged.items():
        if where == "header" and name in _IGNORED:
            continue
        try:
            read = _read(parameter, at, where, reserved)
            _check_object(read, references)
            found.append(read)
        except NotMapped as error:
            if where == "path" or parameter.get("required") is True:
                raise
            without.append(error)
    return _named(found, has_body), without


def _text(value: Any, member: str, at: Pointer) -> str:
    found = value.get(member) if isinstance(value, dict) else None
    if not isinstance(found, str) or not found:
        raise NotMapped(f"a parameter has no `{member}`", at)
    return found


def _read(value: Mapping[str, Any], at: Pointer, where: str, reserved: frozenset[str]) -> Found:
    name = str(value["name"])
    if where not in _STYLES:
        what = "cookies are never sent" if where == "cookie" else "there is no such place for a parameter"
        raise NotMapped(f"the parameter {name!r} is in `{where[:20]}`: {what}", at)
    if where == "header":
        _check_header(name, at, reserved)
    schema, style, below = value.get("schema"), value.get("style", _STYLES[where][0]), (*at, "schema")
    if schema is None:
        schema, below = _json_content(value, name, at)
        style = "json"
    elif style not in _STYLES[where]:
        raise NotMapped(
            f"the parameter {name!r} has the style {str(style)[:20]!r}, which is not mapped in `{where}`", at
        )
    explode = value.get("explode", style == "form") is True
    required = where == "path" or value.get("required") is True
    return Found(Parameter(name, name, where, style, explode, required), schema, below, value.get("description"))


def _json_content(value: Mapping[str, Any], name: str, at: Pointer) -> tuple[Any, Pointer]:
    content = value.get("content")
    if not isinstance(content, dict) or len(content) != 1 or not is_json(media := next(iter(content))):
        raise NotMapped(f"the parameter {name!r} has neither a `schema` nor a `content` of JSON", at)
    inner = content[media]
    return (inner.get("schema", True) if isinstance(inner, dict) else True), (*at, "content", media, "schema")


def _check_header(name: str, at: Pointer, reserved: frozenset[str]) -> None:
    plain = name.lower()
    if not _TOKEN.fullmatch(name):
        raise NotMapped(f"the parameter {name!r} is no name for a header", at)
    if plain in reserved or plain.startswith("x-mcp-") or has_meaning(plain):
        raise NotMapped(f"the header {name!r} is one that the gateway alone writes, and no argument", at)


def _check_object(read: Found, references: References) -> None:
    """Raises NotMapped for an object whose members would become parameters of their own, so that a caller could write any."""
    parameter = read.parameter
    schema, _ = references.followed(read.schema, read.at)
    if parameter.style == "form" and parameter.explode and isinstance(schema, dict) and schema.get("type") == "object":
        raise NotMapped(
            f"the parameter {parameter.name!r} is an object of style `form` with `explode`: only `deepObject` is mapped, or "
            "`explode: false`",
            read.at,
        )


def is_json(media: str) -> bool:
    """Whether a media type is JSON, or a kind of it (RFC 6839 section 3.1)."""
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _named(found: list[Found], has_body: bool) -> list[Found]:
    """Each with a name of its own among the arguments: that of the parameter where it can be one, else the nearest, with its
    place before it where two would have the same. Raises NotMapped where that does not tell them apart."""
    nearest = [
        name
        if _ARGUMENT.fullmatch(name := one.parameter.name)
        else _UNFIT.sub("_", name).strip("_")[:64] or one.parameter.place
        for one in found
    ]
    taken = [*nearest, BODY] if has_body else nearest
    names = [
        f"{one.parameter.place}_{name}"[:64] if taken.count(name) > 1 else name
        for one, name in zip(found, nearest, strict=True)
    ]
    for index, name in enumerate(names):
        if name in names[:index] or (has_body and name == BODY):
            raise NotMapped(f"two parameters would both be the argument {name!r}: rename one", found[index].at)
    return [
        replace(one, parameter=replace(one.parameter, argument=name)) for one, name in zip(found, names, strict=True)
    ]
