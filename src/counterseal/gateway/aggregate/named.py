"""A call at the address of all servers that is for one of them: from its own names to the pipeline, and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.permit import Denial
from counterseal.core.reply import Headers, Reply
from counterseal.errors import BadCall, ServerError, Unauthenticated
from counterseal.gateway.aggregate.kept import Kept
from counterseal.gateway.aggregate.streams import shown_reply
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import Denied, OpenRecord
from counterseal.wire.aggregate import names
from counterseal.wire.aggregate.shown import Id, Questions, Shown
from counterseal.wire.duplex import progress_token


@dataclass(frozen=True, slots=True)
class Entered:
    """A call in the session that its caller has with the server. headers: of the reply. over: called at its end. lost: called
    where the server does not know the session any more. progresses: as `Shown` takes it; None: the call's own token alone."""

    call: Call
    questions: Questions | None
    headers: Headers
    over: Callable[[], object] | None = None
    lost: Callable[[], object] | None = None
    progresses: Callable[[Id], bool] | None = None


Enter = Callable[[Call, Caller, Inbound], Awaitable[Entered]]
"""Opens or finds the session of a legacy call, which policy has permitted."""


class Named:
    def __init__(self, pipeline: Pipeline, kept: Kept, limits: Limits, spelling: names.Spelling = names.OURS) -> None:
        self._spelling = spelling
        self._pipeline = pipeline
        self._kept = kept
        self._limits = limits

    async def carry(
        self,
        record: OpenRecord,
        call: Call,
        renamed: Call,
        inbound: Inbound,
        meant: tuple[str, ...],
        enter: Enter | None = None,
    ) -> Reply:
        """A call from its decision to its reply. call: as it came; renamed: the same for its server. meant: the servers that it
        may be. Raises CallError; where the server is not for the caller, the same as where there is none."""
        if renamed.server not in meant or renamed.server not in self._pipeline.signers:
            raise names.nothing(call, self._spelling)
        assert record.caller is not None
        try:
            caller, there = await self._pipeline.identify.at(record.caller, inbound, renamed.server)
            record.caller, record.call = caller, renamed
            if enter is None:
                shown = partial(self._shown, Entered(renamed, None, ()))
                return await self._pipeline.carry(record, caller, renamed, there, shown)
            # No session is opened for what policy denies.
            decided = self._pipeline.policy.decide(caller, renamed)
            if isinstance(decided, Denial):
                raise Denied(decided)
            return await self._in_session(record, await enter(renamed, caller, there), caller, there)
        except Denied as denied:
            if denied.reason.code != "server_unknown":
                raise
            hidden = names.nothing(call, self._spelling)
            hidden.rule = denied.rule
            raise hidden from None
        except Unauthenticated as error:
            raise self._pipeline.identify.challenged(error, "") from None

    async def _in_session(self, record: OpenRecord, entered: Entered, caller: Caller, there: Inbound) -> Reply:
        record.call = entered.call
        try:
            return await self._pipeline.carry(record, caller, entered.call, there, partial(self._shown, entered))
        except BaseException as error:
            if entered.over is not None:
                entered.over()
            if entered.lost is None or not isinstance(error, BadCall) or error.reason.code != "session_unknown":
                raise
            entered.lost()
            what = "the server has ended its session: send the call again, and another is opened"
            raise ServerError("server_unreachable", what) from None

    def _shown(self, entered: Entered, reply: Reply) -> Reply:
        call = entered.call
        token = progress_token(call.message or {})
        progresses = entered.progresses or (lambda told: told == token)
        shown = Shown(call.server, call.method, entered.questions, self._kept.changed, progresses)
        return shown_reply(reply, call.server, shown, self._limits, entered.headers, entered.over)
