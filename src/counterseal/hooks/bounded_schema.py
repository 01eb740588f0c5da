"""A JSON Schema that somebody else wrote, held against a value in bounded time (M-16).

The validator takes its time with the interpreter locked, so a thread or a time limit would not help: what could take long is
refused before it begins.

* A schema is read strictly and only within itself: `$ref` begins with `#`, and nothing is ever fetched.
* Its weight is the number of values in it with every reference followed, and the work of one check is that times the number of
  values in what is checked. Both have a ceiling. References that lead back to where they came from count once, because the
  validator remembers what it has seen; `unevaluated...` makes it look again and counts three times, and with such references it
  forgets, so the two together are refused.
* `pattern` and `patternProperties` are matched in linear time, without look-around and back-references, and at most for half a
  second by the worst that a pattern of its size can cost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs
from jsonschema_rs import RegexOptions, ValidationError

from counterseal.core import strict_json

_DRAFTS: Final[Mapping[str, Any]] = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
}
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_ASIDE: Final = ("$defs", "definitions")
"""Keywords whose schemas are not looked at unless a reference leads there."""
_MAPS: Final = frozenset(["properties", "patternProperties", "dependentSchemas", "dependencies"])
"""Keywords whose value is a mapping of names to schemas."""
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")

_DEPTH: Final = 64
_MEMBERS: Final = 20_000
_NESTED: Final = 200
"""Schemas inside one another with references followed: the validator uses the machine's stack for each."""
_WEIGHT: Final = 20_000
_WORK: Final = 10_000_000
_EXPLAINED: Final = 20_000
"""Work up to which a fault is explained. What explains it collects the faults of every branch."""
_PATTERNS: Final = 64
_NAME_PATTERNS: Final = 16
_NAME_BYTES: Final = 4096
"""Of the members' names that are matched against `patternProperties`, all together."""

_RATES: Final = ((1024, 1), (4096, 2), (16384, 6), (65536, 24), (262144, 80), (1048576, 320))
"""Compiled size of a pattern in bytes, and what matching one byte costs at worst, in microseconds."""
_MATCHING: Final = 500_000
_CACHE: Final = 128 * 1024
"""What matching one pattern may keep in memory, in bytes, beside its compiled size."""
_PATTERN_BYTES: Final = 4 * 1024 * 1024 + _PATTERNS * _CACHE
"""Of all patterns of a schema."""
_VALUE_BYTES: Final = 500
"""What a value of a schema takes compiled, roughly."""

_POINTER: Final = re.compile(r"#(?:/.*)?", re.DOTALL)


class NotCheckable(ValueError):
    """Nothing can be held against this schema. The text says why, and quotes nothing of it."""


class TooMuch(ValueError):
    """The value is too large to be held against this schema."""


class BoundedSchema:
    """text: the JSON text of a schema. size: bytes of memory that it may take. Raises NotCheckable."""

    def __init__(self, text: bytes) -> None:
        try:
            schema = strict_json.read(text, depth=_DEPTH, members=_MEMBERS)
        except (strict_json.NotStrict, strict_json.TooBig) as error:
            raise NotCheckable(f"it is {error}") from None
        if not isinstance(schema, dict):
            raise NotCheckable("it is no object")
        draft = str(schema.get("$schema", next(iter(_DRAFTS)))).removesuffix("#")
        if draft not in _DRAFTS:
            raise NotCheckable("its `$schema` is none that is known here")
        patterns = _Patterns()
        weigh = _Weigh(schema, patterns)
        self._weight = weigh.weight
        self._explains = not weigh.recursive
        self._name_cost = weigh.name_cost
        self._meter = _Meter()
        try:
            self._validator = _DRAFTS[draft](
                schema,
                offline=True,
                validate_formats=False,
                pattern_options=_linear(_RATES[-1][0]),
                keywords={"pattern": _metered(self._meter, patterns)},
            )
        except ValueError as error:
            if (name := getattr(getattr(error, "kind", None), "name", None)) in ("format", "pattern"):
                raise NotCheckable("it has a `pattern` that cannot be matched in linear time") from None
            raise NotCheckable(f"it is not valid ({name})" if name else "it is not valid") from None
        self.size = weigh.values * _VALUE_BYTES + patterns.size

    def fault(self, value: Mapping[str, Any]) -> str | None:
        """None where the value fits; else where it does not and by which rule, without quoting it, as far as that can be told.

        value: as a JSON reader makes it, or frozen. Raises TooMuch.
        """
        plain = _Plain()
        copied = plain.of(value)
        work = self._weight * plain.values
        if work > _WORK or self._name_cost * (plain.name_bytes + plain.values) > _MATCHING:
            raise TooMuch
        if self._name_cost and plain.name_bytes > _NAME_BYTES:
            raise TooMuch
        self._meter.left = _MATCHING
        fits = self._validator.is_valid(copied)
        if self._meter.left < 0:
            raise TooMuch
        if fits:
            return None
        if not self._explains or work > _EXPLAINED:
            return "they do not fit it"
        try:
            self._validator.validate(copied)
        except ValidationError as error:
            return _explained(error)
        return "they do not fit it"


