"""`/mcp`: all servers at one address, in front of the pipeline.

    names something ─► its one server's call, in that server's own words ─► as at /mcp/{server}
    anything else   ─► recorded as a gather ─► a call of the caller's to each server ─► one answer

The caller is found and counted once, by the rules of this address: a token must be for it, and one that is for it is for no
single server's. What else a server asks of callers (channel tokens, identity headers) is asked before its call is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from typing import Any, Final, NoReturn, Protocol

from counterseal.clock import Clock
from counterseal.core.call import Call, Era, Inbound, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import SUPPORTED
from counterseal.core.permit import Allowed
from counterseal.core.reply import Reply
from counterseal.errors import BadCall, CallError
from counterseal.gateway.aggregate.asking import Answers, Asking, Outer
from counterseal.gateway.aggregate.kept import Kept
from counterseal.gateway.aggregate.legacy import Legacy
from counterseal.gateway.aggregate.listening import Listening
from counterseal.gateway.aggregate.lists import Introductions, Lists
from counterseal.gateway.aggregate.named import Named
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import OpenRecord
from counterseal.servers.session import Sessions
from counterseal.wire import envelope
from counterseal.wire.aggregate import lists, merged, names
from counterseal.wire.hosted import SERVER_INFO

_JSON: Final = ((b"content-type", b"application/json"),)


class Aggregate:
    """about: the `serverInfo` of this address. unkept: servers of whose answers none is kept. alone: whether there is no other
    worker. spelling: what tools and prompts are called here. held: a server's tools that are held back."""

    def __init__(
        self,
        pipeline: Pipeline,
        sessions: Sessions,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
        about: Mapping[str, str],
        *,
        unkept: Set[str] = frozenset(),
        alone: bool = True,
        spelling: names.Spelling = names.OURS,
        held: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self._spelling = spelling
        self.recorder = pipeline.recorder
        self._pipeline = pipeline
        self._limits = limits
        self._about = about
        asking = self._asking = Asking(pipeline, limits, new_id, about)
        kept = Kept(clock, limits)
        self._lists = Lists(pipeline, asking, kept, limits, unkept, spelling, held)
        self._introductions = Introductions(asking, kept, self._lists, unkept)
        self._listening = Listening(asking, kept, clock, limits)
        self._named = Named(pipeline, kept, limits, spelling)
        self._legacy = Legacy(
            pipeline,
            asking,
            self._lists,
            self._listening,
            self._named,
            kept,
            sessions,
            limits,
            new_id,
            about,
            unkept=unkept,
            alone=alone,
            spelling=spelling,
        )

    def handle(self, inbound: Inbound, among: Sequence[str] | None = None) -> Coroutine[Any, Any, Reply]:
        """As `Pipeline.handle`. among: the servers that are meant, where the address is that of all of them; None for each."""
        return self._pipeline.handle(inbound) if inbound.server else self._of_all(inbound, among)

    async def _of_all(self, inbound: Inbound, among: Sequence[str] | None) -> Reply:
        pipeline = self._pipeline
        async with pipeline.recorder.open(inbound) as record:
            caller = record.caller = await pipeline.identify(inbound)
            record.until_end(pipeline.admission.enter(caller, len(inbound.body)))
            meant = tuple(pipeline.signers if among is None else among)
            try:
                call = record.call = pipeline.decode(inbound, caller)
            except BadCall as error:
                await self._deny(record, inbound, meant, alone_of(among), error)
                raise
            if call.era is Era.MODERN and names.names_one(call):
                renamed = names.for_one(call, self._spelling, alone_of(among))
                return await self._named.carry(record, call, renamed, inbound, meant)
            outer = self._outer(record, caller, call, inbound, meant, alone_of(among))
            if call.era is Era.LEGACY:
                return await self._legacy.handle(record, outer)
            await record.gather()
            return record.watch(await self._gather(self._asking.asked(outer)))

    async def _deny(
        self, record: OpenRecord, inbound: Inbound, meant: tuple[str, ...], alone: str | None, error: BadCall
    ) -> None:
        """A refusal for a header that mirrors an argument tells of the tool. Raises CallError, another one, for a caller who may
        not call it and would not be shown it (M-17)."""
        if error.reason.code != "header_mismatch":
            return

        async def permitted(*_: object) -> NoReturn:
            raise error

        def no_session(_: str) -> NoReturn:
            raise error

        try:
            call = envelope.decode(inbound, self._limits, no_session, lambda _: None)
        except BadCall:
            return  # whatever it is for, it would have been refused
        if names.names_one(call):
            await self._named.carry(record, call, names.for_one(call, self._spelling, alone), inbound, meant, permitted)

    async def identify(self, inbound: Inbound) -> Caller:
        """As `Pipeline.identify`."""
        return await self._pipeline.identify(inbound)

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn:
        """As `Pipeline.refuse`."""
        await self._pipeline.refuse(inbound, error)

    async def close(self) -> None:
        """End what is open beside calls."""
        await self._legacy.close()

    def _outer(
        self,
        record: OpenRecord,
        caller: Caller,
        call: Call,
        inbound: Inbound,
        meant: tuple[str, ...],
        alone: str | None,
    ) -> Outer:
        until = asyncio.get_running_loop().time() + self._limits.gather_seconds
        return Outer(record.id, caller, inbound, call, meant, (), until, alone)

    # ---- modern calls that are asked of all ----

    async def _gather(self, outer: Outer) -> Reply:
        call = outer.call
        if call.shape is Shape.NOTIFICATION:
            return Reply(202, (), b"", note="dropped: a notification that its revision does not carry")
        if call.method == "subscriptions/listen":
            return await self._listening.listen(outer)
        if call.method == "server/discover":
            return Reply(200, _JSON, await self._discover(outer), is_error=False)
        return Reply(200, _JSON, await self._lists.page(outer), is_error=False)

    async def _discover(self, outer: Outer) -> bytes:
        answers = Answers()
        found = await self._introductions.of_all(outer, answers)
        said = {server: one for server, (one, _, _) in found.items()}

        def is_open(server: str, method: str) -> bool:
            return isinstance(self._pipeline.policy.decide_operation(found[server][2], server, method, None), Allowed)

        ttl_ms = min((ttl for _, ttl, _ in found.values()), default=0)
        most_ms = int(self._limits.kept_lists_seconds * 1000)
        result: dict[str, Any] = {
            "supportedVersions": list(SUPPORTED),
            "capabilities": merged.capabilities(said, is_open, push=True),
            "instructions": merged.instructions(said, self._spelling),
            "ttlMs": 0 if answers.unavailable else min(ttl_ms, most_ms),
            "cacheScope": "private",
        }
        return lists.write_result(outer.call, result, {SERVER_INFO: self._about, **answers.meta})


def alone_of(among: Sequence[str] | None) -> str | None:
    """The server at an address that is for one alone."""
    return among[0] if among is not None and len(among) == 1 else None


class Described(Protocol):
    """A server, as far as it is known what its tools mirror into headers."""

    def schema(self, tool: str) -> Any: ...


def schema_of_all(servers: Mapping[str, Described], tool: str, spelling: names.Spelling = names.OURS) -> Any:
    """What a tool mirrors into headers, by its name among all servers; None where no list has named it."""
    found = spelling.parted(tool)
    server = None if found is None else servers.get(found[0])
    return None if server is None or found is None else server.schema(found[1])
