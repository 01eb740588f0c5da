"""What a translation comes to: our document, where each part of it came from, and what there is to say about the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from counterseal.config.reader import Document, Place, Problem, Steps, path_text
from counterseal.config.secret import Secret

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX: Final = "os.environ/"

_ORDER: Final = ("issuer", "listen", "store", "keys", "callers", "signer", "servers", "litellm", "policy", "audit")

Kind = Literal["left out", "safer", "secret"]


class Note(NamedTuple):
    """One thing to be told. kind: `left out` for what is not taken over, `safer` for what LiteLLM would let through,
    `secret` for one that stands in the file. path: LiteLLM's key. place: its line and column. what: never holds a secret."""

    kind: Kind
    path: str
    place: Place
    what: str


@dataclass(frozen=True, slots=True)
class Translated:
    """document: ours, with the places of LiteLLM's; its problems are those of the translation. comments: what is to be said of a
    part of it. held: secrets that stand in the file, by the reference that stands for them."""

    document: Document
    comments: Mapping[Steps, str]
    notes: tuple[Note, ...]
    held: Mapping[str, Secret] = field(repr=False)


class Writing:
    """Our document while it is made. litellm: the document that it is made of. environment: the variables of the process."""

    def __init__(self, litellm: Document, environment: Mapping[str, str]) -> None:
        self._litellm = litellm
        self._environment = environment
        self._data: dict[str, Any] = {}
        self._origins: dict[Steps, Steps] = {}
        self._comments: dict[Steps, str] = {}
        self._notes: list[Note] = []
        self._problems: list[Problem] = []
        self._held: dict[str, Secret] = {}
        self._taken = set(_variables(litellm.data))

    # ---- what LiteLLM's file has ----

    def at(self, *steps: str | int) -> Any:
        return self._litellm.at(steps)

    def mapping(self, *steps: str | int) -> Mapping[str, Any]:
        """The mapping there; an empty one, with a problem, for anything else that is not empty."""
        value = self.at(*steps)
        if value is None or isinstance(value, dict):
            return value or {}
        self.wrong(steps, "must be a mapping: write `key: value` lines below it")
        return {}

    def texts(self, *steps: str | int) -> tuple[str, ...]:
        """The list of texts there, each with what its variable holds."""
        value = self.at(*steps)
        if value is None:
            return ()
        if not isinstance(value, tuple):
            self.wrong(steps, "must be a list: write `[one, two]`, or one a line after `-`")
            return ()
        found = (self.text(*steps, index) for index in range(len(value)))
        return tuple(text for text in found if text is not None)

    def text(self, *steps: str | int) -> str | None:
        """The text there, or what the variable holds that `os.environ/NAME` names. None: nothing, or it is no text, which is
        told."""
        value = self.at(*steps)
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(
                steps, "must be a text: put it in quotes" if isinstance(value, int | float) else "must be a text"
            )
            return None
        name = self.variable(value, steps)
        if name is None:
            return value
        held = self._environment.get(name)
        if held is None:
            self.wrong(steps, f"names the environment variable {name}, which is not set: set it")
        return held

    def variable(self, value: str, steps: Steps) -> str | None:
        """The name in `os.environ/NAME`; None for any other text."""
        if not value.startswith(_PREFIX):
            return None
        name = value.removeprefix(_PREFIX)
        if _VARIABLE.fullmatch(name):
            return name
        self.wrong(steps, "must name an environment variable after `os.environ/`, of letters, digits and underscores")
        return "_"

    def variable_of(self, name: str) -> str | None:
        """What a variable holds that LiteLLM reads; an empty one is none."""
        return self._environment.get(name) or None

    # ---- what becomes of it ----

    def put(self, steps: Steps, value: Any, origin: Steps = (), comment: str = "") -> None:
        """Write a value into our document. origin: what it comes from; nothing for what LiteLLM's file does not say."""
        part: Any = self._data
        for step in steps[:-1]:
            part = part.setdefault(step, {})
        part[steps[-1]] = value
        self._origins[steps] = origin
        if comment or origin:
            self._comments[steps] = comment or path_text(origin)

    def written(self, *steps: str | int) -> Any:
        """What `put` wrote there; None where it wrote nothing."""
        part: Any = self._data
        for step in steps:
            part = part.get(step) if isinstance(part, dict) else None
        return part

    def put_list(
        self, steps: Steps, values: Sequence[Mapping[str, Any]], origin: Steps, origins: Sequence[Mapping[str, Steps]]
    ) -> None:
        """The same for a list of mappings. origins: what each key of each comes from."""
        self.put(steps, list(values), origin)
        for index, keys in enumerate(origins):
            for key, place in keys.items():
                self._origins[(*steps, index, key)] = place
            self._origins[(*steps, index)] = next(iter(keys.values()))
            self._comments[(*steps, index)] = path_text(next(iter(keys.values())))

    def secret(self, value: str, hint: str, origin: Steps) -> str:
        """The reference for a secret, whether a variable or the file itself holds it. hint: what a variable for it is to be
        called."""
        name = self.variable(value, origin)
        if name is not None:
            return f"env:{name}"
        if _PREFIX in value:
            self.wrong(
                origin,
                "has `os.environ/` inside of other text, which LiteLLM sends as it is: let a variable hold the whole value, and "
                "write `os.environ/NAME` alone",
            )
        name = self._free(hint)
        self._held[f"env:{name}"] = Secret(value)
        self.leave_out(
            origin,
            f"holds a secret: put it into the environment variable {name} before you use the migrated file",
            "secret",
        )
        return f"env:{name}"

    def _free(self, hint: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", hint).strip("_").upper() or "SECRET"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        name, number = plain, 2
        while name in self._taken:
            name, number = f"{plain}_{number}", number + 1
        self._taken.add(name)
        return name

    def leave_out(self, origin: Steps, what: str, kind: Kind = "left out") -> None:
        note = Note(kind, path_text(origin) if origin else "the file", self._litellm.place(origin), what)
        if note not in self._notes:
            self._notes.append(note)

    def safer(self, origin: Steps, what: str) -> None:
        """LiteLLM would let this through."""
        self.leave_out(origin, what, "safer")

    def wrong(self, origin: Steps, what: str) -> None:
        problem = Problem(*self._litellm.place(origin), path_text(origin), what)
        if problem not in self._problems:
            self._problems.append(problem)

    def broken(self, problems: Sequence[Problem]) -> Translated:
        """Nothing but what is wrong with the file itself."""
        return Translated(replace(self._litellm, problems=tuple(problems)), {}, (), {})

    def finished(self) -> Translated:
        """Everything that was written."""
        data = {key: _frozen(self._data[key]) for key in _ORDER if key in self._data}
        values, paths = {}, {}
        for steps in _every(data, ()):
            origin = next((self._origins[known] for known in _prefixes(steps) if known in self._origins), ())
            values[steps] = self._litellm.place(origin)
            paths[steps] = path_text(origin) if origin else path_text(steps)
        document = Document(data, values, dict(values), frozenset(), tuple(self._problems), paths)
        return Translated(document, self._comments, tuple(self._notes), self._held)


def _frozen(value: Any) -> Any:
    """As the reader makes it: dicts and tuples."""
    if isinstance(value, Mapping):
        return {key: _frozen(child) for key, child in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _every(value: Any, steps: Steps) -> Iterator[Steps]:
    yield steps
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, tuple):
        items = enumerate(value)
    for step, child in items:
        yield from _every(child, (*steps, step))


def _prefixes(steps: Steps) -> Iterator[Steps]:
    """The longest first."""
    return (steps[:length] for length in range(len(steps), 0, -1))


def _variables(value: Any) -> Iterator[str]:
    """Every name in `os.environ/NAME`."""
    if isinstance(value, str) and value.startswith(_PREFIX):
        yield value.removeprefix(_PREFIX)
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ():
        yield from _variables(child)
