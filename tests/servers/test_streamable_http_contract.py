"""Streamable HTTP servers keep to the contract of every server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from counterseal.httpclient import Client
from counterseal.servers.http import ServerHttp
from counterseal.servers.streamable_http import Destination, StreamableHttp
from tests.contracts.server import LIMITS, SESSIONS, ServerContract, decide
from tests.support.hostile import SESSION, Heard, HostileServer, Line, chunked, event, whole
from tests.support.scripted import Script, line


class ScriptedServer(HostileServer):
    def __init__(self) -> None:
        super().__init__(self._respond)
        self._script = Script()

    def _respond(self, heard: Heard, at: Line) -> None:
        said: list[bytes] = []

        def say(message: Mapping[str, Any] | bytes) -> None:
            said.append(line(message))
            if b'"result"' in said[-1] or b'"error"' in said[-1]:
                self._answer(heard, at, said)

        if heard.verb != "POST" or "id" not in heard.call:
            at.send(whole(b"", "202 Accepted", content_type=""))
            return
        self._script.handle(heard.call, say, at.close)

    def _answer(self, heard: Heard, at: Line, said: list[bytes]) -> None:
        session = {"mcp_session_id": SESSION} if heard.call["method"] == "initialize" else {}
        if len(said) > 1:
            at.send(chunked(*(event(one) for one in said), **session))
        else:
            at.send(whole(said[0], **session))


class TestStreamableHttp(ServerContract):
    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        with ScriptedServer() as running:
            yield running

    @pytest.fixture
    async def room(self, server: ScriptedServer) -> AsyncIterator[StreamableHttp]:
        client = Client()
        destination = Destination("weather", server.url, "Authorization", (), "counterseal/test")
        yield StreamableHttp(destination, ServerHttp(client, LIMITS), SESSIONS, decide, LIMITS)
        await client.close()
