"""How many calls of one caller may be in flight: nobody gets all of a worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from counterseal.core.caller import Caller, Channel
from counterseal.core.limits import Limits
from counterseal.errors import BadCall

_Who = tuple[str, str | None, str, str | None, Channel | None, tuple[tuple[str, str], ...]]


class Admission:
    """Counts calls from the moment that their caller is known until their last byte."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.calls_per_caller
        self._calls: dict[_Who, int] = {}

    def enter(self, caller: Caller) -> Callable[[], None]:
        """Count one call in; what is returned counts it out, and is called once. Raises BadCall `too_many`."""
        named = tuple(caller.headers.items()) if caller.headers else ()
        who = (caller.kind, caller.issuer, caller.client_id, caller.subject, caller.channel, named)
        count = self._calls.get(who, 0)
        if count >= self._limit:
            raise BadCall("too_many", f"{count} calls of this caller are in flight already")
        self._calls[who] = count + 1
        return partial(self._leave, who)

    def _leave(self, who: _Who) -> None:
        if self._calls[who] == 1:
            del self._calls[who]
        else:
            self._calls[who] -= 1
