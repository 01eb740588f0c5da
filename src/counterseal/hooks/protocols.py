"""The three kinds of hook, told apart by what they can do. Each is one method over one frozen value.

    Gate.check(view)          before the call token: let pass, deny, or replace the arguments
    ClaimSource.claims(view)  after the last decision: add claims to the call token
    Observer.see(event)       after the call: know of it

A method may be a coroutine or not. A coroutine runs on the event loop and must not block it. One that is not runs in a thread,
so that it may (hooks/contained.py). Either has its time limit, and whatever it raises, returns by mistake or never returns
refuses the call. An observer can neither refuse nor delay one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from counterseal.hooks.view import Event, View

Headers = tuple[tuple[str, str], ...]
"""Headers that go to the server with the call, beside the gateway's own."""


@dataclass(frozen=True, slots=True)
class Pass:
    """As far as this gate goes, the call is made."""

    headers: Headers = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Deny:
    """The call is not made. message: what the caller reads, one line of at most 500 characters."""

    message: str


@dataclass(frozen=True, slots=True)
class Replace:
    """The call is made with these arguments instead, all of them. They are checked as if the caller had sent them, and decided
    about anew; gates that stand later see them, this one doesn't again."""

    arguments: Mapping[str, Any] = field(repr=False)
    headers: Headers = field(default=(), repr=False)


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Additions:
    """What the call token and the request get on top. claims: by names that the token does not have; no reserved one."""

    claims: Mapping[str, Any] = field(default_factory=_none, repr=False)
    headers: Headers = field(default=(), repr=False)


Answer = Pass | Deny | Replace


class Gate(Protocol):
    """Decides about calls that the policy permits."""

    def check(self, view: View, /) -> Answer | Awaitable[Answer]: ...


class ClaimSource(Protocol):
    """Knows more about a caller than its credential says."""

    def claims(self, view: View, /) -> Additions | Awaitable[Additions]: ...


class Observer(Protocol):
    """Is told of every call, after the fact."""

    def see(self, event: Event, /) -> Awaitable[None] | None: ...
