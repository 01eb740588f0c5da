"""The open conversations with one server: how many there may be, for how long one may be idle, and which one has to go.

Where all places are taken, the one that is idle longest goes: its caller begins anew. One caller may have a quarter of the places
and no more, so that nobody takes all of them, and pushes out his own before he pushes out others'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.link import fresh

Key = tuple[str, bytes]


class Conversing(Protocol):
    """What has a place: a conversation, or a session. used: when it was used last, by the clock of the event loop."""

    used: float

    @property
    def over(self) -> bool: ...

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        ...

    @property
    def followed(self) -> bool:
        """Whether its caller has a stream open."""
        ...

    async def end(self) -> None: ...


C = TypeVar("C", bound=Conversing)
Open = Callable[[], Awaitable[C]]


@dataclass(slots=True, eq=False)
class _Place(Generic[C]):
    owner: bytes
    opening: asyncio.Task[C]
    timer: asyncio.TimerHandle | None = field(default=None)

    @property
    def conversation(self) -> C | None:
        """None as long as it is not open."""
        task = self.opening
        return task.result() if task.done() and not task.cancelled() and task.exception() is None else None

    @property
    def idle(self) -> bool:
        return self.conversation is not None and not self.conversation.busy


class Pool(Generic[C]):
    """most: conversations at a time. idle_seconds: after which one ends. None: no limit."""

    def __init__(self, most: int | None, idle_seconds: float | None) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._places: dict[Key, _Place[C]] = {}
        self._ending: set[asyncio.Task[Any]] = set()
        self._closed = False

    def find(self, key: Key) -> C | None:
        """The conversation there, if it is open."""
        place = self._places.get(key)
        conversation = None if place is None else place.conversation
        return None if conversation is None or conversation.over else conversation

    async def take(self, key: Key, owner: bytes, begin: Open[C]) -> C:
        """The conversation there, opened if there is none. It is opened once for all who ask meanwhile, whether or not they
        wait for it. Raises CallError."""
        while True:
            place = self._places.get(key)
            mine = place is None
            if place is None:
                place = self._open(key, owner, begin)
            try:
                conversation = await asyncio.shield(place.opening)
            except asyncio.CancelledError:
                if not place.opening.cancelled():
                    raise
                raise _ending() from None
            except ServerError as error:
                raise fresh(error) from None
            except CallError as error:
                if mine:
                    raise fresh(error) from None
                continue  # what was refused to another caller need not be refused to this one
            if not conversation.over:
                return conversation
            self.drop(key, conversation)

    def drop(self, key: Key, conversation: C) -> None:
        """It is over, or has to be. Its end goes on by itself."""
        place = self._places.get(key)
        if place is not None and place.conversation is conversation:
            self._remove(key, place)

    def abandon(self, key: Key) -> None:
        """Nobody will ask for what is there, or is being opened there."""
        place = self._places.get(key)
        if place is not None:
            self._remove(key, place)

    async def close(self) -> None:
        """End all of them, and wait for those that are ending."""
        self._closed = True
        for key, place in list(self._places.items()):
            if not place.opening.done():
                place.opening.cancel()
                self._ending.add(place.opening)
                place.opening.add_done_callback(self._ending.discard)
            self._remove(key, place)
        while self._ending:
            await asyncio.wait(self._ending)

    def _open(self, key: Key, owner: bytes, begin: Open[C]) -> _Place[C]:
        if self._closed:
            raise _ending()
        self._make_room(owner)

        async def opening() -> C:
            return await begin()

        place = _Place(owner, asyncio.get_running_loop().create_task(opening()))
        self._places[key] = place
        place.opening.add_done_callback(lambda task: self._opened(key, place, task))
        return place

    def _opened(self, key: Key, place: _Place[C], task: asyncio.Task[C]) -> None:
        if task.cancelled() or task.exception() is not None:
            if self._places.get(key) is place:
                del self._places[key]
        elif self._places.get(key) is not place:
            self._end(task.result())
        else:
            self._look_later(key, place, self._idle_seconds)

    def _make_room(self, owner: bytes) -> None:
        if self._most is None:
            return
        own = [one for one in self._places.items() if one[1].owner == owner]
        if len(own) >= min(self._most, max(2, self._most // 4)):
            if not self._push_out(own):
                raise BadCall("too_many", f"{len(own)} sessions of this caller with this server are busy")
        elif len(self._places) >= self._most and not (self._push_out(own) or self._push_out(self._places.items())):
            raise CallError("overloaded", "all sessions that this server may have at a time are busy")

    def _push_out(self, places: Iterable[tuple[Key, _Place[C]]]) -> bool:
        """End the one that is idle longest; False where all are busy."""
        idle = [(place.conversation.used, key, place) for key, place in places if place.idle and place.conversation]
        if not idle:
            return False
        _, key, place = min(idle, key=lambda one: one[0])
        self._remove(key, place)
        return True

    def _remove(self, key: Key, place: _Place[C]) -> None:
        del self._places[key]
        if place.timer is not None:
            place.timer.cancel()
        if place.conversation is not None:
            self._end(place.conversation)

    def _end(self, conversation: C) -> None:
        task = asyncio.get_running_loop().create_task(conversation.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _look_later(self, key: Key, place: _Place[C], seconds: float | None) -> None:
        if seconds is not None:
            place.timer = asyncio.get_running_loop().call_later(seconds, self._look, key, place)

    def _look(self, key: Key, place: _Place[C]) -> None:
        """Has it been idle for too long?"""
        conversation = place.conversation
        assert conversation is not None
        assert self._idle_seconds is not None
        if conversation.busy or conversation.followed:
            self._look_later(key, place, self._idle_seconds)
            return
        left = conversation.used + self._idle_seconds - asyncio.get_running_loop().time()
        if left > 0:
            self._look_later(key, place, left)
        else:
            self._remove(key, place)


def _ending() -> CallError:
    return CallError("overloaded", "the gateway is ending")
