"""Legacy sessions at the address of all servers: a visit holds the sessions that one caller's session has with servers.

* What the caller holds is sealed like the session id of any server (servers/session.py), for nobody else and for this address.
* A session at a server is opened when it is first needed, by the gateway, with what the client has said of itself.
* What a server asks the caller travels under an id of ours: random, given once, known to this visit alone and answered once. So
  an answer finds the server that asked, whatever servers call their questions, and nobody answers what he was not asked.
* A visit lives in one worker. Where there are several, no server is told of anything that a client can do, so that none asks, and
  any worker opens the sessions that it needs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.core.call import Session
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.errors import BadCall, CallError
from counterseal.gateway.aggregate.streams import Gathered
from counterseal.servers.link import fresh
from counterseal.wire.aggregate.merged import Introduction
from counterseal.wire.aggregate.shown import Id

_QUESTIONS: Final = 100
"""Questions of one server, and progress tokens of its, that a visit keeps; the oldest of this server is forgotten."""
_CALLED: Final = 1000
"""Ids of calls, and progress tokens of theirs, that a visit remembers."""

Place = tuple[str, bytes]
"""A server, and who the caller is there: his fingerprint."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session at a server; session is None where the server has none. caller: as he is there."""

    session: Session | None
    revision: str
    said: Introduction
    caller: Caller = field(repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What a server asked. place: whose session it was asked in. identity: as the server calls it."""

    place: Place
    identity: Id


class Visit:
    """One session of one caller. client: what the client said in `initialize`; None where servers are told nothing of it."""

    def __init__(self, revision: str, client: Mapping[str, Any] | None, new_id: Callable[[], str]) -> None:
        self.revision = revision
        self.client = client
        self.level: Mapping[str, Any] | None = None
        self.running: dict[Id, Place] = {}
        self.stream: Gathered | None = None
        self._follow: Callable[[Place, Opened], None] | None = None
        self._new_id = new_id
        self._opening: dict[Place, asyncio.Task[Opened]] = {}
        self._questions = _Asked()
        self._tokens = _Asked()
        self._called: OrderedDict[Id, Place] = OrderedDict()
        self._followed: OrderedDict[Id, Place] = OrderedDict()
        self.used = asyncio.get_running_loop().time()

    @property
    def busy(self) -> bool:
        return bool(self.running) or self.stream is not None

    @property
    def opened(self) -> dict[Place, Opened]:
        """Every session that is open."""
        return {
            place: task.result()
            for place, task in self._opening.items()
            if task.done() and not task.cancelled() and task.exception() is None
        }

    async def at(self, place: Place, begin: Callable[[], Any]) -> Opened:
        """The session there. It is opened once for all who ask meanwhile, whether or not they wait for it. Raises CallError."""
        task = self._opening.get(place)
        if task is None:
            task = self._opening[place] = asyncio.ensure_future(begin())
            task.add_done_callback(lambda ended: self._look(place, ended))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise _unknown() from None  # the visit has ended meanwhile
        except CallError as error:
            raise fresh(error) from None

    def _look(self, place: Place, task: asyncio.Task[Opened]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._opening.pop(place, None)
        elif self._follow is not None and self._opening.get(place) is task:
            self._follow(place, task.result())

    def followed(self, stream: Gathered, follow: Callable[[Place, Opened], None]) -> None:
        """The caller has opened his stream, in the place of an earlier one. follow: is told of sessions that are opened later."""
        self.stream, self._follow = stream, follow

    def unfollowed(self, stream: Gathered) -> None:
        """It has ended."""
        if self.stream is stream:
            self.stream = self._follow = None

    def begin(self, identity: Id, token: Id | None, place: Place) -> Callable[[], object]:
        """A call of the caller's is under way there, under this id, and tells of its progress by this token. What is returned
        ends it."""
        self.running[identity] = place
        _note(self._called, identity, place)
        if token is not None:
            _note(self._followed, token, place)
        return lambda: self.running.pop(identity, None)

    def progresses(self, place: Place, token: Id) -> bool:
        """Whether the call that had this progress token last went there."""
        return self._followed.get(token) == place

    def called(self, identity: Id | None) -> Place | None:
        """Where the call went that had this id last, whether or not it is still under way."""
        return None if identity is None else self._called.get(identity)

    def lost(self, place: Place) -> None:
        """The server does not know the session any more."""
        task = self._opening.get(place)
        if task is not None and task.done():
            del self._opening[place]

    def forget(self) -> dict[Place, Opened]:
        """The end of the visit: what was open."""
        opened = self.opened
        for task in self._opening.values():
            task.cancel()
        self._opening = {}
        return opened

    # ---- what servers ask ----

    def questions(self, place: Place) -> Asker | None:
        """What a server asks in its session; None where nobody asks."""
        return None if self.client is None else Asker(self, place)

    def ask(self, place: Place, identity: Id) -> Id:
        return self._questions.put(self._new_id(), Question(place, identity))

    def token(self, place: Place, token: Id) -> Id:
        return self._tokens.put(self._new_id(), Question(place, token))

    def taken_back(self, place: Place, identity: Id) -> Id | None:
        return self._questions.taken_back(place, identity)

    def answered(self, ours: object) -> Question | None:
        """Whom the answer to a question is for: once."""
        return self._questions.pop(ours) if isinstance(ours, str) else None

    def progressed(self, ours: object) -> Question | None:
        """Whom progress is for."""
        return self._tokens.get(ours) if isinstance(ours, str) else None


class _Asked:
    """What servers asked, by ids of ours. Each server has room of its own, so that none pushes out what another one asked."""

    def __init__(self) -> None:
        self._whole: dict[str, Question] = {}
        self._of: dict[Place, OrderedDict[str, Id]] = {}

    def put(self, ours: str, question: Question) -> str:
        own = self._of.setdefault(question.place, OrderedDict())
        self._whole[ours], own[ours] = question, question.identity
        if len(own) > _QUESTIONS:
            del self._whole[own.popitem(last=False)[0]]
        return ours

    def get(self, ours: str) -> Question | None:
        return self._whole.get(ours)

    def pop(self, ours: str) -> Question | None:
        question = self._whole.pop(ours, None)
        if question is not None:
            del self._of[question.place][ours]
        return question

    def taken_back(self, place: Place, identity: Id) -> Id | None:
        for ours, asked in self._of.get(place, {}).items():
            if _same(asked, identity):
                self.pop(ours)
                return ours
        return None


class Asker:
    """One server's questions in a visit: a `wire.aggregate.shown.Questions`."""

    def __init__(self, visit: Visit, place: Place) -> None:
        self._visit = visit
        self._place = place

    def asked(self, identity: Id) -> Id | None:
        return self._visit.ask(self._place, identity)

    def taken_back(self, identity: Id) -> Id | None:
        return self._visit.taken_back(self._place, identity)

    def token(self, token: Id) -> Id:
        return self._visit.token(self._place, token)


class Visits:
    """Those of one worker. alone: whether there is no other worker. ended: told of what a visit that is over had open."""

    def __init__(
        self,
        limits: Limits,
        new_id: Callable[[], str],
        ended: Callable[[dict[Place, Opened]], None],
        *,
        alone: bool,
    ) -> None:
        self.alone = alone
        self._limits = limits
        self._new_id = new_id
        self._ended = ended
        self._visits: OrderedDict[tuple[bytes, str], Visit] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, caller: Caller, revision: str, client: Mapping[str, Any]) -> tuple[str, Visit]:
        """A new visit, and its id. Raises BadCall where this caller has too many that are busy, CallError where all have."""
        owner = caller.fingerprint()
        own = [key for key in self._visits if key[0] == owner]
        if len(own) >= self._limits.visits_per_caller:
            self._make_room(own, BadCall("too_many", f"{len(own)} sessions of this caller are busy"))
        if len(self._visits) >= self._limits.visit_count:
            self._make_room(list(self._visits), CallError("overloaded", "all sessions that there may be are busy"))
        identity = self._new_id()
        visit = self._visits[owner, identity] = Visit(revision, client if self.alone else None, self._new_id)
        self._look_later()
        return identity, visit

    def find(self, caller: Caller, session: Session) -> Visit:
        """The visit behind a session id that was opened for this caller. Raises BadCall `session_unknown`."""
        key = (caller.fingerprint(), session.server_id)
        visit = self._visits.get(key)
        if visit is None:
            if self.alone:
                raise _unknown()
            visit = self._visits[key] = Visit(session.revision, None, self._new_id)
            if len(self._visits) > self._limits.visit_count:
                self._end(next(iter(self._visits)))
            self._look_later()
        visit.used = asyncio.get_running_loop().time()
        self._visits.move_to_end(key)
        return visit

    def drop(self, caller: Caller, session: Session) -> dict[Place, Opened]:
        """The caller ends it. What was open."""
        visit = self._visits.pop((caller.fingerprint(), session.server_id), None)
        return {} if visit is None else visit.forget()

    def close(self) -> None:
        """The gateway ends."""
        if self._timer is not None:
            self._timer.cancel()
        for visit in self._visits.values():
            visit.forget()
        self._visits.clear()

    def _make_room(self, keys: list[tuple[bytes, str]], error: CallError) -> None:
        idle = next((key for key in keys if not self._visits[key].busy), None)
        if idle is None:
            raise error
        self._end(idle)

    def _end(self, key: tuple[bytes, str]) -> None:
        self._ended(self._visits.pop(key).forget())

    def _look_later(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.visit_idle_seconds / 4, self._look)

    def _look(self) -> None:
        """Which ones have been idle for too long?"""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, visit in list(self._visits.items()):
            if visit.busy:
                visit.used = now
            elif now - visit.used >= self._limits.visit_idle_seconds:
                self._end(key)
        if self._visits:
            self._look_later()


def _note(table: OrderedDict[Id, Place], identity: Id, place: Place) -> None:
    table[identity] = place
    table.move_to_end(identity)
    if len(table) > _CALLED:
        table.popitem(last=False)


def _same(one: Id, other: Id) -> bool:
    return type(one) is type(other) and one == other


def _unknown() -> BadCall:
    return BadCall("session_unknown", "there is no such session: send `initialize` again")
