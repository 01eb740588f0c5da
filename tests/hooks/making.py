"""Hooks that are put together by hand, and bad ones of every kind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from counterseal.core.limits import LIMITS, Limits
from counterseal.core.patterns import Patterns
from counterseal.hooks import Additions, Deny, Pass, Replace
from counterseal.hooks.accept import additions, answer
from counterseal.hooks.contained import Contained
from counterseal.hooks.runner import Hook, Hooks, Mirrors
from counterseal.hooks.scope import Scope

SOON = 0.2
"""A time limit, in seconds, for hooks that are to reach it."""
LATE = 30.0
"""One for hooks that are not."""


class Says:
    """A gate that always answers the same, and remembers what it saw."""

    def __init__(self, said: Any = None) -> None:
        self.said = Pass() if said is None else said
        self.seen: list[Any] = []

    async def check(self, view: Any) -> Any:
        self.seen.append(view)
        return self.said


class Adds:
    """A claim source that always answers the same, and remembers what it saw."""

    def __init__(self, said: Any) -> None:
        self.said = said
        self.seen: list[Any] = []

    async def claims(self, view: Any) -> Any:
        self.seen.append(view)
        return self.said


def scope(**patterns: Sequence[str]) -> Scope:
    """servers, tools, methods: patterns."""
    return Scope(**{name: Patterns.of(texts) for name, texts in patterns.items()})


def hook(
    made: Any,
    name: str = "mine",
    *,
    headers: Sequence[str] = (),
    seconds: float = LATE,
    limits: Limits = LIMITS,
    **only: Any,
) -> Hook:
    """A gate or a claim source as it would be configured. only: its scope."""
    accept: Callable[[Any], Any] = partial(answer if hasattr(made, "check") else additions, limits=limits)
    ask = Contained(name, made.check if hasattr(made, "check") else made.claims, accept, seconds)
    return Hook(name, f"hooks {name}", scope(**only), tuple(header.encode() for header in headers), ask)


def hooks(
    *hooks: Hook,
    mirrors: Mirrors = lambda server, tool: None,
    taken: Mapping[str, Any] = MappingProxyType({"weather": frozenset({"authorization"})}),
    limits: Limits = LIMITS,
) -> Hooks:
    """All of them in this order; which are gates is told by what they accept."""
    gates = [one for one in hooks if one.ask._accept.func is answer]  # type: ignore[attr-defined]
    sources = [one for one in hooks if one not in gates]
    return Hooks(gates, sources, mirrors=mirrors, taken=taken, limits=limits)


# ---- the menu of what hooks do wrong (P-01) ----------------------------------------------------------------------------


class _Bad(BaseException):
    """An error that is no Exception."""


class _Sly(Pass):
    """Looks like an answer."""


async def _raises(view: Any) -> Any:
    raise ValueError("canary-of-an-error")


async def _raises_base(view: Any) -> Any:
    raise _Bad


async def _exits(view: Any) -> Any:
    sys.exit(0)


async def _interrupts(view: Any) -> Any:
    raise KeyboardInterrupt


async def _cancelled(view: Any) -> Any:
    raise asyncio.CancelledError


async def _cancels_itself(view: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return Pass()


async def _cancels_itself_and_waits(view: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def _hangs(view: Any) -> Any:
    await asyncio.Event().wait()


async def _awaits_for_ever(view: Any) -> Any:
    while True:
        await asyncio.sleep(0)


async def _recurses(view: Any) -> Any:
    return await _recurses(view)


async def _is_deep(view: Any) -> Any:
    arguments: Any = {}
    for _ in range(1000):
        arguments = {"a": arguments}
    return Replace(arguments)


async def _is_a_circle(view: Any) -> Any:
    arguments: dict[str, Any] = {}
    arguments["a"] = arguments
    return Replace(arguments)


async def _is_wide(view: Any) -> Any:
    return Replace({"a": [None] * (LIMITS.json_members + 1)})


async def _is_long(view: Any) -> Any:
    return Replace({"a": "x" * (LIMITS.body_bytes + 1)})


class _Endless(dict[str, Any]):
    def items(self) -> Any:
        while True:
            yield "a", 1


async def _is_endless(view: Any) -> Any:
    return Replace(MappingProxyType(_Endless()))


async def _mutates_arguments(view: Any) -> Any:
    view.call.arguments["city"] = "Rome"
    return Pass()


async def _mutates_deeper(view: Any) -> Any:
    view.call.arguments["deep"]["list"].append("x")
    return Pass()


async def _mutates_the_caller(view: Any) -> Any:
    view.caller.metadata["tenant"] = "other"
    return Pass()


async def _mutates_the_view(view: Any) -> Any:
    view.caller = None
    return Pass()


def _sync_raises(view: Any) -> Any:
    raise ValueError("canary-of-an-error")


def _sync_exits(view: Any) -> Any:
    sys.exit(3)


def _sync_hangs(view: Any) -> Any:
    threading.Event().wait(60)


def _sync_gives_a_coroutine(view: Any) -> Any:
    return _hangs(view)


async def _gives(said: Any, view: Any) -> Any:
    return said


ANSWERS: Mapping[str, Any] = {
    "None": None,
    "True": True,
    "a text": "pass",
    "the class": Pass,
    "a subclass": _Sly(),
    "a dict": {"pass": True},
    "what a claim source gives": Additions(),
    "headers None": Pass(headers=None),  # type: ignore[arg-type]
    "headers of one text": Pass(headers=("X-A",)),  # type: ignore[arg-type]
    "arguments None": Replace(None),  # type: ignore[arg-type]
    "arguments a list": Replace([]),  # type: ignore[arg-type]
    "arguments with an object": Replace({"a": object()}),
    "arguments with bytes": Replace({"a": b"x"}),
    "arguments with a set": Replace({"a": {1}}),
    "arguments with NaN": Replace({"a": float("nan")}),
    "arguments with infinity": Replace({"a": float("inf")}),
    "arguments with 2^53 + 1": Replace({"a": 2**53 + 1}),
    "arguments with half a character": Replace({"a": "\ud800"}),
    "arguments with a number for a name": Replace({1: "a"}),  # type: ignore[dict-item]
}

BAD: Mapping[str, Callable[[Any], Any]] = {
    **{
        one.__name__.strip("_"): one
        for one in (
            _raises,
            _raises_base,
            _exits,
            _interrupts,
            _cancelled,
            _cancels_itself,
            _cancels_itself_and_waits,
            _hangs,
            _awaits_for_ever,
            _recurses,
            _is_deep,
            _is_a_circle,
            _is_wide,
            _is_long,
            _is_endless,
            _mutates_arguments,
            _mutates_deeper,
            _mutates_the_caller,
            _mutates_the_view,
            _sync_raises,
            _sync_exits,
            _sync_hangs,
            _sync_gives_a_coroutine,
        )
    },
    **{f"gives {what}": partial(_gives, said) for what, said in ANSWERS.items()},
}


class Acts:
    """A gate that does something of the menu."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.check = act


DENY_ALL = Says(Deny("no"))
