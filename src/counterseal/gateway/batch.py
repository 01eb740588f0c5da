"""JSON-RPC batches, which revision 2025-03-26 has and every other refuses.

Each message of a batch walks the pipeline on its own, with a decision, a call token and a record of its own, so that no token
is ever for two operations. The answers come as one event stream, in the order of the messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn, Protocol

from counterseal.core.call import Inbound, Session
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.reply import Reply, Stream
from counterseal.errors import BadCall, CallError
from counterseal.gateway.recorder import Recorder
from counterseal.wire import envelope, headers, jsonrpc
from counterseal.wire.eventstream import Event

_REVISION: Final = "2025-03-26"
_HEADERS: Final = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform"))

OpenSession = Callable[[Caller, str, str], Session]


class Handler(Protocol):
    """What the web room hands requests to."""

    def handle(self, inbound: Inbound) -> Coroutine[Any, Any, Reply]: ...

    async def identify(self, inbound: Inbound) -> Caller: ...

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn: ...


class Recorded(Handler, Protocol):
    """A handler that says where it records."""

    @property
    def recorder(self) -> Recorder: ...


class BatchHandler:
    """The pipeline, or what stands in front of it, with batches taken apart before it."""

    def __init__(self, pipeline: Recorded, open_session: OpenSession, limits: Limits) -> None:
        self._pipeline = pipeline
        self._open_session = open_session
        self._limits = limits

    def handle(self, inbound: Inbound) -> Coroutine[Any, Any, Reply]:
        """As `Pipeline.handle`."""
        if inbound.verb != "POST" or not jsonrpc.is_batch(inbound.body):
            return self._pipeline.handle(inbound)
        return self._handle_batch(inbound)

    async def _handle_batch(self, inbound: Inbound) -> Reply:
        async with self._pipeline.recorder.open(inbound) as record:
            caller = record.caller = await self._pipeline.identify(inbound)
            messages = self._messages(inbound, caller)
        parts = [(inbound.with_body(jsonrpc.write(message)), message.get("id")) for message in messages]
        answers = _Answers(self._pipeline, parts)
        if any("method" in message and "id" in message for message in messages):
            return Reply(200, _HEADERS, answers)
        async for _ in answers:
            pass  # only notifications and responses: nothing is answered
        return Reply(202, (), b"")

    async def identify(self, inbound: Inbound) -> Caller:
        """Who calls, from the headers alone: for a body that is still to come."""
        return await self._pipeline.identify(inbound)

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn:
        """As `Pipeline.refuse`."""
        await self._pipeline.refuse(inbound, error)

    def _messages(self, inbound: Inbound, caller: Caller) -> list[Mapping[str, Any]]:
        """Every message, read. Raises BadCall where a batch has no place, or holds what has no place in one."""
        envelope.check_media(inbound)
        value = jsonrpc.parse(inbound.body, self._limits)
        sealed = headers.single(inbound, b"mcp-session-id")
        if sealed is None or self._open_session(caller, inbound.server, sealed).revision != _REVISION:
            raise BadCall(
                "batch_not_allowed", f"batches exist in sessions of revision {_REVISION} only: send one by one"
            )
        if not 0 < len(value) <= self._limits.batch_messages:
            raise BadCall("batch_not_allowed", f"a batch holds 1 to {self._limits.batch_messages} messages")
        messages = [jsonrpc.read(item) for item in value]
        if any(message.get("method") == "initialize" for message in messages):
            raise BadCall("batch_not_allowed", "`initialize` is not sent in a batch")
        return messages


class _Answers:
    """The answers to a batch's messages, one after the other."""

    is_error = None

    def __init__(self, pipeline: Handler, parts: list[tuple[Inbound, str | int | None]]) -> None:
        self._pipeline = pipeline
        self._parts = parts
        self._open: Stream | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for inbound, identity in self._parts:
            try:
                body = (await self._pipeline.handle(inbound)).body
                if isinstance(body, bytes):
                    if body:
                        yield Event(body).write()
                    continue
                self._open = body
                async for chunk in body:
                    yield chunk
            except CallError as error:
                if identity is not None:
                    yield Event(jsonrpc.write(jsonrpc.error_message(error, error.record or ""))).write()
            finally:
                await self.aclose()

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.aclose()
            self._open = None
