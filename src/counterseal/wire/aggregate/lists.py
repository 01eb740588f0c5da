"""A server's list, item by item, with the names that its items have among all servers; and pages made of several lists.

Only an item's name is changed. The cursor says where the last item of a page stood: its server and its name there. It is told
nothing that the page has not shown, and one that leads to nothing that the caller may see is as unknown as one that was made up
(M-17).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from counterseal.core.call import Call, Era
from counterseal.core.methods import Method
from counterseal.wire import jsonrpc
from counterseal.wire.aggregate import names
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.envelope import NAME_LENGTH


class Item(NamedTuple):
    """One tool, prompt, resource or template. name: the server's own. text: JSON, as it is shown here."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """One response of a server. error: its JSON-RPC error code; None for a result."""

    result: Mapping[str, Raw]
    error: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a server's list. ttl_ms: how long it may be kept. shared: for other callers as well."""

    items: tuple[Item, ...]
    cursor: str | None
    ttl_ms: int
    shared: bool

    @property
    def size(self) -> int:
        """Bytes of its items."""
        return sum(len(item.text) for item in self.items)


class _Response(msgspec.Struct):
    result: dict[str, Raw] | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


_read_response: Final = msgspec.json.Decoder(_Response).decode
_read_items: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_read_text: Final = msgspec.json.Decoder(str).decode
_read_cursor: Final = msgspec.json.Decoder(tuple[str, str]).decode
_read_count: Final = msgspec.json.Decoder(int | float).decode
_write: Final = msgspec.json.Encoder().encode


def told(text: bytes) -> Told:
    """A response as `wire.answer` has written it. Raises NotAnAnswer."""
    try:
        response = _read_response(text)
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer("not a response") from None
    if response.error is not UNSET:
        code = response.error.get("code")
        return Told({}, code if isinstance(code, int) else 0)
    return Told({} if response.result is UNSET else response.result)


def page_of(result: Mapping[str, Raw], row: Method, server: str, spelling: names.Spelling = names.OURS) -> Page:
    """A page of a server's list, as `wire.answer` has passed it. Raises NotAnAnswer."""
    assert row.lists is not None
    member, _, field = row.lists
    items = []
    try:
        for item in _read_items(result.get(member, Raw(b"[]"))):
            name = _read_text(item.get(field, Raw(b"null")))
            here = names.shown(field, server, name, spelling)
            if len(here) <= NAME_LENGTH:  # with a longer one nobody could use it here
                item[field] = Raw(_write(here))
                items.append(Item(name, _write(item)))
        cursor = _text(result, "nextCursor")
        ttl_ms = _read_count(result.get("ttlMs", Raw(b"0")))
        shared = _text(result, "cacheScope") == "public"
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer(f"not the result of {row.name}") from None
    return Page(tuple(items), cursor, max(0, int(min(ttl_ms, 2**53))), shared)


def cursor_of(server: str, name: str) -> str:
    """The cursor of what comes after an item."""
    return base64.urlsafe_b64encode(_write((server, name))).decode().rstrip("=")


def place_of(cursor: str) -> tuple[str, str] | None:
    """The inverse of `cursor_of`: server and name; None for what it cannot have made."""
    try:
        server, name = _read_cursor(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        return None
    return (server, name) if cursor_of(server, name) == cursor else None


def write_list(
    call: Call, row: Method, items: Sequence[Item], members: Mapping[str, Any], meta: Mapping[str, Any]
) -> bytes:
    """The response with these items. members: what else is in the result."""
    assert row.lists is not None
    return write_result(
        call, {row.lists[0]: Raw(b"[" + b",".join([item.text for item in items]) + b"]"), **members}, meta
    )


def write_result(call: Call, result: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
    """A result as the era of the call has it. meta: of the result; it may be empty."""
    if call.era is Era.MODERN:
        result = {**result, "resultType": "complete"}
    if meta:
        result = {**result, "_meta": meta}
    return jsonrpc.write({"jsonrpc": "2.0", "id": call.id, "result": result})


def _text(result: Mapping[str, Raw], member: str) -> str | None:
    return _read_text(result[member]) if member in result and bytes(result[member]) != b"null" else None
