"""The ways to servers that answer on one stream: programs over stdio, and the old HTTP+SSE transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from counterseal.core.limits import LIMITS
from counterseal.core.methods import LEGACY, STREAM
from counterseal.core.operation import Operation
from counterseal.gateway.probe.answers import Answer, of_message, of_status
from counterseal.gateway.probe.ways import (
    CLIENT,
    INITIALIZED,
    MOST_BYTES,
    OverHttp,
    Place,
    Presented,
    Sign,
    Unusable,
    by_status,
    opened,
    params_of,
)
from counterseal.httpclient import Client, HttpError, Response, Target, Timeouts
from counterseal.servers.process import Process
from counterseal.servers.stdio import Program
from counterseal.wire import duplex, endpoint, jsonrpc
from counterseal.wire.eventstream import EventTooLarge, Reader

_STREAM_SECONDS: Final = 3600.0


class _Waiting:
    """Requests by their id, and the answers to them as they come."""

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._id = 0
        self.gone: str | None = None

    def request(self, operation: Operation) -> dict[str, Any]:
        self._id += 1
        self._answers[self._id] = asyncio.get_running_loop().create_future()
        params = params_of(operation)
        if operation.method == "initialize":
            params = {"protocolVersion": LEGACY[-1], "capabilities": {}, "clientInfo": CLIENT}
        return {"jsonrpc": "2.0", "id": self._id, "method": operation.method, "params": params}

    async def answer(self, id: int, seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return of_message(await self._answers[id])
        except TimeoutError:
            return Answer("error", self.gone or f"no answer in {seconds:g} s")
        finally:
            del self._answers[id]

    def received(self, text: bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        id = message.get("id") if isinstance(message, dict) and "method" not in message else None
        waiting = self._answers.get(id) if isinstance(id, int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(text)


class Stdio:
    """A program that takes the call token in `_meta`. There is one token in a message, and no header."""

    name: str = "stdio"
    headers: bool = False
    scheme: bool = False
    methods: Sequence[str] = ("initialize", "ping", "tools/list", "prompts/list", "resources/list")

    def __init__(self, program: Program, seconds: float) -> None:
        self._program = program
        self._seconds = seconds
        self._process = Process(self, lambda _: None, LIMITS)
        self._waiting = _Waiting()

    async def open(self, sign: Sign) -> None:
        """Start it, and shake hands."""
        program = self._program
        await self._process.start(program.command, program.environment, program.folder)
        first = Operation("initialize")
        answer = await self.ask(first, Presented((await sign(first),)))
        if answer.verdict != "accepted":
            raise Unusable(answer.said)
        await self._write(duplex.notification(INITIALIZED), Presented((await sign(Operation(INITIALIZED)),)))

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        message = self._waiting.request(operation)
        await self._write(message, presented)
        return await self._waiting.answer(message["id"], self._seconds)

    async def close(self) -> None:
        await self._process.end()

    async def _write(self, message: Mapping[str, Any], presented: Presented) -> None:
        for token in presented.tokens[:1]:
            message = duplex.with_token(message, token)
        await self._process.write(jsonrpc.write(message))

    # ---- what the process says ----

    def received(self, text: bytes) -> None:
        self._waiting.received(text)

    def overlong(self, start: bytes) -> None:
        """Nobody waits for it: the request ends by its time."""

    def broken(self, error: Exception) -> None:
        self._waiting.gone = getattr(error, "detail", None) or "the program has ended"


class Sse(OverHttp):
    """HTTP+SSE: one event stream, opened with a good token, for the answers to all posts, good and bad."""

    name: str = "HTTP+SSE"
    methods: Sequence[str] = ("initialize", "ping", "tools/list", "prompts/list", "resources/list", STREAM)

    def __init__(self, place: Place, client: Client) -> None:
        super().__init__(place, client)
        self._waiting = _Waiting()
        self._endpoint: asyncio.Future[Target] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    async def open(self, sign: Sign) -> None:
        """Open the stream, and shake hands."""
        seconds = self._place.seconds
        stream = Presented((await sign(Operation(STREAM)),))
        try:
            async with asyncio.timeout(seconds):
                timeouts = Timeouts(seconds, None, _STREAM_SECONDS)
                headers = [*self.common(stream), ("Accept", "text/event-stream")]
                response = await self._client.send("GET", self._target, headers, None, timeouts)
                self._reading = asyncio.create_task(self._read(response))
                if (refused := of_status(response.status)) is not None:
                    raise Unusable(refused.said)
                await self._endpoint
        except TimeoutError:
            raise Unusable(f"no address to post to in {seconds:g} s") from None
        except (HttpError, ValueError) as error:
            raise Unusable(str(error)) from None
        first = Operation("initialize")
        answer = await self.ask(first, Presented((await sign(first),)))
        if answer.verdict != "accepted":
            raise Unusable(answer.said)
        await self._post(duplex.notification(INITIALIZED), Presented((await sign(Operation(INITIALIZED)),)))

    async def ask(self, operation: Operation, presented: Presented) -> Answer:
        if operation.method == STREAM:
            return await self.exchange("GET", [*self.common(presented), ("Accept", "text/event-stream")], None, opened)
        message = self._waiting.request(operation)
        posted = await self._post(message, presented)
        answer = await self._waiting.answer(message["id"], self._place.seconds if posted.verdict == "accepted" else 0)
        return answer if posted.verdict == "accepted" else posted

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _post(self, message: Mapping[str, Any], presented: Presented) -> Answer:
        headers = [*self.common(presented), ("Content-Type", "application/json"), ("Accept", "application/json")]
        return await self.exchange("POST", headers, jsonrpc.write(message), by_status, self._endpoint.result())

    async def _read(self, response: Response) -> None:
        reader = Reader(MOST_BYTES)
        try:
            with contextlib.suppress(HttpError, EventTooLarge):
                async for chunk in response.chunks():
                    for event in reader.feed(chunk):
                        if event.data is not None and event.event == b"endpoint":
                            self._named(event.data)
                        elif event.data is not None:
                            self._waiting.received(event.data)
        finally:
            response.abort()
            self._waiting.gone = "the event stream ended"
            if not self._endpoint.done():
                self._endpoint.set_exception(ValueError("the event stream ended"))
                self._endpoint.exception()  # whoever waits for it hears of it; nobody has to

    def _named(self, said: bytes) -> None:
        """The address to post to, of the server's own origin. Only the first counts."""
        if self._endpoint.done():
            return
        try:
            self._endpoint.set_result(Target(endpoint.resolve(self._place.url, said)))
        except ValueError as error:
            self._endpoint.set_exception(error)
            self._endpoint.exception()
