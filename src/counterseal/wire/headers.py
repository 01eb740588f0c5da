"""HTTP headers as MCP uses them: one value or a refusal, and the routing headers of revision 2026-07-28.

Routing headers mirror the body so that others may route without reading it. They are compared with the body and then made
anew from it for the server: nothing is decided by them (SEP-2243).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from counterseal.core.call import Inbound
from counterseal.errors import BadCall

PARAM_PREFIX: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"
"""The schema keyword that asks for a parameter to be mirrored as `Mcp-Param-{value}`."""

_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# The applicators of JSON Schema 2020-12 whose values are schemas. `properties` is apart: only a chain of it keeps a
# property at one certain place of the arguments.
_SCHEMAS: Final = (
    "items",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
)
_SCHEMA_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAPS: Final = ("patternProperties", "dependentSchemas", "$defs", "definitions")

_MOST: Final = 50
"""The most parameters that one tool may mirror: with more, no request would fit the ceiling for headers."""

_HOP_BY_HOP: Final = ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
_OWN: Final = ("accept", "expect", "host", "last-event-id", "txn-token", "user-agent", "x-mcp-channel-token")
_FAMILIES: Final = ("accept-", "content-", "mcp-", "proxy-", "x-counterseal-")

Path = tuple[str, ...]
_Steps = tuple["_Steps", str] | tuple[()]
"""A path from its end to its start. A schema may hold a million positions, so they share what leads to them."""


def is_own(name: str) -> bool:
    """Whether a header to a server routes or frames the request, or tells of the call token: then nobody but the gateway writes
    it. name: in lower case."""
    return name in _HOP_BY_HOP or name in _OWN or name.startswith(_FAMILIES)


def single(inbound: Inbound, name: bytes) -> str | None:
    """The value of a header that may be sent once, without the white space around it; None where it is absent.

    Raises BadCall `bad_header` where it is sent twice, even with equal values, or is not printable ASCII: two readers
    could take different ones (H-06).
    """
    values = inbound.all(name)
    if not values:
        return None
    if len(values) > 1:
        raise BadCall("bad_header", f"the header {name.decode()} was sent more than once")
    return _text(name, values[0])


def _text(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1").strip(" \t")
    if not (text.isascii() and text.isprintable()):
        raise BadCall("bad_header", f"the header {name.decode()} holds characters other than printable ASCII")
    return text


def routing(inbound: Inbound, name: bytes) -> str | None:
    """Like `single`, but what is wrong with a routing header is `header_mismatch` (-32020), as MCP has it."""
    values = inbound.all(name)
    if not values:
        return None
    if len(values) == 1 and (text := _plain(values[0])) is not None:
        return text
    try:
        return single(inbound, name)
    except BadCall as error:
        raise BadCall("header_mismatch", error.message) from None


@lru_cache(maxsize=512)  # revisions, methods and names: a client sends the same few all the time
def _plain(value: bytes) -> str | None:
    text = value.decode("latin-1").strip(" \t")
    return text if text.isascii() and text.isprintable() else None


def encode_value(value: str) -> str:
    """A value as a header can carry it: itself, or `=?base64?...?=` around its UTF-8 where a header would change it."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """The inverse of `encode_value`; None where the base64 is malformed, not canonical, or not UTF-8."""
    sentinel = _SENTINEL.fullmatch(value)
    if sentinel is None:
        return value
    try:
        raw = base64.b64decode(sentinel[1], validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return text if base64.b64encode(raw).decode() == sentinel[1] else None


def param_headers(inbound: Inbound) -> dict[str, str]:
    """Every `Mcp-Param-*` by its name in lower case. Sent twice or not printable: `header_mismatch`."""
    found: dict[str, str] = {}
    for key, value in inbound.headers:
        if not key.startswith(b"mcp-param-"):
            continue
        name = key.decode("latin-1")
        if name in found:
            raise BadCall("header_mismatch", f"the header {name} was sent more than once")
        try:
            found[name] = _text(key, value)
        except BadCall as error:
            raise BadCall("header_mismatch", error.message) from None
    return found


def annotated(schema: Any) -> dict[Path, str]:
    """Where a tool's inputSchema asks for headers: property path to header name in lower case.

    Raises ValueError with the reason where an annotation is invalid: then the tool must not be shown.
    """
    found: dict[Path, str] = {}
    for steps, node in _positions(schema):
        if ANNOTATION not in node:
            continue
        name = node[ANNOTATION]
        if not steps:
            raise ValueError(f"{ANNOTATION} where no chain of `properties` leads")
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"{ANNOTATION} is not an HTTP token")
        if node.get("type") not in ("string", "integer", "boolean"):
            raise ValueError(f"{ANNOTATION} on a property that is not a string, integer or boolean")
        header = PARAM_PREFIX + name.lower()
        if header in found.values():
            raise ValueError(f"{ANNOTATION} names one header twice")
        if len(found) == _MOST:
            raise ValueError(f"{ANNOTATION} on more than {_MOST} properties")
        found[_path(steps)] = header
    return found


def _path(steps: _Steps) -> Path:
    keys: list[str] = []
    while steps:
        steps, key = steps
        keys.append(key)
    return tuple(reversed(keys))


def _positions(schema: Any) -> Iterator[tuple[_Steps | None, Mapping[str, Any]]]:
    """Every schema inside a schema, with its chain of `properties`, or None off that chain. `$ref` is never followed."""
    stack: list[tuple[_Steps | None, Any]] = [((), schema)]
    while stack:
        steps, node = stack.pop()
        if not isinstance(node, dict):
            continue
        yield steps, node
        properties = node.get("properties")
        if isinstance(properties, dict):
            stack.extend((None if steps is None else (steps, key), child) for key, child in properties.items())
        stack.extend((None, node[key]) for key in _SCHEMAS if key in node)
        for key in _SCHEMA_LISTS:
            if isinstance(node.get(key), list):
                stack.extend((None, child) for child in node[key])
        for key in _SCHEMA_MAPS:
            if isinstance(node.get(key), dict):
                stack.extend((None, child) for child in node[key].values())


def mirrored(wanted: Mapping[Path, str], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The `Mcp-Param-*` headers that these arguments call for: a header is there if and only if a value that is not null
    is at its path. Values that a header cannot mirror (objects, lists) are left out."""
    texts = ((header, _scalar(_at(path, arguments))) for path, header in wanted.items())
    return {header: text for header, text in texts if text is not None}


def _at(path: Path, arguments: Mapping[str, Any]) -> Any:
    node: Any = arguments
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def check_mirrored(wanted: Mapping[Path, str], arguments: Mapping[str, Any], sent: Mapping[str, str]) -> None:
    """Every annotated parameter's header is as the body has it (row 12 of the ladder), else `header_mismatch`."""
    for path, header in wanted.items():
        argument = _at(path, arguments)
        value = sent.get(header)
        if _scalar(argument) is None:
            if value is not None:
                raise BadCall("header_mismatch", f"the header {header} mirrors an argument that is not there")
        elif value is None or not _says(decode_value(value), argument):
            raise BadCall("header_mismatch", f"the header {header} does not say what the arguments say")


def _says(sent: str | None, argument: Any) -> bool:
    """Whether a decoded header says what the argument says: the same text, or the same whole number (`42.0` is `42`)."""
    expected = _scalar(argument)
    if sent is None or sent == expected:
        return sent is not None
    number = re.fullmatch(r"(-?[0-9]+)\.0+", sent)
    return number is not None and number[1] == expected and not isinstance(argument, str)
