"""Where entries go: a folder of chained files, or a list in memory.

`FileSink` on the event loop hands entries in batches to one thread, which alone touches the disk:

* What arrives while a batch is being written goes out together as the next one, so a busy gateway pays once for many.
* A batch that failed, or did not come back in time, makes the sink failed. From then on `write` refuses at once; once a
  second the sink tries a new file by itself (nobody may be calling any more), and is well again when that worked.
* Posted entries outlive a failure: they wait, up to a ceiling, and go into the new file.
* A disk that hangs holds the thread, never the event loop. The thread is a daemon, so it doesn't hold the process either.
* Time in which the loop itself stood still is not the disk's: on a machine that is paused the thread stands still with it, and
  what it has done since then nobody has seen. So time is looked at in parts, and a part that came late counts as if it had not.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from counterseal import __version__
from counterseal.audit import chain
from counterseal.audit.chainfile import ChainFiles, Fsync, NotWritten, create, why_not_in
from counterseal.clock import Clock
from counterseal.core.limits import LIMITS
from counterseal.core.value import Value
from counterseal.errors import CannotTell, ConfigError
from counterseal.files import check_own_folder

RETRY_SECONDS: Final = 1.0
GATHER_TURNS: Final = 8
"""For how many turns of the loop a batch waits at the most, as long as each turn brings it another entry."""
LOOKS: Final = 4
"""In so many parts the time of a batch is looked at."""
KEPT_ENTRIES: Final = 10_000
"""How many posted entries wait for a sink that has failed. Each is the end of a call, so there are not many."""

_log = logging.getLogger(__name__)


class _Item(Value, frozen=True):
    """done: who waits for it until `due` (as `_now` tells time); None for a posted entry, which is never due."""

    time: float
    entry: bytes
    due: float
    done: asyncio.Future[None] | None


class _Batch(NamedTuple):
    """due: the time, as `_now` tells it, by which the thread should be back with it."""

    items: Sequence[_Item]
    due: float
    closing: bool


class FileSink:
    """A sink of one process into a folder. Call `start` first. For one event loop.

    issuer: whose records these are; the first line of each file says it. seconds: how long an entry may take.
    retry_seconds: how long to wait before a new file is tried. open_file: as ChainFiles takes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        issuer: str,
        fsync: Fsync = "none",
        seconds: float = LIMITS.audit_seconds,
        retry_seconds: float = RETRY_SECONDS,
        open_file: Callable[[Path], int] = create,
    ) -> None:
        about = {"gateway": __version__, "issuer": issuer}
        self._files = ChainFiles(folder, about, clock=clock, fsync=fsync, open_file=open_file)
        self._folder = folder
        self._wall = clock.wall
        self._seconds = seconds
        self._retry_seconds = retry_seconds
        self._problem: str | None = "not started"
        self._pending: list[_Item] = []
        self._flight: _Batch | None = None
        self._scheduled = False
        self._lost = 0
        self._to_thread: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._watch: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._stood_still = 0.0
        self._scheduled_at = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Open the first file. Raises ConfigError when that fails or takes too long, or where others could write records, too."""
        _check_others(self._folder)
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        threading.Thread(target=self._serve, name="audit", daemon=True).start()
        self._hand_over()
        await self._within_time(self._opened)
        if self._problem is not None:
            problem = self._problem if self._opened.done() else f"no answer in {self._seconds:g} s"
            await self.close()
            raise _not_written(self._folder, problem)

    def write(self, entry: Mapping[str, Any]) -> Awaitable[None]:
        if self._problem is not None:
            return _refuse(self._problem)
        done: asyncio.Future[None] = self._loop.create_future()
        self._take(entry, done)
        return done

    def post(self, entry: Mapping[str, Any]) -> None:
        if self._ended is not None or self._opened is None:
            raise _unavailable("the sink is closed" if self._ended is not None else "not started")
        if self._problem is not None and len(self._pending) >= KEPT_ENTRIES:
            self._lost += 1
            return
        self._take(entry, None)

    def healthy(self) -> str | None:
        return self._problem

    async def close(self) -> None:
        if self._ended is not None or self._opened is None:
            return
        self._ended = self._loop.create_future()
        self._problem = "the sink is closed"
        # Behind the batch that the thread may have in hand.
        last = self._batch(closing=True)
        self._to_thread.put(last)
        self._to_thread.put(None)
        await self._within_time(self._ended)
        if not self._ended.done():
            self._fail(self._problem, [*(self._flight.items if self._flight else ()), *last.items])
        for timer in (self._watch, self._retry):
            if timer is not None:
                timer.cancel()

    def _take(self, entry: Mapping[str, Any], done: asyncio.Future[None] | None) -> None:
        try:
            text = chain.encode(entry)
        except ValueError as error:
            raise _unavailable(str(error)) from None
        due = 0.0 if done is None else self._now() + self._seconds
        self._pending.append(_Item(self._wall(), text, due, done))
        if self._flight is None and not self._scheduled and self._problem is None:
            self._schedule()

    def _schedule(self) -> None:
        """Not at once: the tasks that are ready now may have entries for the same batch, and those that they wake. A batch costs
        two changes of thread, however many entries it has. A loop without work has no turn to wait for."""
        self._scheduled, self._scheduled_at = True, self._loop.time()
        self._loop.call_soon(self._gather, len(self._pending), GATHER_TURNS)

    def _gather(self, before: int, turns: int) -> None:
        if len(self._pending) > before and turns:
            self._loop.call_soon(self._gather, len(self._pending), turns - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._scheduled and self._watch is None:  # a look that is due counts it itself
            self._stood_still += self._loop.time() - self._scheduled_at
        self._scheduled = False
        if self._flight is not None or self._ended is not None:
            return
        self._flight = self._batch(closing=False)
        self._to_thread.put(self._flight)
        if self._watch is None:
            self._look_later(self._flight.due)

    def _batch(self, *, closing: bool) -> _Batch:
        items, self._pending = self._pending, []
        for item in items:
            if item.done is not None:
                return _Batch(items, item.due, closing)
        return _Batch(items, self._now() + self._seconds, closing)

    def _serve(self) -> None:
        """The thread."""
        while (batch := self._to_thread.get()) is not None:
            whole, problem = len(batch.items), None
            try:
                self._files.append([(item.time, item.entry) for item in batch.items])
                if batch.closing:
                    self._files.close()
            except NotWritten as error:
                whole, problem = error.whole, str(error)
            except Exception as error:
                _log.exception("the audit thread failed")
                whole, problem = 0, type(error).__name__
            try:
                self._loop.call_soon_threadsafe(self._done, batch, whole, problem)
            except RuntimeError:
                return  # The loop has ended, and with it everybody who waits.

    def _done(self, batch: _Batch, whole: int, problem: str | None) -> None:
        self._flight = None
        if batch.closing and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        if problem is None:
            for item in batch.items:
                if item.done is not None and not item.done.done():
                    item.done.set_result(None)
            self._well()
        else:
            self._fail(problem, batch.items)
            self._pending[:0] = [item for item in batch.items[whole:] if item.done is None]
            if self._ended is None:
                self._retry = self._loop.call_later(self._retry_seconds, self._hand_over)
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _well(self) -> None:
        if self._ended is not None:
            return
        if self._problem is not None and self._opened is not None and self._opened.done():
            _log.warning("records are written again")
        self._problem = None
        if self._lost:
            lost, self._lost = self._lost, 0
            self.post({"event": "lost", "entries": lost})
        if self._pending and not self._scheduled:
            self._schedule()

    def _fail(self, problem: str, items: Sequence[_Item]) -> None:
        """Refuse everybody who waits; keep what was posted."""
        if self._ended is None:
            if self._problem is None:
                _log.error("records cannot be written: %s", problem)
            self._problem = problem
        for item in (*items, *self._pending):
            if item.done is not None and not item.done.done():
                item.done.set_exception(_unavailable(problem))
        self._pending = [item for item in self._pending if item.done is None]

    def _now(self) -> float:
        """The loop's time, without that in which it stood still under a batch."""
        return self._loop.time() - self._stood_still

    def _look_later(self, due: float) -> None:
        self._look_at = min(self._loop.time() + self._seconds / LOOKS, due + self._stood_still)
        self._watch = self._loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        """Has the thread had its batch for too long? One timer for all entries instead of one each."""
        self._watch = None
        self._stood_still += max(0.0, self._loop.time() - self._look_at)
        flight = self._flight
        if flight is None:
            return
        if flight.due <= self._now():
            self._fail(f"no answer in {self._seconds:g} s", flight.items)
        else:
            self._look_later(flight.due)

    async def _within_time(self, awaited: asyncio.Future[None]) -> None:
        """Wait until it is there, or an entry's time is over."""
        for _ in range(LOOKS):
            await asyncio.wait([awaited], timeout=self._seconds / LOOKS)
            if awaited.done():
                return


