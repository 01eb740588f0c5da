"""What the gateway itself has to say to a server so that a caller can be served: open a stream, shake hands, cancel.

Each is a call of that caller's: decided by the same policy, with a call token and a record of its own, whose `peer` is `gateway`.
So nothing leaves that was not countersigned, and no token is used for two requests: a call that is tried once more has a new one,
with the same `txn`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

from counterseal.core.call import Call, Inbound, Shape
from counterseal.core.caller import Caller
from counterseal.core.permit import Denial, Permit
from counterseal.core.reply import Reply
from counterseal.gateway.recorder import Denied, Recorder

PEER: Final = "gateway"


class Decide(Protocol):
    """`Pipeline.permit`, as far as it is needed here."""

    def __call__(self, caller: Caller, call: Call, *, again: Permit | None) -> Awaitable[Permit | Denial]: ...


class OwnCalls:
    """recorder, permit: of the pipeline, asked for at each call, because servers are there before it is."""

    def __init__(self, recorder: Callable[[], Recorder], permit: Decide) -> None:
        self._recorder = recorder
        self._permit = permit

    def __call__(self, caller: Caller, call: Call, again: Permit | None = None) -> AbstractAsyncContextManager[Permit]:
        """The permit, for as long as the block lasts; its end is the outcome. again: what the same call had before. Raises
        CallError."""
        return self._countersigned(caller, call, again)

    @asynccontextmanager
    async def _countersigned(self, caller: Caller, call: Call, again: Permit | None) -> AsyncIterator[Permit]:
        verb = {Shape.STREAM: "GET", Shape.END: "DELETE"}.get(call.shape, "POST")
        async with self._recorder().open(Inbound(verb, call.server, (), b"", PEER)) as record:
            record.caller, record.call = caller, call
            verdict = await self._permit(caller, call, again=again)
            if isinstance(verdict, Denial):
                raise Denied(verdict)
            await record.intent(verdict)
            yield verdict
            record.watch(Reply(200, (), b""))
