"""Exactly one record for each call, whatever happens to it.

Opened before anything is known. A call that is refused leaves one entry; a call that is made leaves an intent, durable before
it leaves, and an outcome after its last byte.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Literal

from counterseal.audit.sink import Sink
from counterseal.clock import Clock
from counterseal.core import record as entries
from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.keyed import Keyed
from counterseal.core.operation import Operation
from counterseal.core.permit import Denial, Permit
from counterseal.core.reply import Reply, Stream
from counterseal.errors import REASONS, BadCall, CallError, CannotTell, Reason
from counterseal.hooks.observing import Observe
from counterseal.hooks.view import Event, caller_view
from counterseal.issuer.signer import Signer

_log = logging.getLogger("counterseal.gateway")


class Denied(BadCall):
    """A denial on its way out of the pipeline. rule: what said no."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.reason, denial.message)
        self.rule = denial.rule


class CutOff(asyncio.CancelledError):
    """The gateway's own end cut a call off: a cancellation to all that it passes, and an error to whoever answers the caller."""

    def __init__(self, error: CallError) -> None:
        super().__init__()
        self.error = error


class Recorder:
    """mac_key: 32 bytes; arguments are recorded as a MAC under it, never as they are. new_id: as the pipeline's. observe: is told
    of each call after its end; None where nobody looks on."""

    def __init__(
        self, sink: Sink, clock: Clock, mac_key: bytes, new_id: Callable[[], str], observe: Observe | None = None
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._keyed = Keyed(mac_key)
        self._new_id = new_id
        self._observe = observe
        self._ending = asyncio.Event()

    def cut_off(self) -> None:
        """From now on it is the gateway's own end that ends calls before their time, and no caller who left."""
        self._ending.set()

    @property
    def new_id(self) -> Callable[[], str]:
        """128 random bits as text, new at each call."""
        return self._new_id

    async def probed(
        self, attack: str, server: str, operation: Operation, claims: Mapping[str, Any], signer: Signer
    ) -> None:
        """Make it durable that a token is signed to attack a server with. Raises as `OpenRecord.intent` does."""
        record = f"rec_{self._new_id()}"
        await self._sink.write(
            entries.probed(record, attack, server, operation, claims, kid=signer.kid, algorithm=signer.algorithm)
        )

    def open(self, inbound: Inbound, part_of: str | None = None) -> OpenRecord:
        """part_of: the id of the record of the call for which this one is made; None for one that a caller made."""
        return OpenRecord(
            self._sink, self._clock, self._keyed, self._new_id(), inbound, self._observe, self._ending, part_of
        )


class OpenRecord:
    """The record of one call while it is made. The pipeline fills in `caller`, `call` and the intent as they come to be."""

    __slots__ = (
        "_clock",
        "_ending",
        "_inbound",
        "_keyed",
        "_observe",
        "_part_of",
        "_release",
        "_rule",
        "_sink",
        "_started",
        "call",
        "caller",
        "id",
        "intended",
        "intending",
    )

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        keyed: Keyed,
        new_id: str,
        inbound: Inbound,
        observe: Observe | None,
        ending: asyncio.Event,
        part_of: str | None = None,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._keyed = keyed
        self._inbound = inbound
        self._observe = observe
        self._ending = ending
        self._part_of = part_of
        self._rule: str | None = None
        self._started = clock.monotonic()
        self.id = "rec_" + new_id
        self.caller: Caller | None = None
        self.call: Call | None = None
        self.intending = False
        self.intended = False
        self._release: Callable[[], None] | None = None

    def until_end(self, release: Callable[[], None]) -> None:
        """Call this once when the call has ended, however it ends."""
        self._release = release

    async def __aenter__(self) -> OpenRecord:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, asyncio.CancelledError):
            self._abandon()
            if self._ending.is_set() and self._part_of is None:
                raise CutOff(self._cut_off()) from None
            return
        if not isinstance(error, CallError):
            _log.error("record %s: %s", self.id, kind.__name__ if kind else "", exc_info=error)
            failure = CallError("internal_error", "the gateway has a defect", detail=type(error).__name__)
            await self._fail(failure)
            raise failure from None
        await self._fail(error)

    def _abandon(self) -> None:
        """The caller left, or the gateway ends. What was about to be written as the intent may be in the file: then it gets its
        outcome."""
        why = self._why_aborted()
        status = None if why is None else why.status
        code = entries.CALLER_LEFT if why is None else why.code
        if self.intending:
            self._end("aborted", status, code, None, 0)
        else:
            self._over()
            entry = entries.refusal(self.id, self._inbound, self.caller, self.call, why, part_of=self._part_of)
            self._post(entry)
            self._tell("refused", code, None, status)

    def _why_aborted(self) -> Reason | None:
        """None: the caller left."""
        return REASONS["gateway_ended"] if self._ending.is_set() else None

    def _cut_off(self) -> CallError:
        """What the caller is told of the gateway's end."""
        error = CannotTell(
            "gateway_ended",
            "the gateway has ended before the server answered: whether it did what it was asked is not known"
            if self.intending
            else "the gateway has ended before the call was made",
            id=None if self.call is None else self.call.id,
        )
        error.record = self.id
        return error

    async def _fail(self, error: CallError) -> None:
        if not self.intended:
            self._over()
        error.record = self.id
        if error.id is None and self.call is not None:
            error.id = self.call.id
        reason = error.reason
        if self.intended:
            self._end("failed", reason.status, reason.code, error.detail, 0)
            return
        self._rule = error.rule
        self.caller = self.caller or error.caller
        if reason is not REASONS["audit_unavailable"]:
            entry = entries.refusal(
                self.id,
                self._inbound,
                self.caller,
                self.call,
                reason,
                detail=error.detail,
                rule=error.rule,
                part_of=self._part_of,
            )
            try:
                await self._sink.write(entry)
            except CallError as unwritten:
                unwritten.record, unwritten.id = self.id, error.id
                self._tell("refused", unwritten.reason.code, None, unwritten.reason.status)
                raise unwritten from None
        self._tell("refused", reason.code, None, reason.status)

    async def intent(self, permit: Permit) -> None:
        """Make the intent durable. Raises CannotTell `audit_unavailable`: no record, no effect."""
        self.intending = True
        self._rule = permit.allowed.rule
        await self._sink.write(entries.intent(self.id, self._inbound, permit, self._mac(permit), self._part_of))
        self.intended = True

    async def gather(self) -> None:
        """Make it durable that a caller's call is about to be asked of several servers. Raises as `intent` does."""
        assert self.caller is not None
        assert self.call is not None
        self.intending = True
        await self._sink.write(entries.gather(self.id, self._inbound, self.caller, self.call))
        self.intended = True

    async def minted(self, permit: Permit) -> None:
        """Make it durable that a token was made by hand. Raises as `intent` does."""
        await self._sink.write(entries.minted(self.id, self._inbound, permit, self._mac(permit)))

    def _mac(self, permit: Permit) -> str | None:
        digest = permit.claims["authorization_details"][0].get("arguments_digest")
        if digest is None:
            return None
        return self._keyed.mac(digest.encode()).hex()

    def watch(self, reply: Reply) -> Reply:
        """The reply, with its end noted down."""
        if isinstance(reply.body, bytes):
            how: entries.Outcome = "error" if reply.is_error or reply.status >= 400 else "answered"
            self._end(how, reply.status, None, reply.note, len(reply.body))
            return reply
        return Reply(reply.status, reply.headers, _Watched(self, reply.status, reply.body, reply.note))

    def ended(self, how: entries.Outcome, *, status: int | None = None, detail: str | None = None) -> None:
        """The end of a call that somebody else carried, as far as he tells it. Once, after the intent."""
        self._end(how, status, None, detail, 0)

    def _over(self) -> None:
        if self._release is not None:
            self._release()
            self._release = None

    def _end(self, how: entries.Outcome, status: int | None, reason: str | None, detail: str | None, size: int) -> None:
        self._over()
        seconds = self._clock.monotonic() - self._started
        self._post(
            entries.outcome(self.id, how, status=status, reason=reason, detail=detail, size=size, seconds=seconds)
        )
        self._tell("permitted", reason, how, status)

    def _tell(
        self,
        verdict: Literal["permitted", "refused"],
        reason: str | None,
        how: entries.Outcome | None,
        status: int | None,
    ) -> None:
        if self._observe is None:
            return
        call = self.call
        event = Event(
            record=self.id,
            caller=None if self.caller is None else caller_view(self.caller),
            server=self._inbound.server if call is None else call.server,
            method=None if call is None else call.method,
            name=None if call is None else call.name,
            verdict=verdict,
            rule=self._rule,
            reason=reason,
            outcome=how,
            status=status,
            seconds=self._clock.monotonic() - self._started,
        )
        self._observe(event)

    def _post(self, entry: dict[str, Any]) -> None:
        try:
            self._sink.post(entry)
        except CannotTell as error:
            # The gateway is ending. The call is over already, and an intent without an outcome says that nobody knows.
            _log.warning("record %s: its end (%s) was not written: %s", self.id, entry["event"], error.detail)


class _Watched:
    """A stream whose end is recorded, however it ends."""

    __slots__ = ("_body", "_ended", "_note", "_record", "_size", "_status")

    def __init__(self, record: OpenRecord, status: int, body: Stream, note: str | None) -> None:
        self._record = record
        self._status = status
        self._body = body
        self._note = note
        self._size = 0
        self._ended = False

    @property
    def is_error(self) -> bool | None:
        return self._body.is_error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._body:
                self._size += len(chunk)
                yield chunk
        except CallError as error:
            error.record = self._record.id
            if error.id is None and self._record.call is not None:
                error.id = self._record.call.id
            self._end("failed", error.reason.code, error.detail)
            raise
        self._end("error" if self._body.is_error else "answered", None, self._note)

    async def aclose(self) -> None:
        await self._body.aclose()
        why = self._record._why_aborted()
        self._end("aborted", entries.CALLER_LEFT if why is None else why.code, self._note)

    def _end(self, how: entries.Outcome, reason: str | None, detail: str | None) -> None:
        if not self._ended:
            self._ended = True
            self._record._end(how, self._status, reason, detail, self._size)