def _explained(error: ValidationError) -> str:
    rule = error.kind.name
    where = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.instance_path)
    lacks = f" ({error.kind.property})" if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required) else ""
    text = f"{where or 'the whole'} breaks the rule `{rule}`{lacks}"
    text = text.encode("ascii", "backslashreplace").decode()
    return "".join(char for char in text if char.isprintable())[:200]


class _Plain:
    """A plain copy of a value, and its size: values, and bytes of the members' names."""

    def __init__(self) -> None:
        self.values = 0
        self.name_bytes = 0

    def of(self, value: Any) -> Any:
        self.values += 1
        if isinstance(value, Mapping):
            self.name_bytes += sum(map(len, value))
            return {name: self.of(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(one) for one in value]
        return value


class _Weigh:
    """How much a schema is with every reference followed. Raises NotCheckable where that is too much, or leads outside."""

    def __init__(self, schema: Mapping[str, Any], patterns: _Patterns) -> None:
        self._root = schema
        self._compiled = patterns
        self.values = 0
        self._anchors: dict[str, Any] = {}
        self._weights: dict[int, tuple[int, int]] = {}
        """And what matching one byte of a name costs in it."""
        self._open: set[int] = set()
        self._patterns = 0
        self._unevaluated = False
        self.name_patterns = 0
        self.name_cost = 0
        """What one byte of a member's name costs in all `patternProperties` with references followed, in microseconds."""
        self.recursive = False
        self._survey(schema)
        self.weight = self._of(schema, 0)
        if self._patterns > _PATTERNS or self.name_patterns > _NAME_PATTERNS:
            raise NotCheckable("it has too many patterns")
        if self.recursive and (self._unevaluated or self.name_patterns):
            raise NotCheckable("it refers to itself and has `unevaluated...` or `patternProperties`")

    def _survey(self, value: Any) -> None:
        """What has to be known before: anchors, and that there is one base for references."""
        stack = [value]
        while stack:
            node = stack.pop()
            self.values += 1
            if isinstance(node, list):
                stack.extend(node)
            if not isinstance(node, dict):
                continue
            stack.extend(node.values())
            if node is not value and isinstance(node.get("$id"), str):
                raise NotCheckable("it has an `$id` inside")
            for key in _ANCHORS:
                if not isinstance(name := node.get(key), str):
                    continue
                # Two would be weighed as one and followed as the other.
                if self._anchors.setdefault(name, node) is not node:
                    raise NotCheckable("it has one anchor twice")
            self._patterns += isinstance(node.get("pattern"), str)
            self._unevaluated |= any(key in node for key in _UNEVALUATED)

    def _of(self, value: Any, nested: int, *, is_map: bool = False) -> int:
        """The weight of a value in the schema. is_map: its keys are names and no keywords."""
        if isinstance(value, list):
            return 1 + sum(self._of(one, nested) for one in value)
        if not isinstance(value, dict):
            return 1
        if is_map:
            return 1 + sum(self._of(one, nested) for one in value.values())
        if id(value) in self._open:
            self.recursive = True
            return 1
        if (known := self._weights.get(id(value))) is not None:
            self.name_cost += known[1]
            return known[0]
        before = self.name_cost
        if nested > _NESTED:
            raise NotCheckable("it is nested too deep")
        self._open.add(id(value))
        weight = 1 + sum(self._of(target, nested + 1) for target in self._targets(value))
        for key, one in value.items():
            if key not in _ASIDE:
                weight += self._of(one, nested + 1, is_map=key in _MAPS)
        if isinstance(names := value.get("patternProperties"), dict):
            self.name_patterns += len(names)
            self.name_cost += sum(self._cost(name) for name in names)
        for key in _UNEVALUATED:
            if key in value:
                weight *= 3
                self.name_cost += 2 * (self.name_cost - before)
        if weight > _WEIGHT:
            raise NotCheckable("it is too much with its references followed")
        self._open.discard(id(value))
        self._weights[id(value)] = weight, self.name_cost - before
        return weight

    def _cost(self, pattern: str) -> int:
        try:
            return self._compiled.of(pattern)[1]
        except ValueError:
            raise NotCheckable("it has a `pattern` that cannot be matched in linear time") from None

    def _targets(self, node: Mapping[str, Any]) -> list[Any]:
        found = []
        for key in _REFERENCES:
            reference = node.get(key)
            if not isinstance(reference, str):
                continue
            if not reference.startswith("#"):
                raise NotCheckable("it has a reference that leads outside, and nothing is fetched")
            found.append(self._at(reference))
        return found

    def _at(self, reference: str) -> Any:
        """What a reference leads to; the whole where that cannot be told, and then the validator refuses the schema."""
        if not _POINTER.fullmatch(reference):
            return self._anchors.get(reference[1:], self._root)
        node: Any = self._root
        for step in unquote(reference[2:]).split("/") if len(reference) > 1 else ():
            step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901  # RFC 6901 section 4
            if isinstance(node, list) and step.isdecimal() and len(step) < 6 and int(step) < len(node):
                node = node[int(step)]
            elif isinstance(node, dict) and step in node:
                node = node[step]
            else:
                return self._root
        return node


class _Patterns:
    """size: bytes that all patterns of a schema take."""

    def __init__(self) -> None:
        self.size = 0

    def of(self, pattern: Any) -> tuple[Any, int]:
        """What tells whether a text matches, and what one byte of it costs. Raises ValueError."""
        only = {"type": "string", "pattern": pattern}
        for size, rate in _RATES:
            try:
                compiled = jsonschema_rs.Draft202012Validator(only, offline=True, pattern_options=_linear(size))
            except ValueError:
                continue
            self.size += size + _CACHE
            if self.size > _PATTERN_BYTES:
                break
            return compiled.is_valid, rate
        raise ValueError


class _Meter:
    """left: what matching may still cost in the check that runs, in microseconds at worst."""

    def __init__(self) -> None:
        self.left = 0


def _linear(size: int) -> RegexOptions:
    return RegexOptions(size_limit=size, dfa_size_limit=_CACHE)


def _metered(meter: _Meter, patterns: _Patterns) -> Any:
    """The keyword `pattern` (JSON Schema Validation section 6.3.3), paid for by the meter. Beyond it nothing matches."""

    class Pattern:
        def __init__(self, parent_schema: Mapping[str, Any], value: Any, schema_path: Any) -> None:
            self._matches, self._rate = patterns.of(value)

        def validate(self, instance: Any) -> None:
            if not isinstance(instance, str):
                return
            meter.left -= self._rate * (len(instance) + 1)
            if meter.left < 0 or not self._matches(instance):
                raise ValueError

    return Pattern
