"""`/mcp/{server}`: bytes in, the pipeline, bytes out. The hot path.

What needs a socket happens here: the address exactly as it was sent (no second decoding, so no second meaning), Host and
Origin against DNS rebinding, the body's ceilings before it is kept, and a caller who leaves ends the call.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from counterseal.core.call import Inbound
from counterseal.core.limits import Limits
from counterseal.core.reply import Reply, Stream
from counterseal.errors import BadCall, CallError, CannotTell
from counterseal.gateway.admission import Admission, Place
from counterseal.gateway.batch import Handler
from counterseal.gateway.recorder import CutOff
from counterseal.identity.headers import IdentityHeaders
from counterseal.web.cors import Cors
from counterseal.web.exchange import CallerLeft, Exchange, TooLong
from counterseal.web.hosts import Hosts
from counterseal.wire import jsonrpc
from counterseal.wire.eventstream import Event

_PATH: Final = re.compile(rb"/mcp(?:/([A-Za-z0-9][A-Za-z0-9_-]{0,63}))?")
# LiteLLM's addresses: several names with commas, before or after `mcp`, and a slash at the end.
_NAMES: Final = rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(?:,[A-Za-z0-9][A-Za-z0-9_.-]{0,63}){0,31}"
_LITELLM_PATH: Final = re.compile(rb"/mcp(?:/(%b))?/?|/(?!mcp/)(%b)/mcp/?" % (_NAMES, _NAMES))
_LARGE: Final = 256 * 1024
"""Bytes of an answer that the system takes off our hands at once, or nearly so."""
_RETRY_AFTER: Final = (b"retry-after", b"2")


class McpEndpoint:
    """Answers every address that begins with `/mcp`, and LiteLLM's where it has those (`is_litellm`)."""

    def __init__(
        self,
        pipeline: Handler,
        hosts: Hosts,
        cors: Cors,
        identity_headers: IdentityHeaders,
        limits: Limits,
        *,
        is_litellm: bool = False,
    ) -> None:
        self._path = _LITELLM_PATH if is_litellm else _PATH
        self._is_litellm = is_litellm
        self._pipeline = pipeline
        self._hosts = hosts
        self._cors = cors
        self._identity_headers = identity_headers
        self._limits = limits
        self._calls = 0
        self._arriving = Admission(limits)
        self._untaken = Admission(
            limits, per_caller=limits.untaken_per_caller_bytes, of_all=limits.untaken_per_worker_bytes
        )

    def answers(self, url: bytes) -> bool:
        """Whether a request to this target, of the path and its query, is for `__call__`."""
        return url.startswith(b"/mcp") or (
            self._is_litellm and self._path.fullmatch(url.partition(b"?")[0]) is not None
        )

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request. Raises CallerLeft where nobody waits for the answer any more."""
        self._calls += 1
        try:
            head = exchange.head.passed or self._head(exchange)
            if head.all(b"origin"):
                exchange.more_headers = self._cors.headers(head)
            await self._serve(head, exchange)
        except CallError as error:
            await _refuse(error, exchange)
        finally:
            self._calls -= 1

    def _head(self, exchange: Exchange) -> Inbound:
        """The request without its body, and without headers that this peer must not send.

        server: what stands in the path; empty for `/mcp` and for what is no address at all.
        """
        head = exchange.head
        path = self._path.fullmatch(head.path)
        server = (path[path.lastindex or 0].decode() if path.lastindex else "") if path is not None else ""
        return self._identity_headers.admitted(Inbound(head.verb, server, head.headers, b"", exchange.peer))

    async def _serve(self, head: Inbound, exchange: Exchange) -> None:
        try:
            inbound = await self._whole(head, exchange)
        except CallError as error:
            # Nobody reads the rest of its body, so nothing may follow on this connection (H-07).
            error.headers += ((b"connection", b"close"),)
            raise
        if inbound is None:
            await exchange.answer(204, self._cors.preflight_answer(head), b"")
            return
        watch = _Watch()
        exchange.when_left(watch.end)
        try:
            reply = await self._pipeline.handle(inbound)
            if isinstance(reply.body, bytes):
                if len(reply.body) <= _LARGE:
                    await exchange.answer(reply.status, reply.headers, reply.body)
                else:
                    await self._deliver(inbound, reply, reply.body, exchange)
            else:
                await _stream(reply, reply.body, exchange)
        except asyncio.CancelledError as ended:
            if watch.left:
                watch.call.uncancel()
                raise CallerLeft from None
            if isinstance(ended, CutOff) and not exchange.started:
                watch.call.uncancel()
                raise ended.error from None
            raise  # what of a stream is out already must not look whole
        finally:
            exchange.when_left(None)

    async def _deliver(self, inbound: Inbound, reply: Reply, body: bytes, exchange: Exchange) -> None:
        """A large answer to a call that has ended, which its caller may take slowly: it holds a place of his until then, and its
        bytes. Raises CallError."""
        caller = None
        try:
            caller = await self._pipeline.identify(inbound)
            place = self._untaken.enter(caller, len(body))
        except CallError as error:
            error.caller = error.caller or caller
            await self._pipeline.refuse(inbound, error)
        try:
            async with asyncio.timeout(self._limits.server_total_seconds):
                await exchange.large_answer(reply.status, reply.headers, body)
        except TimeoutError:
            exchange.abandon()
            raise CallerLeft from None
        finally:
            place()

    async def _whole(self, inbound: Inbound, exchange: Exchange) -> Inbound | None:
        """The request, whole; None for a preflight. Raises CallError for one that is refused before its caller is asked for."""
        try:
            if self._calls > self._limits.calls_per_worker:
                raise CallError("overloaded", "the gateway carries as many calls as it may")
            if exchange.head.passed is None:
                if not self._passes(inbound, exchange):
                    return None
                exchange.head.passed = inbound
            if exchange.more_body:
                await self._arrival(inbound, exchange)
            body = exchange.taken_body(self._limits.body_bytes)
        except TooLong:
            await self._pipeline.refuse(inbound, self._too_large())
        except asyncio.CancelledError:  # not by its caller, of whom `body_arrived` hears: the gateway ends
            await self._pipeline.refuse(
                inbound, CannotTell("gateway_ended", "the gateway has ended before the call was made")
            )
        except CallError as error:
            await self._pipeline.refuse(inbound, error)
        return inbound.with_body(body) if body else inbound

    def _passes(self, inbound: Inbound, exchange: Exchange) -> bool:
        """Whether this is the head of a call; if not, it is that of a preflight. Looks at nothing that is not the same for every
        request with this head on this connection. Raises BadCall."""
        path = exchange.head.path
        if not inbound.server and path != b"/mcp" and not self._path.fullmatch(path):
            raise BadCall(
                "server_unknown", "there is no such address: servers are at /mcp/{server}, and all of them at /mcp"
            )
        self._hosts.check(inbound, exchange.local)
        if inbound.verb in ("POST", "GET", "DELETE"):
            return True
        if self._cors.is_preflight(inbound):
            return False
        allow = ((b"allow", b"POST, GET, DELETE"),)
        raise BadCall("http_method_refused", f"{inbound.verb} is not served here", headers=allow)

    async def _arrival(self, inbound: Inbound, exchange: Exchange) -> None:
        """Wait until the body is here."""
        declared = inbound.all(b"content-length")
        if declared and int(declared[0]) > self._limits.body_bytes:  # the HTTP parser took digits only, and one of them
            raise TooLong
        caller = await self._pipeline.identify(inbound)  # nobody's bytes are kept before it is known whose they are
        place: Place | None = None
        try:
            place = self._arriving.enter(caller)  # nor as many as would leave no room for others (H-09)
            async with asyncio.timeout(self._limits.body_seconds):
                await exchange.body_arrived(self._limits.body_bytes, place.holds)
        except TimeoutError:
            raise BadCall("invalid_request", "the body did not arrive in time") from None
        except CallError as error:
            error.caller = caller
            raise
        finally:
            if place is not None:
                place()

    def _too_large(self) -> BadCall:
        return BadCall("too_large", f"the body has more than {self._limits.body_bytes} bytes")


class _Watch:
    """Ends the call when the caller's connection ends: a disconnect is a cancellation."""

    __slots__ = ("call", "left")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.call = task
        self.left = False

    def end(self) -> None:
        self.left = True
        self.call.cancel()


async def _stream(reply: Reply, body: Stream, exchange: Exchange) -> None:
    try:
        await exchange.start(reply.status, reply.headers)
        await _pieces(body, exchange)
        exchange.end()
    finally:
        await body.aclose()


async def _pieces(body: Stream, exchange: Exchange) -> None:
    try:
        async for chunk in body:
            await exchange.piece(chunk)
    except CallError as error:
        # The status is gone; the request still gets its answer, as the last event.
        message = jsonrpc.write(jsonrpc.error_message(error, error.record or ""))
        await exchange.piece(Event(message).write())


async def _refuse(error: CallError, exchange: Exchange) -> None:
    headers = ((b"content-type", b"application/json"), *error.headers)
    if error.reason.status in (429, 503):
        headers += (_RETRY_AFTER,)
    await exchange.answer(error.reason.status, headers, jsonrpc.write(jsonrpc.error_message(error, error.record or "")))