def look_at_folder(folder: Path) -> None:
    """Makes nothing. Raises ConfigError where `FileSink.start` would, as far as that can be seen beforehand."""
    if (problem := why_not_in(folder)) is not None:
        raise _not_written(folder, problem)
    _check_others(folder)


def _check_others(folder: Path) -> None:
    """Whoever can put a file into the folder can put one there that passes for the gateway's, or take one away (U-03)."""
    if (problem := check_own_folder(folder)) is not None:
        raise ConfigError(f"audit.sink: {problem}")


def _not_written(folder: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"audit.sink: records cannot be written to {folder} ({problem}). "
        "Let the gateway's account write there, free space, or name another folder."
    )


class MemorySink:
    """A sink into a list, for tests. Set `problem` to make it fail."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.problem: str | None = None
        self._closed = False

    async def write(self, entry: Mapping[str, Any]) -> None:
        if (problem := self.healthy()) is not None:
            raise _unavailable(problem)
        self.post(entry)

    def post(self, entry: Mapping[str, Any]) -> None:
        if self._closed:
            raise _unavailable("the sink is closed")
        try:
            chain.encode(entry)
        except ValueError as error:
            raise _unavailable(str(error)) from None
        self.entries.append(dict(entry))

    def healthy(self) -> str | None:
        return "the sink is closed" if self._closed else self.problem

    async def close(self) -> None:
        self._closed = True


async def _refuse(problem: str) -> None:
    raise _unavailable(problem)


def _unavailable(problem: str) -> CannotTell:
    return CannotTell("audit_unavailable", "the record cannot be written, so the call is not made", detail=problem)
