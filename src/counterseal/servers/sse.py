"""Servers of the old HTTP+SSE transport (revision 2024-11-05): one event stream for all that the server says, and posts to the
address that it names there.

The stream and each post carry a call token of their own. The address must be of the server's own origin: it comes from the server
and gets credentials (wire/endpoint.py). No redirect is followed, and nothing of an answer but messages is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import LEGACY, REPLY, STREAM
from counterseal.core.permit import Permit
from counterseal.errors import ServerError
from counterseal.httpclient import Target
from counterseal.servers.event_body import SLICE
from counterseal.servers.http import Http, Request, Response
from counterseal.servers.link import (
    Countersign,
    Hears,
    SessionGone,
    fresh,
    invalid,
    refused,
    stream_seconds,
    timed_out,
    too_large,
    unreachable,
)
from counterseal.servers.streamable_http import Destination
from counterseal.wire import endpoint, jsonrpc
from counterseal.wire.eventstream import EventTooLarge, Reader

_POSTED_BYTES: Final = 64 * 1024
"""Of an answer to a post, which says nothing."""


class SseLink:
    """One event stream and the posts that belong to it."""

    def __init__(
        self,
        destination: Destination,
        http: Http,
        caller: Caller,
        hears: Hears,
        countersign: Countersign,
        limits: Limits,
    ) -> None:
        self._destination = destination
        self._http = http
        self._caller = caller
        self._hears = hears
        self._countersign = countersign
        self._limits = limits
        self._static = (
            ("User-Agent", destination.user_agent),
            ("Accept-Encoding", "identity"),
            *destination.static,
        )
        self._endpoint: asyncio.Future[Target] = asyncio.get_running_loop().create_future()
        self._response: Response | None = None
        self._reading: asyncio.Task[None] | None = None
        self._gone: ServerError | None = None

    async def open(self, target: Target) -> None:
        """Open the stream and wait for the address to post to. Raises CallError."""
        call = Call(
            server=self._destination.name, era=Era.LEGACY, revision=LEGACY[0], shape=Shape.STREAM, method=STREAM
        )
        try:
            async with (
                asyncio.timeout(self._limits.server_idle_seconds),
                self._countersign(self._caller, call) as permit,
            ):
                headers = [*self._credential(permit), ("Accept", "text/event-stream"), ("Cache-Control", "no-store")]
                seconds = stream_seconds(permit, self._limits)
                self._response = await self._http.send(
                    Request("GET", target, permit.beside(headers), None, seconds, permit.caller)
                )
                self._check(self._response)
                self._reading = asyncio.get_running_loop().create_task(self._read(self._response))
                await self._endpoint
        except TimeoutError:
            raise timed_out("no address to post to in time") from None

    def _check(self, response: Response) -> None:
        media = (response.header(b"content-type") or "").partition(";")[0].strip().lower()
        if response.status != 200:
            raise refused(response.status)
        if media != "text/event-stream" or (response.header(b"content-encoding") or "identity") != "identity":
            raise invalid("not an event stream")

    def _credential(self, permit: Permit) -> list[tuple[str, str]]:
        place = self._destination.header
        token = f"Bearer {permit.token}" if place.lower() == "authorization" else permit.token
        return [(place, token), *self._static]

    # ---- to the server ----

    async def write(self, permit: Permit, message: Mapping[str, Any]) -> None:
        if self._gone is not None:
            raise fresh(self._gone)
        headers = [*self._credential(permit), ("Content-Type", "application/json"), ("Accept", "application/json")]
        target = self._endpoint.result()
        body = jsonrpc.write(message)
        response = await self._http.send(Request("POST", target, permit.beside(headers), body, None, permit.caller))
        if 200 <= response.status < 300:
            await response.read(_POSTED_BYTES)  # and drop: so that the connection can be kept
            return
        response.abort()
        if response.status == 404:
            raise SessionGone
        raise refused(response.status)

    async def reply(self, message: Mapping[str, Any]) -> None:
        call = Call(
            server=self._destination.name,
            era=Era.LEGACY,
            revision=LEGACY[0],
            shape=Shape.REPLY,
            method=REPLY,
            message=message,
        )
        async with self._countersign(self._caller, call) as permit:
            await self.write(permit, message)

    async def end(self) -> None:
        self._gone = self._gone or unreachable("the conversation has ended")
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._response is not None:
            self._response.abort()

    # ---- from the server ----

    async def _read(self, response: Response) -> None:
        reader = Reader(self._limits.server_event_bytes)
        why = unreachable("the event stream ended")
        try:
            async for chunk in response.chunks():
                for start in range(0, len(chunk), SLICE):
                    if start:
                        await asyncio.sleep(0)
                    for event in reader.feed(chunk[start : start + SLICE]):
                        if event.data is None:
                            continue
                        if event.event == b"endpoint":
                            self._named(event.data)
                        elif event.event in (None, b"message"):
                            self._hears.received(event.data)
        except EventTooLarge as error:
            why = too_large(str(error))
        except ServerError as error:
            why = error
        finally:
            response.abort()
            self._gone = self._gone or why
            if not self._endpoint.done():
                self._endpoint.set_exception(fresh(why))
                self._endpoint.exception()  # whoever waits for it hears of it; nobody has to
            self._hears.broken(why)

    def _named(self, said: bytes) -> None:
        """The address to post to. Only the first counts: one that changes could lead elsewhere. Raises ServerError."""
        if self._endpoint.done():
            return
        try:
            self._endpoint.set_result(Target(endpoint.resolve(self._destination.url, said)))
        except ValueError as error:
            raise invalid(str(error)) from None


class OpenStream:
    """Opens event streams to one server, one for each conversation."""

    def __init__(self, destination: Destination, http: Http, countersign: Countersign, limits: Limits) -> None:
        self._destination = destination
        self._target = Target(destination.url)
        self._http = http
        self._countersign = countersign
        self._limits = limits

    async def __call__(self, caller: Caller, hears: Hears) -> SseLink:
        """Raises CallError."""
        link = SseLink(self._destination, self._http, caller, hears, self._countersign, self._limits)
        try:
            await link.open(self._target)
        except BaseException:
            await link.end()
            raise
        return link
