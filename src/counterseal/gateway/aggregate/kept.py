"""What servers have said that may be said again for a while: their lists, and what they say of themselves.

* Kept for as long as the server allows, and never longer than the ceiling.
* What a server calls public is for every caller; everything else for the one caller who asked, whose credential still says the
  same of him. Both are for clients that declare the same capabilities.
* A list is kept as the server has it. What a caller may see of it is decided for each caller (`visible`).
* A list in which a tool was judged as nobody would judge it now (`server_pins.py`) is not said again.
* What a server has changed since is forgotten, and so is what was asked before it said so.
* Bounded in bytes: what was used longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from counterseal.clock import Clock
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.wire.aggregate.lists import Item

_CALLERS: Final = 16
"""For how many callers it is remembered what they see of a list."""
_ENTRY: Final = 512
"""Bytes that an entry takes besides what it holds."""

Key = tuple[str, str, bytes, bytes]
"""Server, method, what the client declared, and whose it is: empty for everybody's."""


class Sized(Protocol):
    @property
    def size(self) -> int:
        """Bytes."""
        ...


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True, slots=True)
class Asked:
    """Where something is kept. owner: the caller's fingerprint. caller: as he is at this server. held: tools of the server that
    are held back."""

    server: str
    method: str
    variant: bytes
    owner: bytes = field(repr=False)
    caller: Caller
    held: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    until: float
    caller: Caller | None
    held: frozenset[str]


@dataclass(slots=True)
class Listed:
    """A whole list of one server, in its order. text_bytes: of all its items."""

    items: tuple[Item, ...]
    text_bytes: int
    _seen: list[tuple[Caller, Sequence[Item]]] = field(default_factory=list, repr=False)

    @property
    def size(self) -> int:
        """With what is remembered of callers, at most."""
        return self.text_bytes + 8 * _CALLERS * len(self.items)

    def visible(self, caller: Caller, may: Callable[[str], bool]) -> Sequence[Item]:
        """Those that this caller may use. may: the policy's word about a name, which is the same for the same caller."""
        for index, (seen_by, seen) in enumerate(self._seen):
            if seen_by is caller or seen_by == caller:
                if index:
                    self._seen.insert(0, self._seen.pop(index))
                return seen
        found = tuple(item for item in self.items if may(item.name))
        self._seen.insert(0, (caller, found))
        del self._seen[_CALLERS:]
        return found


class Kept:
    """One worker's."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._entries: OrderedDict[Key, _Entry[Any]] = OrderedDict()
        self._of: dict[tuple[str, str], set[Key]] = {}
        """By server and method: what is to be forgotten, without looking for it (a server says so as often as it likes)."""
        self._bytes = 0
        self._changes: dict[tuple[str, str], int] = {}

    @property
    def size(self) -> int:
        """Bytes."""
        return self._bytes

    def changes(self, server: str, method: str) -> int:
        """How often this server has changed this list: what is asked for now is kept only if that is still so then."""
        return self._changes.get((server, method), 0)

    def changed(self, server: str, method: str) -> None:
        """Forget what there is: the server has said that it is not so any more."""
        self._changes[server, method] = self.changes(server, method) + 1
        for changed in (method, "resources/templates/list") if method == "resources/list" else (method,):
            for key in tuple(self._of.get((server, changed), ())):
                self._drop(key)

    def get(self, asked: Asked) -> tuple[Any, int] | None:
        """What may be said again, and for how many milliseconds more."""
        for key in (_key(asked, b""), _key(asked, asked.owner)):
            entry = self._entries.get(key)
            if entry is None:
                continue
            left = entry.until - self._clock.monotonic()
            if left <= 0 or entry.held != asked.held:
                self._drop(key)
            elif entry.caller is None or entry.caller is asked.caller or entry.caller == asked.caller:
                self._entries.move_to_end(key)
                return entry.value, int(left * 1000)
        return None

    def keep(self, asked: Asked, value: Sized, ttl_ms: int, *, shared: bool, changes: int) -> None:
        """changes: as it was when the server was asked."""
        seconds = min(ttl_ms / 1000, self._limits.kept_lists_seconds)
        size = value.size + _ENTRY + len(asked.variant)
        if seconds <= 0 or changes != self.changes(asked.server, asked.method) or size > self._limits.kept_lists_bytes:
            return
        key = _key(asked, b"" if shared else asked.owner)
        if key in self._entries:
            self._drop(key)
        while self._bytes + size > self._limits.kept_lists_bytes:
            self._drop(next(iter(self._entries)))
        caller = None if shared else asked.caller
        self._entries[key] = _Entry(value, self._clock.monotonic() + seconds, caller, asked.held)
        self._of.setdefault(key[:2], set()).add(key)
        self._bytes += size

    def _drop(self, key: Key) -> None:
        self._of[key[:2]].discard(key)
        self._bytes -= self._entries.pop(key).value.size + _ENTRY + len(key[2])


def _key(asked: Asked, owner: bytes) -> Key:
    return asked.server, asked.method, asked.variant, owner
