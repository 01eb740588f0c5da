"""From an entry of `hooks:` to a hook that can be asked, or to what is wrong with the entry.

Only what an entry names is imported: a hook of Counterseal's own, one that an installed package offers as an entry point of the
group `counterseal.hooks`, or `module:Class`. A name is never looked for anywhere else, and one that two packages offer is none
(P-08). What is not exactly one kind of hook keeps the gateway from starting.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Literal

from counterseal.config.problems import nearest
from counterseal.gateway.registry import HOOKS
from counterseal.hooks.contained import cause
from counterseal.hooks.offered import Offered

GROUP: Final = "counterseal.hooks"

Kind = Literal["gate", "claim source", "observer"]

_METHODS: Final[Mapping[str, Kind]] = {"check": "gate", "claims": "claim source", "see": "observer"}
_OFFERED: Final = "offered"


class Unusable(ValueError):
    """An entry cannot be made a hook. problems: the way from the entry to what each is about, and what is wrong with it."""

    def __init__(self, *problems: tuple[tuple[str, ...], str]) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """One hook. method: the one that makes it of its kind."""

    kind: Kind
    method: Callable[[Any], Any]


def load(use: str, settings: Mapping[str, Any], offered: Offered) -> Loaded:
    """The hook that an entry means. Raises Unusable."""
    kind = _find(use)
    there = [name for name in _METHODS if callable(getattr(kind, name, None))]
    if len(there) != 1:
        has = " and ".join(f"`{name}`" for name in there) or "none of them"
        raise _not_usable(f"is no hook: its class needs exactly one of the methods {_quoted(_METHODS)} and has {has}")
    (name,) = there
    made = _make(kind, settings, offered)
    try:
        method = getattr(made, name)
        inspect.signature(method).bind(None)
    except BaseException:
        argument = "event" if name == "see" else "view"
        raise _not_usable(f"cannot be asked: write `async def {name}(self, {argument})`") from None
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise _not_usable(f"has a `{name}` that yields: write `return` with the answer")
    return Loaded(_METHODS[name], method)


def _not_usable(what: str) -> Unusable:
    return Unusable((("use",), what))


def _find(use: str) -> type:
    place = HOOKS.get(use, use if ":" in use else None) or _entry_point(use)
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise _not_usable(
                f"names a module that cannot be found, `{error.name}`: install it where the gateway is installed, or name its "
                "folder in PYTHONPATH"
            ) from None
        raise _not_usable(f"cannot be imported, because the module `{error.name}` is missing: install it") from None
    except BaseException as error:
        raise _not_usable(f"cannot be imported, because of {cause(error)}: mend the module") from None
    if found is None:
        raise _not_usable(f"names a class that is not there: `{module}` has no `{name}`")
    if not isinstance(found, type):
        raise _not_usable(f"is no class: `{name}` is {type(found).__name__}; name the class of the hook")
    return found


def _entry_point(use: str) -> str:
    offers = [one for one in metadata.entry_points(group=GROUP) if one.name == use]
    if len({one.value for one in offers}) > 1:
        raise _not_usable(
            "is offered by more than one installed package: write `module:Class` for the one that is meant"
        )
    for one in offers:
        return f"{one.module}:{one.attr}"
    names = [*HOOKS, *(one.name for one in metadata.entry_points(group=GROUP))]
    raise _not_usable(f"is not the name of a hook{nearest(use, names)}; a class of your own is written `module:Class`")


def _make(kind: type, settings: Mapping[str, Any], offered: Offered) -> Any:
    try:
        parameters = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        raise _not_usable("has a constructor that cannot be looked at: write it in Python") from None
    problems = list(_unfit(parameters, settings))
    if problems:
        raise Unusable(*problems)
    given = {**settings, _OFFERED: offered} if _OFFERED in parameters else dict(settings)
    try:
        return kind(**given)
    except ValueError as error:
        raise Unusable((("with",), f"is refused by the hook: {' '.join(str(error).split()):.500}")) from None
    except BaseException as error:
        raise Unusable((("with",), f"is refused by the hook, by {cause(error)}: mend one of them")) from None


def _unfit(
    parameters: Mapping[str, inspect.Parameter], settings: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {name: one for name, one in parameters.items() if one.kind in by_name and name != _OFFERED}
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    for name in settings:
        if name == _OFFERED or not (takes_all or name in known):
            yield ("with", name), f"is an unknown key{nearest(name, known)}"
    for name, one in known.items():
        if one.default is inspect.Parameter.empty and name not in settings:
            yield ("with",), f"lacks `{name}`, which this hook needs: add it"


def _quoted(names: Mapping[str, Any]) -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} and {last}"
