"""The address of all servers for callers with a handshake: `initialize` opens a visit, everything else belongs to one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Raw

from counterseal import __version__
from counterseal.core.call import Call, Era, Inbound, Session, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import END_SESSION, REPLY
from counterseal.core.permit import Allowed
from counterseal.core.reply import Headers, Reply
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.gateway.aggregate.asking import Answers, Asking, NoMethod, Outer
from counterseal.gateway.aggregate.kept import Asked, Kept
from counterseal.gateway.aggregate.listening import Listening
from counterseal.gateway.aggregate.lists import Lists
from counterseal.gateway.aggregate.named import Entered, Named
from counterseal.gateway.aggregate.streams import EVENTS
from counterseal.gateway.aggregate.visits import Opened, Place, Visit, Visits
from counterseal.gateway.own_calls import PEER
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import OpenRecord
from counterseal.servers.session import Sessions
from counterseal.wire import jsonrpc
from counterseal.wire.aggregate import lists, merged, names
from counterseal.wire.answer import NotAnAnswer
from counterseal.wire.duplex import progress_token

_JSON: Final = ((b"content-type", b"application/json"),)
_SESSION: Final = b"mcp-session-id"
_CLIENT: Final = ("capabilities", "clientInfo")
_TOLD: Final = frozenset({"notifications/roots/list_changed", "logging/setLevel"})
"""What every server is told that the caller has a session with."""
_ALLOW: Final = ((b"allow", b"POST"),)


class Legacy:
    """unkept: servers whose answers depend on more than the caller. alone: whether there is no other worker, so that what servers
    ask can find its way back."""

    def __init__(
        self,
        pipeline: Pipeline,
        asking: Asking,
        of_all: Lists,
        listening: Listening,
        named: Named,
        kept: Kept,
        sessions: Sessions,
        limits: Limits,
        new_id: Callable[[], str],
        about: Mapping[str, str],
        *,
        unkept: Set[str],
        alone: bool,
        spelling: names.Spelling = names.OURS,
    ) -> None:
        self._spelling = spelling
        self._unkept = unkept
        self._pipeline = pipeline
        self._asking = asking
        self._lists = of_all
        self._listening = listening
        self._named = named
        self._kept = kept
        self._sessions = sessions
        self._limits = limits
        self._about = about
        self._visits = Visits(limits, new_id, self._ended, alone=alone)
        self._ending: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """The gateway ends. Sessions at servers end by themselves."""
        self._visits.close()
        for task in self._ending:
            task.cancel()

    async def handle(self, record: OpenRecord, outer: Outer) -> Reply:
        """One call. Raises CallError."""
        call = outer.call
        if call.session is None and call.method not in ("initialize", "ping"):
            raise BadCall("invalid_request", "send `initialize` first, and then the Mcp-Session-Id of its answer")
        visit = None if call.session is None else self._visits.find(outer.caller, call.session)
        if visit is not None and (found := self._for_one(call, visit, outer.alone)) is not None:
            renamed, place = found
            enter = partial(self._enter, outer, visit, place)
            return await self._named.carry(record, call, renamed, outer.inbound, outer.meant, enter)
        await record.gather()
        return record.watch(await self._gather(self._asking.asked(outer), visit))

    def _for_one(self, call: Call, visit: Visit, alone: str | None) -> tuple[Call, Place | None] | None:
        """The call for its one server, and the place of the session that it must be in; None for a call to all. What belongs to
        no server is one to all, and does nothing there."""
        if names.names_one(call):
            return names.for_one(call, self._spelling, alone), None
        message = call.message or {}
        params = message.get("params", {})
        if call.method == REPLY:
            question = visit.answered(message.get("id"))
            if question is not None:
                message = {**message, "id": question.identity}
                return msgspec.structs.replace(call, server=question.place[0], message=message), question.place
        elif call.method == "notifications/progress":
            question = visit.progressed(params.get("progressToken"))
            if question is not None:
                message = {**message, "params": {**params, "progressToken": question.identity}}
                return msgspec.structs.replace(call, server=question.place[0], message=message), question.place
        elif call.method == "notifications/cancelled":
            identity = params.get("requestId")
            place = visit.running.get(identity) if isinstance(identity, str | int) else None
            if place is not None:
                return msgspec.structs.replace(call, server=place[0]), place
        return None

    # ---- a call for one server ----

    async def _enter(
        self, outer: Outer, visit: Visit, place: Place | None, renamed: Call, caller: Caller, there: Inbound
    ) -> Entered:
        here = (renamed.server, caller.fingerprint())
        if place is not None and place != here:
            raise BadCall("session_unknown", "there is no such session: send `initialize` again")
        until = asyncio.get_running_loop().time() + self._limits.process_start_seconds
        opened = await self._at(replace(outer, until=until), visit, (caller, there), renamed.server)
        call = msgspec.structs.replace(renamed, session=opened.session, revision=opened.revision)
        over = None
        if call.shape is Shape.REQUEST and call.id is not None:
            over = visit.begin(call.id, progress_token(call.message or {}), here)
        return Entered(
            call,
            visit.questions(here),
            _header(outer.call),
            over,
            partial(visit.lost, here),
            partial(visit.progresses, here),
        )

    async def _at(self, outer: Outer, visit: Visit, who: tuple[Caller, Inbound], server: str) -> Opened:
        """The session with a server, opened if there is none. Raises CallError."""
        place = (server, who[0].fingerprint())
        try:
            async with asyncio.timeout_at(outer.until):
                return await visit.at(place, partial(self._open, outer, visit, who, server))
        except TimeoutError:
            raise ServerError(
                "server_timeout", "the server did not answer in time", detail="opening a session"
            ) from None

    async def _open(self, outer: Outer, visit: Visit, who: tuple[Caller, Inbound], server: str) -> Opened:
        loop = asyncio.get_running_loop()
        outer = replace(outer, until=loop.time() + self._limits.process_start_seconds)
        client = visit.client or {
            "capabilities": {},
            "clientInfo": {"name": self._about["name"], "version": __version__},
        }
        params = {"protocolVersion": visit.revision, **client}
        asked = self._asking.request(outer, server, "initialize", params)
        kept = self._introduction(visit, who[0], server)
        changes = self._kept.changes(server, "initialize")
        try:
            answered, (said, revision) = await self._asking.ask(outer, who, asked, _introduced)
        except CallError:
            self._kept.changed(server, "initialize")  # it is not as it was
            raise
        if server not in self._unkept:
            ttl_ms = int(self._limits.kept_lists_seconds * 1000)
            self._kept.keep(kept, said, ttl_ms, shared=False, changes=changes)
        sealed = next((value.decode() for name, value in answered.headers if name == _SESSION), None)
        session = None if sealed is None else self._sessions.open(who[0], server, sealed)
        initialized = self._asking.request(outer, server, "notifications/initialized", {}, session)
        await self._asking.reply(outer, who, msgspec.structs.replace(initialized, revision=revision))
        opened = Opened(session, revision, said, who[0])
        if visit.level is not None and "logging" in said.capabilities:
            await self._tell(outer, who, opened, server, "logging/setLevel", visit.level)
        return opened

    # ---- a call to all ----

    async def _gather(self, outer: Outer, visit: Visit | None) -> Reply:
        call = outer.call
        headers = _header(call)
        if call.method == "initialize":
            return await self._initialize(outer)
        if call.method == "ping":
            return Reply(200, (*_JSON, *headers), lists.write_result(call, {}, {}), is_error=False)
        assert visit is not None
        assert call.session is not None
        if call.shape is Shape.END:
            self._ended(self._visits.drop(outer.caller, call.session), outer)
            return Reply(200, headers, b"")
        if call.shape is Shape.STREAM:
            if not self._visits.alone:
                raise BadCall("http_method_refused", "there is no stream here with several workers", headers=_ALLOW)
            return await self._follow(outer, visit)
        if call.method in _TOLD:
            return await self._tell_all(outer, visit)
        if call.shape is not Shape.REQUEST:
            return Reply(202, headers, b"", note="for no server")
        session_at = partial(self._session_at, outer, visit)
        return Reply(200, (*_JSON, *headers), await self._lists.page(outer, session_at), is_error=False)

    async def _session_at(self, outer: Outer, visit: Visit, server: str, is_lost: bool) -> Session | None:
        who = await self._asking.at(outer, server)
        if is_lost:
            visit.lost((server, who[0].fingerprint()))
        return (await self._at(outer, visit, who, server)).session

    async def _initialize(self, outer: Outer) -> Reply:
        call = outer.call
        params = (call.message or {}).get("params", {})
        client = {name: params[name] for name in _CLIENT if isinstance(params.get(name), dict)}
        if len(jsonrpc.write(client)) > self._limits.visit_client_bytes:
            raise BadCall("too_large", "the client says more of itself than is kept for a session")
        identity, visit = self._visits.begin(outer.caller, call.revision, client)
        answers = Answers()

        found = await self._asking.of_each(outer.among, partial(self._introduced, outer, visit), answers)
        said = {server: one for server, (one, _) in found.items()}

        def is_open(server: str, method: str) -> bool:
            decided = self._pipeline.policy.decide_operation(found[server][1], server, method, None)
            return isinstance(decided, Allowed)

        capabilities = merged.capabilities(said, is_open, push=self._visits.alone)
        capabilities.pop("extensions", None)  # whose methods no revision with a handshake has
        result = {
            "protocolVersion": visit.revision,
            "capabilities": capabilities,
            "instructions": merged.instructions(said, self._spelling),
            "serverInfo": self._about,
        }
        session = self._sessions.seal(outer.caller, "", identity, visit.revision)
        headers = (*_JSON, (_SESSION, session.sealed.encode()))
        return Reply(200, headers, lists.write_result(call, result, answers.meta), is_error=False)

    async def _introduced(self, outer: Outer, visit: Visit, server: str) -> tuple[merged.Introduction, Caller]:
        """What a server says of itself to this client, and who the caller is there. Only what it has not said lately needs a
        session."""
        who = await self._asking.at(outer, server)
        found = self._kept.get(self._introduction(visit, who[0], server))
        if found is None:
            return (await self._at(outer, visit, who, server)).said, who[0]
        await self._lists.check(outer, who, server, "initialize")
        said: merged.Introduction = found[0]
        return said, who[0]

    def _introduction(self, visit: Visit, caller: Caller, server: str) -> Asked:
        """Where it is kept."""
        variant = jsonrpc.write((visit.revision, visit.client))
        return Asked(server, "initialize", variant, caller.fingerprint(), caller)

    async def _follow(self, outer: Outer, visit: Visit) -> Reply:
        if visit.stream is not None:
            await visit.stream.aclose()
        return Reply(200, (*EVENTS, *_header(outer.call)), self._listening.follow(outer, visit))

    async def _tell_all(self, outer: Outer, visit: Visit) -> Reply:
        """What every server is told, also those whose sessions are opened later."""
        call = outer.call
        params = (call.message or {}).get("params", {})
        if call.method == "logging/setLevel":
            if not self._visits.alone:
                raise BadCall("method_unknown", "there are no logs of servers here with several workers")
            visit.level = params

        async def tell(server: str) -> None:
            who = await self._asking.at(outer, server)
            opened = visit.opened.get((server, who[0].fingerprint()))
            if opened is not None and (call.shape is not Shape.REQUEST or "logging" in opened.said.capabilities):
                await self._tell(outer, who, opened, server, call.method, params)

        await self._asking.of_each(outer.among, tell, Answers())
        if call.shape is not Shape.REQUEST:
            return Reply(202, _header(call), b"")
        return Reply(200, (*_JSON, *_header(call)), lists.write_result(call, {}, {}), is_error=False)

    async def _tell(
        self,
        outer: Outer,
        who: tuple[Caller, Inbound],
        opened: Opened,
        server: str,
        method: str,
        params: Mapping[str, Any],
    ) -> None:
        told = self._asking.request(outer, server, method, params, opened.session)
        await self._asking.reply(outer, who, msgspec.structs.replace(told, revision=opened.revision))

    # ---- ends ----

    def _ended(self, opened: Mapping[Place, Opened], outer: Outer | None = None) -> None:
        """A visit is over: so are the sessions that it had, as far as servers can be told. Nothing is said in the name of a
        caller whose credential has ended."""
        for (server, _), one in opened.items():
            expires = one.caller.expires
            if one.session is not None and (expires is None or expires > self._pipeline.clock.wall()):
                task = asyncio.ensure_future(self._end(outer, server, one))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def _end(self, outer: Outer | None, server: str, opened: Opened) -> None:
        call = Call(
            server=server,
            era=Era.LEGACY,
            revision=opened.revision,
            shape=Shape.END,
            method=END_SESSION,
            session=opened.session,
        )
        nobody = Inbound("DELETE", server, (), b"", PEER)
        until = asyncio.get_running_loop().time() + self._limits.gather_seconds
        record = None if outer is None else outer.record
        asked = Outer(record, opened.caller, nobody, call, (), (), until)
        # It has a record of its own, and the session ends there by itself.
        with contextlib.suppress(CallError, NoMethod):
            await self._asking.reply(asked, (opened.caller, nobody), call)


def _header(call: Call) -> Headers:
    return () if call.session is None else ((_SESSION, call.session.sealed.encode()),)


def _introduced(result: Mapping[str, Raw]) -> tuple[merged.Introduction, str]:
    """What a server says of itself in `initialize`, and the revision of the session. Raises NotAnAnswer."""
    try:
        revision = msgspec.json.decode(result.get("protocolVersion", Raw(b"null")), type=str)
    except msgspec.DecodeError:
        raise NotAnAnswer("`protocolVersion` is not a text") from None
    return merged.introduction(result), revision
