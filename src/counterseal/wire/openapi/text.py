"""The text of a document, JSON or YAML, to values; and where in the text a value stands.

A document is somebody else's, so it is read less narrowly than our own configuration (config/reader.py), and still so that no
two readers can take it for two: a member that is there twice, an alias, a tag, a merge key and a second document are refused.
What YAML writes without quotes is a text unless JSON would write it so, or it is one of the ways to write true, false and
null; so `no` and `2026-11-26` are texts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from counterseal.core import strict_json
from counterseal.wire.openapi.pointer import Pointer

Place = tuple[int, int]
"""Line and column, both from 1."""

_DEPTH: Final = 100
_MEMBERS: Final = 2_000_000
_BOM: Final = b"\xef\xbb\xbf"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class NotADocument(ValueError):
    """The text is not one that every reader understands alike. place: where, as far as it is known."""

    def __init__(self, what: str, place: Place = (1, 1)) -> None:
        super().__init__(what)
        self.what = what
        self.place = place


@dataclass(frozen=True, slots=True)
class Text:
    """A document that was read. value: of dict, list, str, int, float, bool and None."""

    value: Any
    _source: str = field(repr=False)
    _is_json: bool

    @classmethod
    def read(cls, content: bytes) -> Text:
        """Raises NotADocument."""
        content = content.removeprefix(_BOM)
        try:
            source = content.decode()
        except UnicodeDecodeError as error:
            before = content[: error.start].split(b"\n")
            place = len(before), len(before[-1].decode(errors="replace")) + 1
            raise NotADocument("is not UTF-8: save the file as UTF-8", place) from None
        if source.lstrip(" \t\r\n")[:1] in ("{", "["):
            return cls(_read_json(content), source, True)
        return cls(_Yaml(source, ()).value, source, False)

    def places(self, pointers: Collection[Pointer]) -> Mapping[Pointer, Place]:
        """Where values stand: a member at its name, an item of a list at itself."""
        if self._is_json:
            return {
                pointer: _line_and_column(self._source, _json_offset(self._source, pointer)) for pointer in pointers
            }
        return _Yaml(self._source, pointers).places


# ---- JSON -----------------------------------------------------------------------------------------------------------


def _read_json(content: bytes) -> Any:
    try:
        return strict_json.read(content, depth=_DEPTH, members=_MEMBERS)
    except strict_json.TooBig as error:
        raise NotADocument(f"is {error}") from None
    except strict_json.NotStrict as error:
        found = re.search(r" at line (\d+) column (\d+)$", str(error))
        if found is not None:
            raise NotADocument(f"is not JSON: {str(error)[: found.start()]}", (int(found[1]), int(found[2]))) from None
        raise NotADocument(f"is not JSON that every reader takes alike: it has {_twice(content) or error}") from None


def _twice(content: bytes) -> str | None:
    """Which member is there twice, where one is."""

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise NotADocument(name)
            seen.add(name)

    try:
        json.loads(content, object_pairs_hook=once)
    except NotADocument as error:
        return f"the member {error.what[:80]!r} twice in one object"
    except ValueError:
        pass
    return None


_decode: Final = json.JSONDecoder().raw_decode


def _json_offset(source: str, pointer: Pointer) -> int:
    """Where a value begins, or its member's name. The text was read before, so it is JSON, and the pointer leads somewhere."""
    value_at = _after_space(source, 0)
    stands_at = value_at
    for step in pointer:
        children = _json_children(source, value_at)
        stands_at, value_at = next((places for name, *places in children if name == step), (stands_at, value_at))
    return stands_at


def _json_children(source: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """The name or position of each child of the object or array there, where it stands, and where its value begins."""
    is_object = source[at] == "{"
    index = 0
    at = _after_space(source, at + 1)
    while source[at] not in "}]":
        name: str | int = index
        stands_at = at
        if is_object:
            name, at = _decode(source, at)
            at = _after_space(source, _after_space(source, at) + 1)
        yield name, stands_at, at
        at = _after_space(source, _decode(source, at)[1])
        if source[at] == ",":
            at = _after_space(source, at + 1)
        index += 1


def _after_space(source: str, at: int) -> int:
    match = _SPACE.match(source, at)
    assert match is not None
    return match.end()


def _line_and_column(source: str, at: int) -> Place:
    return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)


# ---- YAML -----------------------------------------------------------------------------------------------------------


class _Yaml:
    """Reads one text, event by event. places: where those values stand that are wanted. Raises NotADocument."""

    def __init__(self, source: str, wanted: Collection[Pointer]) -> None:
        self.places: dict[Pointer, Place] = {}
        self._wanted = frozenset(wanted)
        self._members = 0
        self._events: Iterator[Any] = iter(yaml.parse(source, Loader=_LOADER))
        try:
            self.value = self._whole()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
            raise NotADocument(f"is not YAML: {error.problem or 'it cannot be read'}", place) from None
        except yaml.reader.ReaderError:
            raise NotADocument("is not YAML: it holds a character that YAML does not take") from None

    def _whole(self) -> Any:
        next(self._events)  # the start of the stream
        begins = next(self._events)
        if isinstance(begins, yaml.StreamEndEvent):
            raise NotADocument("is empty")
        value = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        if not isinstance(again := next(self._events), yaml.StreamEndEvent):
            raise NotADocument("holds a second document: keep one", _mark(again))
        return value

    def _value(self, event: Any, pointer: Pointer) -> Any:
        if pointer in self._wanted and pointer not in self.places:
            self.places[pointer] = _mark(event)
        if isinstance(event, yaml.AliasEvent):
            raise NotADocument(
                "has an alias (`*name`): write the value out, or save the document as JSON", _mark(event)
            )
        if event.tag is not None:
            raise NotADocument("has a tag (`!name`): remove it", _mark(event))
        self._members += 1
        if self._members > _MEMBERS:
            raise NotADocument(f"holds more than {_MEMBERS} values", _mark(event))
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(pointer) >= _DEPTH:
            raise NotADocument(f"is nested deeper than {_DEPTH}", _mark(event))
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(item, (*pointer, len(items))))
            return items
        return self._mapping(pointer)

    def _mapping(self, pointer: Pointer) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent) or key.tag is not None:
                raise NotADocument("has a key that is not a plain text", _mark(key))
            name = str(key.value)
            if name == "<<" and key.style in (None, ""):
                raise NotADocument("has a merge key (`<<`): write the keys out", _mark(key))
            if name in found:
                raise NotADocument(f"has the key {name[:80]!r} twice: keep one of them", _mark(key))
            child = (*pointer, _text(name, key))
            if child in self._wanted:
                self.places[child] = _mark(key)
            found[name] = self._value(next(self._events), child)
        return found


def _mark(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _text(text: str, event: Any) -> str:
    if _SURROGATE.search(text):
        raise NotADocument("holds an escape for half a character (U+D800 to U+DFFF)", _mark(event))
    return text


def _scalar(event: Any) -> str | int | float | bool | None:
    text = _text(str(event.value), event)
    if event.style not in (None, ""):
        return text
    if text in _WORDS:
        return _WORDS[text]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    if number[1] is None and number[2] is None:
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise NotADocument("has a number that no double can hold", _mark(event))
    return value
