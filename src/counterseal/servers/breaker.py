"""A server that cannot be reached is left alone for a while, so that nobody waits for what is known to fail (a circuit breaker).

* After `server_failure_count` failures in a row, calls are refused at once for 1 second, then 2, 4 and so on to a ceiling. When
  that is over, one call tries; the others are refused until it is known how that ended.
* A failure is one of reaching the server: no connection, a broken one, no headers in time. Whatever it answers, it was reached.
* As long as all failures in a row are of one caller's calls, it is left alone by him only: a call can hold up or break its own
  connection by what it asks for, and that must not keep the others from the server.
* Nothing is sent again: each call is tried by its caller or not at all. A call costs two comparisons and no timer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.errors import ServerError
from counterseal.servers.http import Http, Request, Response

_FIRST_SECONDS: Final = 1.0

Who = tuple[str, str | None, str, str | None]
"""A caller, by what he himself has proven."""


def who_is(caller: Caller | None) -> Who | None:
    """None stands for whatever no caller asked for."""
    return None if caller is None else (caller.kind, caller.issuer, caller.client_id, caller.subject)


class Breaker:
    """Of one server, in one worker. now: a clock that never steps backward."""

    __slots__ = ("_failures", "_limits", "_now", "_of", "_rests", "_trial", "_until", "_why")

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._failures = 0
        self._of: set[Who | None] = set()
        """Whose calls failed in this row: nobody's, one caller's, or two, which stand for everybody."""
        self._rests = 0
        self._until: float | None = None
        self._trial = False
        self._why = ""

    def enter(self, who: Who | None) -> bool:
        """Whether this call is the one that tries. Raises ServerError where it is too early."""
        if self._until is None or (len(self._of) == 1 and who not in self._of):
            return False
        left = self._until - self._now()
        if left > 0 or self._trial:
            raise self._resting(left)
        self._trial = True
        return True

    def worked(self) -> None:
        """The server answered."""
        if self._failures:
            self._failures = self._rests = 0
            self._of.clear()
            self._until, self._trial = None, False

    def failed(self, who: Who | None, why: str, trial: bool) -> None:
        """It could not be reached. trial: what `enter` said."""
        trial = trial and self._until is not None  # somebody else may have reached it meanwhile
        if self._until is not None and not trial and (who in self._of or len(self._of) > 1):
            return  # it began before the rest did, and says nothing new
        self._failures += 1
        self._why = why
        if len(self._of) < 2:
            self._of.add(who)
        if trial:
            self._trial = False
        if trial or (self._until is None and self._failures >= self._limits.server_failure_count):
            seconds = min(self._limits.server_rest_seconds, _FIRST_SECONDS * 2 ** min(self._rests, 30))
            self._rests += 1
            self._until = self._now() + seconds

    def given_up(self, trial: bool) -> None:
        """Whoever called did not wait for the end. Nothing is known of the server by that."""
        if trial:
            self._trial = False

    def healthy(self) -> str | None:
        """What is wrong while it is left alone; None as long as it is not."""
        if self._until is None:
            return None
        left = math.ceil(self._until - self._now())
        when = f"in {left} s" if left > 0 else "by the next call"
        whose = " by one caller" if len(self._of) == 1 else ""
        return f"not reached {self._failures} times in a row{whose}, tried again {when}: {self._why}"

    def _resting(self, left: float) -> ServerError:
        seconds = max(1, math.ceil(left))
        return ServerError(
            "server_failing",
            f"the server could not be reached {self._failures} times in a row and is left alone for {seconds} s",
            detail=self._why,
            headers=((b"retry-after", str(seconds).encode()),),
        )


class GuardedHttp:
    """HTTP to one server, as long as that is worth trying."""

    def __init__(self, http: Http, breaker: Breaker, limits: Limits) -> None:
        self._http = http
        self._breaker = breaker
        self._patience = limits.server_idle_seconds

    async def send(self, request: Request) -> Response:
        """Raises ServerError `server_unreachable`, `server_timeout`, `server_failing`."""
        who = who_is(request.caller)
        trial = self._breaker.enter(who)
        try:
            response = await (self._try(request) if trial else self._http.send(request))
        except ServerError as error:
            self._breaker.failed(who, error.detail or error.message, trial)
            raise
        except BaseException:
            self._breaker.given_up(trial)
            raise
        self._breaker.worked()
        return response

    async def _try(self, request: Request) -> Response:
        """A stream may be quiet for long, but everybody waits for this one."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._http.send(request)
        except TimeoutError:
            detail = "no headers in time"
            raise ServerError("server_timeout", "the server did not answer in time", detail=detail) from None
