"""The lists of all servers as one: each server's own, in the order of the configuration, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from counterseal.core.call import Call, Era, Inbound, Session
from counterseal.core.caller import Caller
from counterseal.core.claims import refusal
from counterseal.core.limits import Limits
from counterseal.core.methods import METHODS, Method
from counterseal.core.permit import Allowed, Denial
from counterseal.core.sources import UnfitSubject
from counterseal.errors import BadCall, ServerError, Unauthenticated
from counterseal.gateway.aggregate.asking import Answers, Asking, Outer, declared
from counterseal.gateway.aggregate.kept import Asked, Kept, Listed
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import Denied
from counterseal.identity.credentials import REFUSED
from counterseal.wire import jsonrpc
from counterseal.wire.aggregate import lists, merged
from counterseal.wire.aggregate.lists import Item
from counterseal.wire.aggregate.names import OURS, Spelling

_PAGES: Final = 100
"""Pages of one server's list that are asked for."""

SessionAt = Callable[[str, bool], Awaitable[Session | None]]
"""(server, whether the session that it had before is lost) to the session of this caller there."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the caller may see of one server's list, and for how long that is so."""

    items: Sequence[Item]
    ttl_ms: int


class Lists:
    """unkept: servers whose answers depend on more than the caller, so that nothing of theirs is kept. spelling: what things are
    called. held: a server's tools that are held back."""

    def __init__(
        self,
        pipeline: Pipeline,
        asking: Asking,
        kept: Kept,
        limits: Limits,
        unkept: Set[str],
        spelling: Spelling = OURS,
        held: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self._held = held
        self._spelling = spelling
        self._pipeline = pipeline
        self._asking = asking
        self._kept = kept
        self._limits = limits
        self._unkept = unkept

    async def page(self, outer: Outer, session_at: SessionAt | None = None) -> bytes:
        """One page of the list. session_at: None in the modern era.

        Raises BadCall for a cursor that leads nowhere.
        """
        call = outer.call
        row = METHODS[call.method]
        place = _place(call)
        begin = 0 if place is None else _index(outer.among, place[0])
        answers = Answers()
        servers = outer.among[begin:]
        seen = await self._asking.of_each(servers, partial(self._of, outer, row, session_at), answers)
        if place is not None and place[0] in seen:
            seen[place[0]] = _after(seen[place[0]], place[1])
        items, cursor = self._cut(seen)
        members: dict[str, Any] = {} if cursor is None else {"nextCursor": cursor}
        if call.era is Era.MODERN:
            ttl_ms = 0 if answers.unavailable or not seen else min(one.ttl_ms for one in seen.values())
            members |= {"ttlMs": ttl_ms, "cacheScope": "private"}
        return lists.write_list(call, row, items, members, answers.meta)

    def _cut(self, seen: Mapping[str, _Seen]) -> tuple[list[Item], str | None]:
        """The items of one page, and the cursor where there are more."""
        page: list[Item] = []
        size, last = 0, ""
        for server, one in seen.items():
            for item in one.items:
                size += len(item.text)
                if page and (size > self._limits.gather_page_bytes or len(page) == self._limits.gather_page_count):
                    return page, lists.cursor_of(last, page[-1].name)
                page.append(item)
                last = server
        return page, None

    async def _of(self, outer: Outer, row: Method, session_at: SessionAt | None, server: str) -> _Seen:
        who = await self._asking.at(outer, server)
        caller = who[0]
        assert row.lists is not None
        may = partial(self._may, caller, server, row.lists[1])
        if session_at is not None:
            return _Seen((await self._in_session(outer, who, row, server, session_at)).visible(caller, may), 0)
        asked = replace(asked_of(outer.call, server, row.name, caller), held=self._held(server))
        found = None if server in self._unkept else self._kept.get(asked)
        if found is not None:
            await self.check(outer, who, server, row.name)
            listed, ttl_ms = found
        else:
            changes = self._kept.changes(server, row.name)
            listed, ttl_ms, shared = await self._ask(outer, who, row, server, None)
            if server not in self._unkept:
                seen = replace(asked, held=self._held(server))  # which this very list may have changed
                self._kept.keep(seen, listed, ttl_ms, shared=shared, changes=changes)
            ttl_ms = min(ttl_ms, int(self._limits.kept_lists_seconds * 1000))
        return _Seen(listed.visible(caller, may), ttl_ms)

    async def _in_session(
        self, outer: Outer, who: tuple[Caller, Inbound], row: Method, server: str, session_at: SessionAt
    ) -> Listed:
        """A session's own list, of which a server does not say how long it is true."""
        try:
            return (await self._ask(outer, who, row, server, await session_at(server, False)))[0]
        except BadCall as error:
            if error.reason.code != "session_unknown":
                raise
        return (await self._ask(outer, who, row, server, await session_at(server, True)))[0]

    async def check(self, outer: Outer, who: tuple[Caller, Inbound], server: str, method: str) -> None:
        """What is said again was decided for another call: so this one is decided, too, with what its call token would need of
        the caller. Nothing is signed, because nothing is sent. Raises Denied, CallError."""
        caller, call = who[0], self._asking.request(outer, server, method, {})
        decided = await self._pipeline.decide(caller, call, who[1])
        if isinstance(decided, Denial):
            raise Denied(decided)
        now = int(self._pipeline.clock.wall())
        try:
            refused = refusal(caller, call, self._pipeline.signers[server], now=now)
        except UnfitSubject as error:
            raise Unauthenticated("credential_invalid", REFUSED, detail=str(error)) from None
        if refused is not None:
            raise Denied(refused)

    async def _ask(
        self, outer: Outer, who: tuple[Caller, Inbound], row: Method, server: str, session: Session | None
    ) -> tuple[Listed, int, bool]:
        """The whole list of a server, how long it may be kept, and whether for everybody."""
        items: list[Item] = []
        size = 0
        cursor: str | None = None
        ttl_ms, shared = 2**53, True
        for _ in range(_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            call = self._asking.request(outer, server, row.name, params, session)
            _, page = await self._asking.ask(
                outer, who, call, partial(lists.page_of, row=row, server=server, spelling=self._spelling)
            )
            items += page.items
            size += page.size
            ttl_ms, shared = min(ttl_ms, page.ttl_ms), shared and page.shared
            if size > self._limits.gather_list_bytes or len(items) > self._limits.gather_list_count:
                raise ServerError(
                    "server_answer_too_large", "the server's answer is too large", detail="its list has no place here"
                )
            if page.cursor is None:
                return Listed(tuple(items), size), ttl_ms, shared
            cursor = page.cursor
        raise ServerError(
            "server_answer_invalid", "the server's answer is not valid", detail=f"a list of more than {_PAGES} pages"
        )

    def _may(self, caller: Caller, server: str, use: str, name: str) -> bool:
        return isinstance(self._pipeline.policy.decide_operation(caller, server, use, name), Allowed)


class Introductions:
    """What each server says of itself, in the modern era."""

    def __init__(self, asking: Asking, kept: Kept, lists: Lists, unkept: Set[str]) -> None:
        self._asking = asking
        self._kept = kept
        self._lists = lists
        self._unkept = unkept

    async def of_all(self, outer: Outer, answers: Answers) -> dict[str, tuple[merged.Introduction, int, Caller]]:
        """Of each server that says something: what, for how many milliseconds that is so, and who the caller is there."""
        return await self._asking.of_each(outer.among, partial(self._of, outer), answers)

    async def _of(self, outer: Outer, server: str) -> tuple[merged.Introduction, int, Caller]:
        who = await self._asking.at(outer, server)
        asked = asked_of(outer.call, server, "server/discover", who[0])
        found = None if server in self._unkept else self._kept.get(asked)
        if found is not None:
            await self._lists.check(outer, who, server, "server/discover")
            return (*found, who[0])
        changes = self._kept.changes(server, "server/discover")
        call = self._asking.request(outer, server, "server/discover", {})
        _, said = await self._asking.ask(outer, who, call, merged.introduction)
        if server not in self._unkept:
            self._kept.keep(asked, said, said.ttl_ms, shared=said.shared, changes=changes)
        return said, said.ttl_ms, who[0]


def asked_of(call: Call, server: str, method: str, caller: Caller) -> Asked:
    """Where the answer of this server to this client would be kept."""
    return Asked(server, method, jsonrpc.write(declared(call)), caller.fingerprint(), caller)


def _place(call: Call) -> tuple[str, str] | None:
    """Where the page begins: after this server's item of this name; None for the first page."""
    cursor = (call.message or {}).get("params", {}).get("cursor")
    if cursor is None:
        return None
    place = lists.place_of(cursor) if isinstance(cursor, str) else None
    if place is None:
        raise _no_cursor()
    return place


def _index(servers: tuple[str, ...], server: str) -> int:
    try:
        return servers.index(server)
    except ValueError:
        raise _no_cursor() from None


def _after(seen: _Seen, name: str) -> _Seen:
    for index, item in enumerate(seen.items):
        if item.name == name:
            return _Seen(seen.items[index + 1 :], seen.ttl_ms)
    raise _no_cursor()


def _no_cursor() -> BadCall:
    return BadCall("invalid_params", "there is no such cursor: begin the list again, without one")
