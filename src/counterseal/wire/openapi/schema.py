"""The schemas of a document as JSON Schema 2020-12, each whole in itself.

OpenAPI 3.1 has JSON Schema as it is; 3.0 has a dialect of its own (`nullable`, `exclusiveMinimum: true`, `example`), which is
put into the words of 2020-12. What a schema refers to is copied below its `$defs`, so that it can be read alone, and a schema
that refers to itself stays as small as it is. Keywords that are not those of 2020-12 are left out, `x-mcp-header` among them:
nothing in a document makes a client send a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec

from counterseal.wire.openapi.pointer import NotMapped, Pointer, References
from counterseal.wire.openapi.prose import seen


class Side(Enum):
    """Which way what a schema describes goes: what is `readOnly` is never sent, and what is `writeOnly` never comes back."""

    SENT = "readOnly"
    ANSWERED = "writeOnly"


_DESCRIPTION: Final = 1000
_PROSE: Final = ("title", "description")
_PLAIN: Final = frozenset(
    [
        "type",
        "enum",
        "const",
        "default",
        "examples",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minContains",
        "maxContains",
        "required",
        "dependentRequired",
        "minProperties",
        "maxProperties",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "discriminator",
    ]
)
_ONE: Final = frozenset(
    [
        "items",
        "contains",
        "additionalProperties",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentSchema",
    ]
)
_LISTS: Final = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_MAPS: Final = frozenset(["properties", "patternProperties", "dependentSchemas"])
_REFUSED: Final = frozenset(["$id", "$dynamicRef", "$recursiveRef"])
_BRANCHING: Final = ("$ref", "allOf", "anyOf", "oneOf")

_write: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Written:
    """One schema in the words of 2020-12. refers: to which others. size: in bytes of JSON."""

    schema: Any = None
    refers: dict[Pointer, None] = field(default_factory=dict)
    size: int = 0


class Schemas:
    """The schemas of one document. is_30: whether they are in the dialect of OpenAPI 3.0. most: bytes of one, with all that it
    refers to."""

    def __init__(self, references: References, is_30: bool, most: int) -> None:
        self._references = references
        self._is_30 = is_30
        self._most = most
        self._names: dict[Pointer, str] = {}
        self._taken: set[str] = set()
        self._shared: dict[tuple[Pointer, Side], _Written] = {}

    def whole(self, parts: Mapping[str, tuple[Any, Pointer]], side: Side) -> tuple[dict[str, Any], dict[str, Any]]:
        """Several schemas, and the `$defs` that all of them together refer to. Raises NotMapped."""
        written = {name: self._write(schema, at, side) for name, (schema, at) in parts.items()}
        size = 0
        waiting = list(written.values())
        needed: dict[Pointer, Any] = {}
        while waiting:
            one = waiting.pop()
            size += one.size
            if size > self._most:
                at = next(at for _, at in parts.values())
                raise NotMapped(f"its schema and what that refers to have more than {self._most} bytes", at)
            for pointer in one.refers:
                if pointer not in needed:
                    shared = self._share(pointer, side)
                    needed[pointer] = shared.schema
                    waiting.append(shared)
        definitions = {self._name(pointer): schema for pointer, schema in needed.items()}
        return {name: one.schema for name, one in written.items()}, definitions

    def of_object(self, schema: Any, at: Pointer) -> dict[str, Any] | None:
        """The schema of an answer that is an object, whole; None for any other. Raises NotMapped."""
        resolved, at = self._references.followed(schema, at)
        if not isinstance(resolved, dict) or resolved.get("nullable") is True:
            return None
        kind = resolved.get("type", "object" if "properties" in resolved else None)
        if kind not in ("object", ["object"]):
            return None
        parts, definitions = self.whole({"root": (resolved, at)}, Side.ANSWERED)
        return {**parts["root"], "type": "object", **({"$defs": definitions} if definitions else {})}

    def _share(self, pointer: Pointer, side: Side) -> _Written:
        known = self._shared.get((pointer, side))
        if known is None:
            value: Any = self._references.document
            for step in pointer:
                value = value[step]
            known = self._shared[pointer, side] = self._write(value, pointer, side)
        return known

    def _name(self, pointer: Pointer) -> str:
        """The name below `$defs` of what stands there: its own, with a number behind it where another has that."""
        if pointer not in self._names:
            last = str(pointer[-1]) if pointer else "document"
            own = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in last)
            name, number = own, 2
            while name in self._taken:
                name, number = f"{own}-{number}", number + 1
            self._taken.add(name)
            self._names[pointer] = name
        return self._names[pointer]

    def _write(self, schema: Any, at: Pointer, side: Side) -> _Written:
        found = _Written()
        found.schema = self._schema(schema, at, side, found)
        try:
            found.size = len(_write(found.schema))
        except (TypeError, ValueError, RecursionError):
            raise NotMapped("a schema holds a value that JSON does not have", at) from None
        return found

    def _schema(self, node: Any, at: Pointer, side: Side, found: _Written) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise NotMapped("a schema is neither an object nor true or false", at)
        for name in node:
            if name in _REFUSED:
                raise NotMapped(
                    f"`{name}` changes what a reference means: write `$ref` with a JSON pointer instead", (*at, name)
                )
        result: dict[str, Any] = {}
        if "$ref" in node:
            _, pointer = self._references.target(node["$ref"], (*at, "$ref"))
            found.refers[pointer] = None
            result["$ref"] = f"#/$defs/{self._name(pointer)}"
            if self._is_30:
                return result  # section 4.7.24: what stands beside it does not count
        result |= self._keywords(node, at, side, found)
        if isinstance(properties := result.get("properties"), dict):
            self._one_way(node, at, side, result, properties)
        return self._of_30(node, result) if self._is_30 else result

    def _keywords(self, node: Mapping[str, Any], at: Pointer, side: Side, found: _Written) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in node.items():
            below = (*at, name)
            if name in _PLAIN:
                result[name] = value
            elif name in _PROSE:
                result[name] = seen(value, _DESCRIPTION)
            elif name in _ONE:
                result[name] = self._schema(value, below, side, found)
            elif name in _LISTS:
                result[name] = [
                    self._schema(child, (*below, index), side, found)
                    for index, child in enumerate(_all(value, list, below))
                ]
            elif name in _MAPS:
                result[name] = {
                    key: self._schema(child, (*below, key), side, found)
                    for key, child in _all(value, dict, below).items()
                }
        if "example" in node and "examples" not in result:
            result["examples"] = [node["example"]]
        return result

    def _one_way(
        self, node: Mapping[str, Any], at: Pointer, side: Side, result: dict[str, Any], properties: dict[str, Any]
    ) -> None:
        """Leave out what does not go this way. What is required is so where it goes."""
        other = {
            name for name in properties if self._says(node["properties"][name], (*at, "properties", name), side.value)
        }
        if side is Side.SENT:
            result["properties"] = {name: schema for name, schema in properties.items() if name not in other}
        if other and isinstance(required := result.get("required"), list):
            result["required"] = [name for name in required if name not in other]

    def _says(self, schema: Any, at: Pointer, keyword: str) -> bool:
        resolved, _ = self._references.followed(schema, at)
        return isinstance(resolved, dict) and (resolved.get(keyword) is True or _member(schema, keyword) is True)

    @staticmethod
    def _of_30(node: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(result.get(exclusive), bool):
                is_exclusive = result.pop(exclusive)
                if is_exclusive and bound in result:
                    result[exclusive] = result.pop(bound)
        if node.get("nullable") is not True:
            return result
        if any(name in result for name in _BRANCHING):
            return {"anyOf": [result, {"type": "null"}]}
        if isinstance(result.get("type"), str):
            result["type"] = [result["type"], "null"]
        if isinstance(options := result.get("enum"), list) and None not in options:
            result["enum"] = [*options, None]
        return result


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _all(value: Any, kind: type, at: Pointer) -> Any:
    if not isinstance(value, kind):
        raise NotMapped(f"`{at[-1]}` is not {'a list' if kind is list else 'an object'}", at)
    return value


def argument_schema(
    properties: Mapping[str, Any], required: Iterable[str], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    """The schema of a tool's arguments: these and no others."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if required := list(required):
        schema["required"] = required
    schema["additionalProperties"] = False
    if definitions:
        schema["$defs"] = dict(definitions)
    return schema
