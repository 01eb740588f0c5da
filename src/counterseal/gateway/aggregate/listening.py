"""What servers tell by themselves, of all servers in one stream: `subscriptions/listen`, and the legacy `GET`.

Each server is asked by a call of its own and told only what is for it. A subscription is acknowledged once, when all servers have
answered or patience is over, with what they have acknowledged; then their messages follow as they come. It ends when all servers
have ended, at its ceiling, or with the credential of the caller: with a result, because nothing went wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from counterseal.clock import Clock
from counterseal.core.call import Call, Era, Inbound, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import STREAM
from counterseal.core.reply import Reply
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.gateway.aggregate.asking import Answers, Asking, NoMethod, Outer, answered_id, is_response
from counterseal.gateway.aggregate.kept import Kept
from counterseal.gateway.aggregate.streams import EVENTS, Gathered, shown_event
from counterseal.gateway.aggregate.visits import Opened, Place, Visit
from counterseal.wire import jsonrpc
from counterseal.wire.aggregate import lists, names
from counterseal.wire.aggregate.shown import Shown
from counterseal.wire.duplex import SUBSCRIPTION
from counterseal.wire.eventstream import Event, EventTooLarge, Reader

_log = logging.getLogger("counterseal.gateway")

_FLAGS: Final = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
_URIS: Final = "resourceSubscriptions"
_TASKS: Final = "taskIds"
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

_read_notification: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Listening:
    """Makes both kinds of stream."""

    def __init__(self, asking: Asking, kept: Kept, clock: Clock, limits: Limits) -> None:
        self._asking = asking
        self._kept = kept
        self._clock = clock
        self._limits = limits

    # ---- modern ----

    async def listen(self, outer: Outer) -> Reply:
        """The stream of a `subscriptions/listen`, acknowledged. Raises BadCall for what cannot be listened to."""
        wanted = self._wanted(outer)
        loop = asyncio.get_running_loop()
        acknowledged: dict[str, asyncio.Future[Mapping[str, Any]]] = {server: loop.create_future() for server in wanted}
        answers = Answers()
        stream = Gathered(_event(lists.write_result(outer.call, {}, _about(outer.call))), self._until(outer))
        end = {
            server: stream.add(self._subscribe(outer, server, filters, acknowledged[server], stream))
            for server, filters in wanted.items()
        }

        async def answer(server: str) -> Mapping[str, Any]:
            try:
                async with asyncio.timeout_at(outer.until):
                    return await acknowledged[server]
            except TimeoutError:
                raise ServerError("server_timeout", "the server did not answer in time") from None

        try:
            found = await self._asking.of_each(wanted, answer, answers)
        except BaseException:
            await stream.aclose()
            raise
        for server in wanted.keys() - found.keys():
            end[server]()  # what it says later, nobody was told to expect
        params = {"notifications": _together(found), "_meta": {**_about(outer.call), **answers.meta}}
        stream.first(_event(jsonrpc.write({"jsonrpc": "2.0", "method": _ACKNOWLEDGED, "params": params})))
        return Reply(200, EVENTS, stream)

    def _wanted(self, outer: Outer) -> dict[str, dict[str, Any]]:
        """For each server that is to be asked, what it is asked for."""
        params = (outer.call.message or {}).get("params", {})
        filters = params.get("notifications")
        if not isinstance(filters, dict):
            raise BadCall("invalid_params", "`params.notifications` is missing or not an object")
        flags = {name: True for name in _FLAGS if filters.get(name) is True}
        wanted: dict[str, dict[str, Any]] = {server: dict(flags) for server in outer.among if flags}
        for uri in _texts(filters, _URIS):
            found = names.unspelled(uri)
            if found is None or found[0] not in outer.among:
                raise BadCall("invalid_params", names.NO_RESOURCE)
            wanted.setdefault(found[0], dict(flags)).setdefault(_URIS, []).append(found[1])
        for task in _texts(filters, _TASKS):
            # The ids of tasks are the gateway's own wherever they are given (servers/handles.py).
            found = names.parted(task)
            if found is None or found[0] not in outer.among:
                raise BadCall("invalid_params", names.NO_TASK)
            wanted.setdefault(found[0], dict(flags)).setdefault(_TASKS, []).append(task)
        return {server: wanted[server] for server in outer.among if server in wanted}

    async def _subscribe(
        self,
        outer: Outer,
        server: str,
        filters: Mapping[str, Any],
        acknowledged: asyncio.Future[Mapping[str, Any]],
        stream: Gathered,
    ) -> None:
        """One server's part of it."""
        try:
            who = await self._asking.at(outer, server)
            call = self._asking.request(outer, server, outer.call.method, {"notifications": filters})
            # Every message of a subscription carries the id of its request, which is the caller's here.
            identity = outer.call.id
            call = msgspec.structs.replace(call, id=identity, message={**(call.message or {}), "id": identity})
            shown = Shown(server, None, None, self._kept.changed, lambda _: False)
            async for event in self._events(outer, who, call):
                message = None if not event.data or is_response(event.data) else _read_notification(event.data)
                if message is None:
                    continue
                if message["method"] == _ACKNOWLEDGED:
                    if not acknowledged.done():
                        acknowledged.set_result(_acknowledged(server, message))
                    continue
                if (data := shown.message(event.data or b"")) is not None:
                    await stream.put(Event(data, event.event).write())
            raise NoMethod
        except (CallError, NoMethod) as error:
            if not acknowledged.done():
                acknowledged.set_exception(error)
            elif isinstance(error, CallError):
                _log.info("server %s: what it tells by itself has ended: %s", server, error.message)
        finally:
            acknowledged.cancel()

    # ---- legacy ----

    def follow(self, outer: Outer, visit: Visit) -> Gathered:
        """The stream of everything that servers say in the sessions of a visit, also in those that are opened later."""
        stream = Gathered(b"", self._until(outer), lambda: visit.unfollowed(stream))
        stream.lasting = True
        last = names.parted(outer.call.last_event_id or "")

        def add(place: Place, opened: Opened) -> None:
            mine = last is not None and last[0] == place[0]
            stream.add(self._hear(outer, visit, place, opened, last[1] if mine and last is not None else None, stream))

        for place, opened in visit.opened.items():
            add(place, opened)
        visit.followed(stream, add)
        return stream

    async def _hear(
        self, outer: Outer, visit: Visit, place: Place, opened: Opened, last: str | None, stream: Gathered
    ) -> None:
        """One session's part of it."""
        server = place[0]
        call = Call(
            server=server,
            era=Era.LEGACY,
            revision=opened.revision,
            shape=Shape.STREAM,
            method=STREAM,
            session=opened.session,
            last_event_id=last,
        )
        try:
            who = await self._asking.at(outer, server)
            if who[0].fingerprint() != place[1]:
                return  # a session that the same credential opened for somebody else
            shown = Shown(server, None, visit.questions(place), self._kept.changed, partial(visit.progresses, place))
            async for event in self._events(outer, who, call):
                if event.data and is_response(event.data) and visit.called(answered_id(event.data)) != place:
                    continue  # a resumed stream may hold answers, but none to what another server was asked
                data = shown.message(event.data) if event.data else event.data
                if data is not None:
                    await stream.put(shown_event(server, event, data))
        except (CallError, NoMethod) as error:
            _log.info("server %s: it has no stream of its own: %s", server, error)

    # ---- both ----

    async def _events(self, outer: Outer, who: tuple[Caller, Inbound], call: Call) -> AsyncIterator[Event]:
        """A server's events, as they come. Raises CallError, NoMethod."""
        _, reply = await self._asking.open(outer, who, call)
        body = reply.body
        if isinstance(body, bytes):
            raise NoMethod
        reader = Reader(self._limits.server_event_bytes)
        try:
            async for chunk in body:
                for event in reader.feed(chunk):
                    yield event
        except EventTooLarge as error:
            raise ServerError(
                "server_answer_too_large", "the server's answer is too large", detail=str(error)
            ) from None
        finally:
            await body.aclose()

    def _until(self, outer: Outer) -> float:
        """When the stream ends: at its ceiling, and never after the credential that opened it."""
        longest = self._limits.server_stream_seconds
        expires = outer.caller.expires
        seconds = longest if expires is None else max(0.001, min(longest, expires - self._clock.wall()))
        return asyncio.get_running_loop().time() + seconds


def _texts(filters: Mapping[str, Any], member: str) -> list[str]:
    texts = filters.get(member) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadCall("invalid_params", f"`params.notifications.{member}` is not a list of texts")
    return texts


def _about(call: Call) -> dict[str, Any]:
    return {SUBSCRIPTION: call.id}


def _event(message: bytes) -> bytes:
    return Event(message).write()


def _acknowledged(server: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a server has acknowledged, with its resources as they are called here."""
    filters = (message.get("params") or {}).get("notifications")
    if not isinstance(filters, dict):
        return {}
    found: dict[str, Any] = {name: True for name in _FLAGS if filters.get(name) is True}
    uris = filters.get(_URIS)
    if isinstance(uris, list):
        found[_URIS] = [names.spelled(server, uri) for uri in uris if isinstance(uri, str)]
    if isinstance(filters.get(_TASKS), list):
        found[_TASKS] = filters[_TASKS]
    return found


def _together(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    together: dict[str, Any] = {}
    for one in found.values():
        lists = {member: [*together.get(member, []), *one.get(member, [])] for member in (_URIS, _TASKS)}
        together |= {**one, **{member: texts for member, texts in lists.items() if texts}}
    return together
