"""One method of a hook, called so that nothing it does reaches further than its answer (P-01).

* Whatever it raises is a `HookFailed`: an error, a cancellation, `sys.exit`.
* It has a time limit. What goes on after it is cancelled and not waited for; a hook of which too many calls never ended is not
  called any more. Time in which the event loop stood still is not the hook's, so it is waited for in parts: of a machine that is
  paused, one part is all that passes.
* A coroutine runs on the event loop, in a task of its own. One that never gives way blocks the whole worker, and nothing in the
  same process could end it. A method that is no coroutine runs in a thread, where blocking is its own affair.
* The answer is checked there too, because looking at it may run code of the hook's.

What is told of an error is its type and place and never its text, which may hold anything.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from counterseal.hooks.accept import NotAcceptable
from counterseal.hooks.threads import Busy, Threads

Seen = TypeVar("Seen")
Answered = TypeVar("Answered")

_THREADS: Final = 8
"""Of one hook that is no coroutine."""
_PARTS: Final = 4
"""Of its time."""
_STUCK: Final = 16
"""Calls of one hook that never ended, after which it is not called any more."""

_Outcome = tuple[Answered | None, str | None]
"""The answer, or why there is none."""


class HookFailed(Exception):
    """A hook gave no answer that can be used. The text says why."""


class Contained(Generic[Seen, Answered]):
    """name: of the threads. method: of a hook, of one argument. accept: checks its answer; raises NotAcceptable. seconds: its
    time limit."""

    def __init__(
        self, name: str, method: Callable[[Seen], Any], accept: Callable[[Any], Answered], seconds: float
    ) -> None:
        self._method = method
        self._accept = accept
        self._seconds = seconds
        self._stuck: set[asyncio.Future[Any]] = set()
        threads: Threads[_Outcome[Answered]] | None = None
        if not inspect.iscoroutinefunction(method):
            threads = Threads(f"hook {name}", _THREADS)
        self._threads = threads

    async def __call__(self, seen: Seen) -> Answered:
        """The answer, checked. Raises HookFailed."""
        if len(self._stuck) >= _STUCK:
            raise HookFailed(f"{_STUCK} of its calls never ended")
        try:
            running = self._start(seen)
        except Busy:
            raise HookFailed("too many of its calls wait for a thread") from None
        try:
            for _ in range(_PARTS):
                await asyncio.wait((running,), timeout=self._seconds / _PARTS)
                if running.done():
                    break
        except asyncio.CancelledError:
            self._leave(running)
            raise
        if not running.done():
            self._leave(running)
            raise HookFailed(f"it gave no answer within {self._seconds:g} s")
        if running.cancelled():  # it cancelled its own task and went on
            raise HookFailed("it cancelled itself")
        answer, why = running.result()
        if why is not None:
            raise HookFailed(why)
        return answer  # type: ignore[return-value]

    def _start(self, seen: Seen) -> asyncio.Future[_Outcome[Answered]]:
        if self._threads is not None:
            return self._threads.run(lambda: self._outcome(seen))
        return asyncio.ensure_future(self._awaited(self._method(seen)))

    def _outcome(self, seen: Seen) -> _Outcome[Answered]:
        try:
            return self._accept(self._method(seen)), None
        except BaseException as error:
            return None, cause(error)

    async def _awaited(self, running: Awaitable[Any]) -> _Outcome[Answered]:
        try:
            return self._accept(await running), None
        except BaseException as error:
            return None, cause(error)

    def _leave(self, running: asyncio.Future[Any]) -> None:
        running.cancel()
        if not running.done():
            self._stuck.add(running)
            running.add_done_callback(self._stuck.discard)


def cause(error: BaseException) -> str:
    """What went wrong, without the words of an error that somebody else wrote."""
    if isinstance(error, NotAcceptable):
        return str(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" at {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}"
    return f"{type(error).__name__:.80}{place}"
