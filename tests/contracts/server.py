"""What every kind of server keeps to, whatever it is spoken to over. Derive from `ServerContract` and give it the fixture `room`,
made with LIMITS and `countersign` of this module, `decide` and `SESSIONS`, in front of a server that does what
tests.support.scripted says."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import pytest
from msgspec.structs import replace

from counterseal.core.call import Call, Era, Session
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS as USUAL
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.errors import CallError, ServerError
from counterseal.servers.session import Sessions
from tests.servers import permits
from tests.servers.permits import ALICE, read
from tests.support.tokens import FixedClock

LIMITS: Final = dataclasses.replace(
    USUAL,
    server_idle_seconds=2.0,
    server_total_seconds=4.0,
    server_stream_seconds=1.5,
    server_answer_bytes=300_000,
    server_event_bytes=300_000,
    process_start_seconds=20.0,
    process_grace_seconds=0.5,
)
SESSIONS: Final = Sessions(bytes(32), FixedClock(), LIMITS)
META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_numbers = itertools.count(1)


class Room(Protocol):
    """What sends permits."""

    async def send(self, permit: Permit) -> Reply: ...

    async def close(self) -> None: ...


def permit(call: Call, caller: Caller = ALICE) -> Permit:
    """The permit for a call, with a token of its own."""
    made = permits.permit(call, caller=caller)
    number = next(_numbers)
    own = {"jti": f"our-own-id-{number}", "txn": f"transaction-{number}"}
    return replace(made, claims={**made.claims, **own}, token=f"token.of.{number}")


class Countersign:
    """The gateway's own calls, with a note of each."""

    def __init__(self) -> None:
        self.made: list[Permit] = []

    @asynccontextmanager
    async def __call__(self, caller: Caller, call: Call, again: Permit | None = None) -> AsyncIterator[Permit]:
        made = permit(call, caller)
        if again is not None:
            made = replace(made, claims={**made.claims, "txn": again.claims["txn"]})
        self.made.append(made)
        yield made


def decide(_caller: Caller, _call: Call, _method: str, name: str, _item: object) -> bool:
    return name != "delete_all"


def caller(name: str) -> Caller:
    return Caller(kind="token", client_id="ide", issuer="https://idp", subject=name)


