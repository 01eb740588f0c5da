"""Streamable HTTP servers of either era, or both: which one a server has, and what becomes of a call of the other.

A call goes out in its caller's era, as one request and nothing before it. Only when the server refuses it in a way that may mean
that it does not know that era is it asked, with `server/discover`, and what it says is remembered until it fails.
A server that has both is spoken to in the caller's own.

A call of a tool that was refused is sent once more only where the server cannot have begun it (docs/decisions/0025): the refusal
is word for word the one that it has for a request that names no tool, or it does not know the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from counterseal.clock import Clock
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import METHODS, MODERN, Kind
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.errors import BadCall, ServerError
from counterseal.servers.asked import JSON
from counterseal.servers.conversation import own_call
from counterseal.servers.crossing import Refusal
from counterseal.servers.link import Countersign, refused
from counterseal.servers.own_session import OwnSession, open_session
from counterseal.servers.pool import Pool
from counterseal.servers.session import Sessions
from counterseal.servers.streamable_http import StreamableHttp
from counterseal.servers.without_sessions import WithoutSessions
from counterseal.wire import bridge, headers, jsonrpc

_LEGACY: Final = Era.LEGACY
_NOTIFICATION: Final = Shape.NOTIFICATION

_MAY_BE_ANOTHER: Final = frozenset({400, 404, 405, 406, 415})
"""What a server may answer to a request of an era that it does not know. Anything else says nothing of eras."""
_EARLIER: Final = 1.0
"""Seconds by which a session ends before the credential that opened it, so that its end is still said in the caller's name."""

