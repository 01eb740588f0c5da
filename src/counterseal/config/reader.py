"""Strict YAML: plain values, and where each of them stands.

Read are mappings with text keys, lists, texts, decimal numbers, true, false and null. What else YAML offers is refused, because
it makes one file read in two ways: anchors, aliases and merge keys, tags, several documents, a key that is there twice, `yes`
and `on` for true, octal and sexagesimal numbers, dates (C-01).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml

Steps = tuple[str | int, ...]
"""The way to a value: keys and positions in lists."""

Place = tuple[int, int]
"""Line and column, both from 1."""

_DEPTH: Final = 32
_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FRACTION: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_HALF: Final = (
    "holds an escape for half a character (U+D800 to U+DFFF): write the character itself, or `\\U` and 8 digits"
)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


class Problem(NamedTuple):
    """What is wrong at one place. path: the key as `servers.weather.url` or `policy[0].permit`."""

    line: int
    column: int
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read. data: of dict, tuple, str, int, float, bool and None; a bare object where it could not be read.

    values: where each value stands. keys: where the key before it stands, if it has one. spoiled: what could not be read; its
    problem is told already. problems: what is wrong with the YAML itself. paths: what messages call a value, where that is not
    its own path.
    """

    data: Any
    values: Mapping[Steps, Place]
    keys: Mapping[Steps, Place]
    spoiled: Set[Steps]
    problems: Sequence[Problem]
    paths: Mapping[Steps, str] = field(default_factory=dict)

    def path(self, steps: Steps) -> str:
        """What messages call a value: for one that is not there, in a document that was made of another, what lacks it."""
        while self.paths and steps and steps not in self.paths:
            steps = steps[:-1]
        return self.paths.get(steps) or path_text(steps)

    def place(self, steps: Steps) -> Place:
        """Where a message points: to a plain value itself, to the key of a mapping or list, and for what is not there to what
        lacks it."""
        while steps and steps not in self.values:
            steps = steps[:-1]
        if steps in self.keys and isinstance(self.at(steps), dict | tuple):
            return self.keys[steps]
        return self.values.get(steps, (1, 1))

    def at(self, steps: Steps) -> Any:
        """The value there, None where there is none."""
        value = self.data
        for step in steps:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def path_text(steps: Steps) -> str:
    """`servers.weather.url`, `policy[0].permit.tools[1]`. Keys that could be misread are in quotes."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _PLAIN_KEY.fullmatch(step) else json.dumps(step))
    return text or "the file"


def read(text: str) -> Document:
    """Never raises: what is wrong is in `problems`, and `data` is what could be read nevertheless."""
    try:
        composer = _Composer(text)
        node = composer.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        return _unreadable(Problem(mark.line + 1, mark.column + 1, "YAML", _syntax(error)))
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        what = "holds a character that YAML does not take: remove it, or write it as an escape in double quotes"
        return _unreadable(Problem(len(before), len(before[-1]) + 1, "YAML", what))
    if node is None:
        what = "is empty: write at least `issuer:`; docs/configuration.md begins with an example that works"
        return _unreadable(Problem(1, 1, "the file", what))
    return _Reading(composer.refused).whole(node)


def _unreadable(problem: Problem) -> Document:
    return Document(None, {}, {}, {()}, [problem])


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if "'\\t'" in problem:
        return "a tab: indent with spaces"
    if "another document" in problem:
        return (
            "a second document begins here: one file holds one configuration, so remove the `---` line and what follows"
        )
    if "mapping values are not allowed" in problem:
        return (
            'a second `key:` where a value stands: put a text with a colon in quotes, as in `store: "memory:"`, or mend '
            "the indentation"
        )
    context = f"{error.context}, " if error.context else ""
    return f"{context}{problem}: mend it here or in the line above"


class _Composer(yaml.SafeLoader):
    """Composes nodes, constructs nothing. refused: what is wrong with a node, by its id()."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.refused: dict[int, str] = {}
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            node: yaml.Node | None = yaml.ScalarNode("alias", "", mark, mark)
            self.refused[id(node)] = "is an alias (`*name`): write the value out"
            return node
        self.anchors.clear()
        self._depth += 1
        if self._depth > _DEPTH:
            raise yaml.composer.ComposerError(None, None, f"more than {_DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self.refused[id(node)] = "has an anchor (`&name`): remove it, and write the value out wherever it is used"
        elif event.tag is not None:
            self.refused[id(node)] = "has a tag (`!name`): remove it; a text can be put in quotes"
        return node


class _Reading:
    """Plain values from the nodes of one file, and what there is to say about them."""

    def __init__(self, refused: Mapping[int, str]) -> None:
        self._refused = refused
        self._values: dict[Steps, Place] = {}
        self._keys: dict[Steps, Place] = {}
        self._spoiled: set[Steps] = set()
        self._problems: list[Problem] = []

    def whole(self, node: yaml.Node) -> Document:
        data = self._value(node, ())
        if not isinstance(data, dict) and not self._problems:
            self._spoil(node, (), "must be a mapping of keys, `issuer: https://...` and so on")
        return Document(data, self._values, self._keys, self._spoiled, self._problems)

    def _value(self, node: yaml.Node, steps: Steps) -> Any:
        self._values[steps] = _place(node)
        if (what := self._refused.get(id(node))) is not None:
            return self._spoil(node, steps, what)
        if isinstance(node, yaml.MappingNode):
            return dict(self._members(node, steps))
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._value(child, (*steps, index)) for index, child in enumerate(node.value))
        try:
            return _scalar(node)
        except ValueError as error:
            return self._spoil(node, steps, str(error))

    def _members(self, node: yaml.MappingNode, steps: Steps) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, steps, "has a key that is a list or a mapping: a key is a text")
                continue
            child = (*steps, str(key.value))
            if id(key) in self._refused:
                self._problem(key, child, self._refused[id(key)])
            elif key.tag == "tag:yaml.org,2002:merge":
                self._problem(key, child, "is a merge key: write the keys out")
            elif _SURROGATE.search(key.value):
                self._problem(key, child, _HALF)
            elif key.tag != "tag:yaml.org,2002:str":
                self._problem(key, child, "is a key that YAML does not read as a text: put it in quotes")
            elif child in self._keys:
                line, column = self._keys[child]
                self._problem(key, child, f"is there twice, first in line {line}, column {column}: keep one of them")
            else:
                self._keys[child] = _place(key)
                yield str(key.value), self._value(value, child)

    def _spoil(self, node: yaml.Node, steps: Steps, what: str) -> object:
        """Returns a value that is of no key's type."""
        self._problem(node, steps, what)
        self._spoiled.add(steps)
        return object()

    def _problem(self, node: yaml.Node, steps: Steps, what: str) -> None:
        self._problems.append(Problem(*_place(node), path_text(steps), what))


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.Node) -> str | int | float | bool | None:
    """Raises ValueError for a form that is read differently elsewhere."""
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    if _SURROGATE.search(text):
        raise ValueError(_HALF)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        if text in ("true", "false"):
            return text == "true"
        raise ValueError(
            f"`{text}` is a yes-or-no in YAML 1.1 and a text elsewhere: write true or false, or the text in quotes"
        )
    if kind == "int" and _DECIMAL.fullmatch(text):
        return int(text)
    if kind == "float" and _FRACTION.fullmatch(text):
        return float(text)
    what = "a date" if kind == "timestamp" else "a number in a form that not everybody reads"
    raise ValueError(f"is {what}: write a plain decimal number, or the text in quotes")