class Client:
    """One caller of an era. A legacy one begins with `initialize`."""

    def __init__(self, room: Room, era: Era, who: Caller = ALICE) -> None:
        self.room = room
        self.era = era
        self.who = who
        self.session: Session | None = None

    async def begin(self, revision: str = "2025-11-25") -> Client:
        if self.era is Era.LEGACY:
            params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
            self.session = None
            reply = await self.send("initialize", params)
            sealed = dict(reply.headers)[b"mcp-session-id"].decode()
            self.session = SESSIONS.open(self.who, "weather", sealed)
            self.result = json.loads(await read(reply))["result"]
            await read(await self.send("notifications/initialized"))
        return self

    async def send(self, method: str, params: Mapping[str, Any] | None = None, id: str | int = 1) -> Reply:
        given = dict(params or {})
        if self.era is Era.MODERN:
            given["_meta"] = {**META, **given.get("_meta", {})}
        changes = {"revision": given["protocolVersion"]} if method == "initialize" else {}
        call = permits.call(method, given, era=self.era, id=id, session=self.session, **changes)
        return await self.room.send(permit(call, self.who))

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, id: str | int = 1) -> list[Any]:
        """The messages of an answer."""
        return messages(await read(await self.send(method, params, id)))

    async def call(self, tool: str, id: str | int = 1, meta: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        """The response to a call."""
        params = {"name": tool, "arguments": arguments} | ({"_meta": meta} if meta else {})
        return (await self.ask("tools/call", params, id))[-1]

    async def fails(self, tool: str, **arguments: Any) -> str:
        """The code of the ServerError that a call ends with."""
        with pytest.raises(ServerError) as failed:
            await self.call(tool, **arguments)
        assert failed.value.reason.fault == "server"
        return failed.value.reason.code

    async def works_again(self) -> None:
        """What failed for one call fails for no other for long: what has just ended is started again."""
        async with asyncio.timeout(60):
            while not await self._works():
                await asyncio.sleep(0.05)

    async def _works(self) -> bool:
        try:
            await self.begin()
            return said(await self.call("echo", text="again")) == "again"
        except CallError as error:
            if error.reason.code in ("server_unreachable", "session_unknown"):
                return False
            raise


def messages(body: bytes) -> list[Any]:
    """Of a whole body, or of a stream of events."""
    if body.startswith(b"{"):
        return [json.loads(body)]
    return [json.loads(line.removeprefix(b"data: ")) for line in body.splitlines() if line.startswith(b"data: ")]


def said(response: Any) -> str:
    text: str = response["result"]["content"][0]["text"]
    return text


@pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY], ids=["modern", "legacy"])
class ServerContract:
    async def test_m_17_a_list_shows_what_the_caller_may_use(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        (listed,) = await client.ask("tools/list")
        assert [tool["name"] for tool in listed["result"]["tools"]] == ["echo"]

    @pytest.mark.parametrize("id", [1, "1", 0, "ü"])
    async def test_a_call_is_answered_under_the_callers_id(self, room: Room, era: Era, id: str | int) -> None:
        client = await Client(room, era).begin()
        response = await client.call("echo", id=id, text="häi\u2028\r\n")
        assert (response["id"], said(response)) == (id, "häi\u2028\r\n")

    async def test_an_error_of_the_server_is_an_answer(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        reply = await client.send("tools/call", {"name": "fail", "arguments": {}})
        assert messages(await read(reply))[-1] == {
            "jsonrpc": "2.0",
            "id": 1,
            "error": {"code": -32602, "message": "as you wish"},
        }
        assert reply.is_error

    async def test_a_big_answer_arrives_whole(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        assert said(await client.call("big", size=250_000)) == "x" * 250_000

    async def test_m_24_an_answer_over_the_ceiling_is_none(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        other = await Client(room, era, caller("bob")).begin()
        code, heard = await asyncio.gather(client.fails("big", size=300_000), other.call("echo", text="bob"))
        assert (code, said(heard)) == ("server_answer_too_large", "bob")
        await client.works_again()

    async def test_m_24_an_answer_that_is_no_message_is_none(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        assert await client.fails("garbage") == "server_answer_invalid"
        await client.works_again()

    async def test_m_24_a_server_that_never_answers_is_given_up_and_holds_up_nobody(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        async with asyncio.timeout(60):
            hangs = asyncio.create_task(client.fails("hang"))
            for number in range(10):
                assert said(await client.call("echo", id=number + 2, text=str(number))) == str(number)
            assert not hangs.done()
            assert await hangs == "server_timeout"
        await client.works_again()

    async def test_m_24_a_server_that_ends_in_the_middle_is_told_at_once(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        async with asyncio.timeout(60):
            assert await client.fails("leave") == "server_unreachable"
        await client.works_again()

    async def test_progress_reaches_its_asker_under_the_askers_token(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        params = {"name": "progress", "arguments": {}, "_meta": {"progressToken": "mine"}}
        progress, response = await client.ask("tools/call", params)
        assert progress["params"] == {"progressToken": "mine", "progress": 1}
        assert (response["id"], said(response)) == (1, "done")

    async def test_m_07_fifty_calls_with_one_id_get_each_its_own_answer(self, room: Room, era: Era) -> None:
        clients = [await Client(room, era, caller(f"caller-{number}")).begin() for number in range(50)]
        answers = await asyncio.gather(
            *(client.call("together", of=50, text=str(client.who.subject)) for client in clients)
        )
        assert [(answer["id"], said(answer)) for answer in answers] == [(1, f"caller-{number}") for number in range(50)]

    async def test_a_caller_who_leaves_takes_nobody_with_him(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        leaves = asyncio.create_task(client.call("hang"))
        assert said(await client.call("echo", id=2, text="before")) == "before"
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert said(await client.call("echo", id=3, text="after")) == "after"

    async def test_an_unknown_method_is_the_servers_to_refuse(self, room: Room, era: Era) -> None:
        client = await Client(room, era).begin()
        (response,) = await client.ask("prompts/list")
        assert response["error"]["code"] == -32601