_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class EitherEra:
    """Sends permits to one server. client: our name and version. clock: tells which credentials have ended."""

    def __init__(
        self,
        http: StreamableHttp,
        server: str,
        countersign: Countersign,
        sessions: Sessions,
        client: tuple[str, str],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._http = http
        self._server = server
        self._countersign = countersign
        self._client = client
        self._clock = clock
        self._limits = limits
        self._pool: Pool[OwnSession] = Pool(limits.own_session_count, limits.own_session_idle_seconds)
        self._modern: bool | None = None
        """Whether the server has revision 2026-07-28; None as long as nobody knows."""
        self._legacy: bool | None = None
        """Whether it has one of the revisions with sessions."""
        self._without_sessions = WithoutSessions(http, server, countersign, sessions, client)

    def schema(self, tool: str) -> Mapping[headers.Path, str] | None:
        """What a tool mirrors into headers, as the server's lists showed it so far; None where no list named the tool."""
        return self._http.schema(tool)

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema, as `ToolSchemas.get` has it."""
        return self._http.input_schema(tool)

    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]:
        """As `StreamableHttp.request_headers`: to a server that has the caller's era."""
        return self._http.request_headers(permit)

    def healthy(self) -> None:
        """Nothing is known between calls."""

    async def close(self) -> None:
        """End every session that the gateway has opened."""
        await self._pool.close()

    async def send(self, permit: Permit) -> Reply:
        """One call. Raises CallError.

        The caller of this iterates or closes a stream in the reply, whatever happens.
        """
        if permit.call.era is _LEGACY:
            return await self._send_legacy(permit)
        if permit.call.shape is _NOTIFICATION:
            return await self._http.send(permit)
        if self._modern is False:
            return await self._in_session(permit)
        outcome = await self._http.exchange(permit)
        if isinstance(outcome, Reply):
            # Revision 2026-07-28 has `server/discover`, and 404 for what it has not.
            if not (permit.call.method == "server/discover" and outcome.is_error and outcome.status == 200):
                return outcome
            self._modern = await self._ask(permit.caller) is None
            return outcome if self._modern else await self._in_session(permit, sent=True)
        return await self._refused(permit, outcome)

    # ---- which era ----

    async def _refused(self, permit: Permit, refusal: Refusal) -> Reply:
        """A call of revision 2026-07-28 was refused: because the server does not know that revision, or for another reason."""
        call = permit.call
        error = bridge.error_of(refusal.body)
        if bridge.is_modern(refusal.status, error):
            self._modern = True
        elif refusal.status in _MAY_BE_ANOTHER and self._modern:
            # What a server of this revision does say as well. One that says nothing of the kind may have changed: the next
            # refusal is looked at.
            self._modern = None if error is None else True
        elif refusal.status in _MAY_BE_ANOTHER:
            asked = await self._ask(permit.caller)
            if asked is not None:
                self._modern = False
                if METHODS[call.method].kind is Kind.TOOL and not _alike(refusal, asked):
                    raise ServerError(
                        "server_refused",
                        f"the server refused the call, and may have begun it; it has only revisions before {MODERN}, so that "
                        "another call will be made in a session",
                        detail=f"the server answered {refusal.status}",
                    )
                return await self._in_session(permit, sent=True)
            self._modern = True
        return self._http.refused(call, refusal)

    async def _ask(self, caller: Caller) -> Refusal | None:
        """None where the server has revision 2026-07-28, else how it said that it has not. Raises CallError where it says
        neither."""
        message = bridge.discover(*self._client)
        async with self._countersign(caller, own_call(self._server, Era.MODERN, message)) as permit:
            told = await self._http.ask(permit)
            if isinstance(told, Refusal):
                if bridge.is_modern(told.status, bridge.error_of(told.body)):
                    return None
                if told.status not in _MAY_BE_ANOTHER:
                    raise refused(told.status)
                return told
            versions = _read_object(told.message).get("result", {}).get("supportedVersions")
            return None if isinstance(versions, list) and MODERN in versions else Refusal(200, told.message)

    # ---- a legacy caller ----

    async def _send_legacy(self, permit: Permit) -> Reply:
        call = permit.call
        if self._without_sessions.has(call):
            if self._legacy:
                raise BadCall("session_unknown", "the server has sessions of its own now: send `initialize` again")
            outcome = await self._without_sessions.send(permit)
            if isinstance(outcome, Reply):
                return outcome
            self._legacy = None
            raise refused(outcome.status)
        if call.method != "initialize":
            return await self._http.send(permit)
        return await self._initialize(permit)

    async def _initialize(self, permit: Permit) -> Reply:
        """It goes out as it is, unless the server is known to have no sessions; nothing comes of one that was refused."""
        refusal = None
        if self._legacy is not False:
            outcome = await self._http.exchange(permit)
            if isinstance(outcome, Reply):
                if not outcome.is_error:
                    self._legacy = True
                return outcome
            refusal = outcome
            if refusal.status not in _MAY_BE_ANOTHER or permit.call.session is not None:
                return self._http.refused(permit.call, refusal)
        introduced = await self._without_sessions.introduce(permit)
        if isinstance(introduced, Reply):
            self._modern = True
            if refusal is not None:
                if await self._has_sessions(permit, refusal):
                    self._legacy = True
                    return self._http.refused(permit.call, refusal)
                self._legacy = False
            return introduced
        self._legacy = None
        if refusal is None:
            raise refused(introduced.status)
        return self._http.refused(permit.call, refusal)

    async def _has_sessions(self, permit: Permit, refusal: Refusal) -> bool:
        """Whether a server that refused a caller's `initialize` takes one of the gateway's own, in which nothing is wrong. Raises
        CallError."""
        if _is_for_all(permit.call, refusal):
            return False
        caller = permit.caller
        still = partial(self._counts, caller.expires)
        opened = await open_session(self._http, self._server, caller, self._countersign, self._client, still)
        if isinstance(opened, OwnSession):
            await opened.end()
            return True
        if opened.status not in _MAY_BE_ANOTHER:
            raise refused(opened.status)
        return False

    # ---- a modern caller of a server without his revision ----

    async def _in_session(self, permit: Permit, *, sent: bool = False) -> Reply:
        """In a session that the gateway has opened for this caller. sent: the permit was used already, and refused."""
        call = permit.call
        if call.method != "server/discover" and not bridge.crosses(call.method):
            raise BadCall(
                "method_not_found", f"the server has only revisions before {MODERN}, which have no {call.method!r}"
            )
        session = await self._session(permit.caller)
        if call.method == "server/discover":
            return self._discovered(permit, session)
        outcome = await self._call(session, permit, sent=sent)
        if isinstance(outcome, Reply):
            return outcome
        if outcome.status not in (400, 404) or await session.knows():
            raise refused(outcome.status)
        self._pool.drop(self._key(permit.caller), session)
        # 404 is what every revision has for a session that the server does not know: it has looked no further. With 400 some say
        # the same, but that may mean anything.
        if outcome.status == 400 and METHODS[call.method].kind is Kind.TOOL:
            raise ServerError(
                "server_refused",
                "the server refused the call in a session that it does not know any more: call again",
                detail="the server answered 400, and knows no `ping` in that session",
            )
        outcome = await self._call(await self._session(permit.caller), permit, sent=True)
        if isinstance(outcome, Refusal):
            raise refused(outcome.status)
        return outcome

    async def _call(self, session: OwnSession, permit: Permit, *, sent: bool) -> Reply | Refusal:
        if not sent:
            return await session.call(permit)
        async with self._countersign(permit.caller, permit.call, permit) as again:
            return await session.call(again)

    @staticmethod
    def _discovered(permit: Permit, session: OwnSession) -> Reply:
        found = {"jsonrpc": "2.0", "id": permit.call.id, "result": bridge.discovery(session.handshake)}
        return Reply(200, JSON, jsonrpc.write(found), is_error=False, note="answered by the gateway")

    @staticmethod
    def _key(caller: Caller) -> tuple[str, bytes]:
        return "own", caller.fingerprint()

    async def _session(self, caller: Caller) -> OwnSession:
        key = self._key(caller)
        session = await self._pool.take(key, key[1], partial(self._open, key, caller))
        if session.counts:
            return session
        self._pool.drop(key, session)
        return await self._pool.take(key, key[1], partial(self._open, key, caller))

    async def _open(self, key: tuple[str, bytes], caller: Caller) -> OwnSession:
        expires = caller.expires
        still = partial(self._counts, expires)
        opened = await open_session(self._http, self._server, caller, self._countersign, self._client, still)
        if isinstance(opened, Refusal):
            self._modern = None
            raise refused(opened.status)
        seconds = float(self._limits.session_seconds)
        if expires is not None:
            seconds = max(0.0, min(seconds, expires - self._clock.wall()))
        loop = asyncio.get_running_loop()
        opened.timer = loop.call_later(max(seconds / 2, seconds - _EARLIER), self._retire, key, opened)
        return opened

    def _counts(self, expires: float | None) -> bool:
        return expires is None or expires > self._clock.wall()

    def _retire(self, key: tuple[str, bytes], session: OwnSession) -> None:
        session.retire()
        self._pool.drop(key, session)


def _is_for_all(call: Call, refusal: Refusal) -> bool:
    """Whether a server refused `initialize` because it has no sessions, and not for what this caller put into it."""
    asked = (call.message or {}).get("params", {}).get("protocolVersion")
    return asked == call.revision and bridge.is_modern(refusal.status, bridge.error_of(refusal.body))


def _alike(one: Refusal, other: Refusal) -> bool:
    """Whether both say the same, in so many words. What is no JSON-RPC error says nothing that could be compared."""
    error = bridge.error_of(one.body)
    return error is not None and (one.status, error) == (other.status, bridge.error_of(other.body))
