"""How many calls of one caller may be in flight, and what their bodies may hold: nobody gets all of a worker."""

from __future__ import annotations

from typing import Final

from counterseal.core.caller import Caller, Channel
from counterseal.core.limits import Limits
from counterseal.errors import BadCall, CallError

_Who = tuple[str, str | None, str, str | None, Channel | None, tuple[tuple[str, str], ...]]

_SMALL: Final = 16 * 1024
"""Bytes of a body that are not counted: nearly all are smaller, and a call has its ceiling anyway."""


class Place:
    """That of one call, or of one body on its way. Call it once, when that is over."""

    __slots__ = ("_admission", "_bytes", "_who")

    def __init__(self, admission: Admission, who: _Who) -> None:
        self._admission = admission
        self._who = who
        self._bytes = 0

    def holds(self, size: int) -> None:
        """So many bytes of a body are here. Raises BadCall `too_many`, CallError `overloaded`."""
        if size > _SMALL:
            self._admission.hold(self._who, size - self._bytes)
            self._bytes = size

    def __call__(self) -> None:
        self._admission.leave(self._who, self._bytes)


class Admission:
    """Counts calls from the moment that their caller is known until their last byte, with the bytes of their bodies.

    per_caller, of_all: how many bytes; None for those of requests.
    """

    def __init__(self, limits: Limits, *, per_caller: int | None = None, of_all: int | None = None) -> None:
        self._limits = limits
        self._per_caller = limits.bodies_per_caller_bytes if per_caller is None else per_caller
        self._of_all = limits.bodies_per_worker_bytes if of_all is None else of_all
        self._calls: dict[_Who, int] = {}
        self._bytes: dict[_Who, int] = {}
        self._held = 0

    def enter(self, caller: Caller, size: int = 0) -> Place:
        """Count one call in; what is returned counts it out. size: bytes of its body. Raises BadCall `too_many`, CallError
        `overloaded`."""
        named = tuple(caller.headers.items()) if caller.headers else ()
        who = (caller.kind, caller.issuer, caller.client_id, caller.subject, caller.channel, named)
        count = self._calls.get(who, 0)
        if count >= self._limits.calls_per_caller:
            raise BadCall("too_many", f"{count} calls of this caller are in flight already")
        place = Place(self, who)
        if size > _SMALL:
            place.holds(size)
        self._calls[who] = count + 1
        return place

    def hold(self, who: _Who, more: int) -> None:
        """For `Place`. more: bytes."""
        held = self._bytes.get(who, 0) + more
        if held > self._per_caller:
            raise BadCall(
                "too_many", f"the bodies of this caller's calls would have more than {self._per_caller} bytes"
            )
        if self._held + more > self._of_all:
            raise CallError("overloaded", "the gateway holds as much of bodies as it may")
        self._bytes[who] = held
        self._held += more

    def leave(self, who: _Who, size: int) -> None:
        """For `Place`. size: the bytes that it held."""
        if size:
            self._held -= size
            if self._bytes[who] == size:
                del self._bytes[who]
            else:
                self._bytes[who] -= size
        if self._calls[who] == 1:
            del self._calls[who]
        else:
            self._calls[who] -= 1
