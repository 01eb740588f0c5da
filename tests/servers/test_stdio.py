"""Servers over stdio: the contract of every server, and what only a process of the gateway's own has."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era
from counterseal.errors import BadCall, CallError, ServerError
from counterseal.servers.duplex_server import DuplexServer
from counterseal.wire.duplex import CALL_TOKEN
from tests.contracts.http import until
from tests.contracts.server import LIMITS, SESSIONS, Client, Countersign, ServerContract, caller, messages, permit, said
from tests.servers import permits
from tests.servers.duplexes import stdio
from tests.servers.permits import ALICE, read

BOB: Final = caller("bob")
QUICK: Final = dataclasses.replace(LIMITS, process_start_seconds=0.5)
TELLING: Final = """
import json, os, sys
for line in sys.stdin:
    call = json.loads(line)
    if "id" in call:
        told = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}}
        result["content"] = [{"type": "text", "text": json.dumps(told)}]
        print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}), flush=True)
"""
"""Answers every request with what it was started with."""

eras = pytest.mark.parametrize("era", [Era.MODERN, Era.LEGACY], ids=["modern", "legacy"])


class TestShared(ServerContract):
    @pytest.fixture
    async def room(self) -> AsyncIterator[DuplexServer]:
        async with stdio() as server:
            yield server


class TestSharedWithoutTheNewRevision(ServerContract):
    @pytest.fixture
    async def room(self) -> AsyncIterator[DuplexServer]:
        async with stdio("--legacy") as server:
            yield server


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def pid_of(client: Client) -> int:
    return int(said(await client.call("pid")))


async def heard(client: Client) -> list[Any]:
    """Every message that the server has heard, this question included."""
    told: list[Any] = json.loads(said(await client.call("heard", id="heard")))
    return told


# ---- what is started ------------------------------------------------------------------------------------------------


@eras
async def test_m_28_nothing_that_a_caller_sends_reaches_what_is_started(
    era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSEAL_SECRET", "c4n4ry")
    command = (sys.executable, "-c", TELLING, "--flag", "$(id); `id`")
    async with stdio(command=command, env={"API_KEY": "of-the-server"}, folder=tmp_path) as room:
        client = await Client(room, era).begin()
        told = json.loads(said(await client.call("x; rm -rf /", env={"PATH": "/evil"}, command=["evil"], cwd="/evil")))
    assert told["argv"] == ["--flag", "$(id); `id`"]
    assert told["cwd"] == str(tmp_path)
    assert told["env"].keys() - {"LC_CTYPE"} == {"PATH", "HOME", "API_KEY"}
    assert told["env"]["API_KEY"] == "of-the-server"
    assert "evil" not in json.dumps(told["env"])


async def test_nothing_is_started_before_the_first_call(tmp_path: Path) -> None:
    file = tmp_path / "heard"
    async with stdio("--heard", str(file)) as room:
        assert not file.exists()
        await Client(room, Era.MODERN).call("echo", text="x")
        assert file.exists()


@eras
async def test_many_first_calls_at_once_start_one_process(era: Era) -> None:
    async with stdio() as room:
        clients = [Client(room, era, caller(f"caller-{number}")) for number in range(10)]
        await asyncio.gather(*(client.begin() for client in clients))
        assert len(set(await asyncio.gather(*(pid_of(client) for client in clients)))) == 1


async def test_a_caller_who_leaves_while_it_starts_does_not_keep_it_from_starting() -> None:
    async with stdio() as room:
        first = asyncio.create_task(Client(room, Era.MODERN).call("echo", text="a"))
        second = asyncio.create_task(Client(room, Era.MODERN, BOB).call("echo", text="b"))
        await asyncio.sleep(0)
        first.cancel()
        assert said(await second) == "b"


async def test_a_program_that_cannot_be_started_is_told() -> None:
    async with stdio(command=("/no/such/program",)) as room:
        with pytest.raises(ServerError) as failed:
            await Client(room, Era.MODERN).call("echo", text="x")
    assert failed.value.reason.code == "server_unreachable"
    assert "No such file" in (failed.value.detail or "")


@eras
async def test_m_24_a_program_that_never_says_anything_is_given_up(era: Era) -> None:
    async with stdio(command=("/bin/sleep", "60"), limits=QUICK) as room, asyncio.timeout(60):
        with pytest.raises(ServerError) as failed:
            await (await Client(room, era).begin()).call("echo", text="x")
    assert failed.value.reason.code == "server_timeout"


async def test_a_long_line_goes_in() -> None:
    text = "x" * 200_000
    async with stdio() as room:
        assert said(await Client(room, Era.MODERN).call("echo", text=text)) == text


# ---- one process for all, or for each -------------------------------------------------------------------------------


@eras
async def test_a_shared_server_has_one_process_for_all_callers(era: Era) -> None:
    async with stdio() as room:
        alice, bob = await Client(room, era).begin(), await Client(room, era, BOB).begin()
        assert await pid_of(alice) == await pid_of(bob)


async def test_a_server_without_the_new_revision_has_one_process_for_both_eras() -> None:
    async with stdio("--legacy") as room:
        modern, legacy = await Client(room, Era.MODERN).begin(), await Client(room, Era.LEGACY, BOB).begin()
        assert await pid_of(modern) == await pid_of(legacy)


@eras
async def test_m_08_with_isolation_no_two_callers_have_one_process(era: Era) -> None:
    async with stdio(shared=False) as room:
        alice, again, bob = [await Client(room, era, who).begin() for who in (ALICE, ALICE, BOB)]
        pids = [await pid_of(client) for client in (alice, again, bob)]
        assert pids[0] != pids[2] != pids[1]
        # A legacy session is one process's, so a caller's second one has another.
        assert (pids[0] == pids[1]) == (era is Era.MODERN)


@pytest.mark.parametrize("shared", [True, False])
async def test_m_09_the_session_of_another_caller_is_unknown(shared: bool) -> None:
    async with stdio(shared=shared) as room:
        alice = await Client(room, Era.LEGACY).begin()
        assert alice.session is not None
        assert SESSIONS.open(ALICE, "weather", alice.session.sealed) == alice.session
        with pytest.raises(BadCall) as refused:
            SESSIONS.open(BOB, "weather", alice.session.sealed)
        assert refused.value.reason.code == "session_unknown"


async def test_a_session_that_was_opened_under_another_isolation_is_unknown() -> None:
    async with stdio() as shared, stdio(shared=False) as own:
        for one, other in ((shared, own), (own, shared)):
            client = await Client(one, Era.LEGACY).begin()
            client.room = other
            with pytest.raises(BadCall) as refused:
                await client.call("echo", text="x")
            assert refused.value.reason.code == "session_unknown"


@eras
async def test_a_process_that_is_idle_ends(era: Era) -> None:
    async with stdio(shared=False, idle_seconds=1.5) as room:
        client = await Client(room, era).begin()
        pid = await pid_of(client)
        assert is_running(pid)
        assert await until(lambda: not is_running(pid))
        if era is Era.LEGACY:
            with pytest.raises(BadCall) as refused:
                await client.call("pid")
            assert refused.value.reason.code == "session_unknown"
            await client.begin()
        assert await pid_of(client) != pid


async def test_where_all_places_are_taken_the_one_that_is_idle_longest_ends() -> None:
    async with stdio(shared=False, most=2) as room:
        alice, bob = [await Client(room, Era.LEGACY, who).begin() for who in (ALICE, BOB)]
        first, second = await pid_of(alice), await pid_of(bob)
        carol = await Client(room, Era.LEGACY, caller("carol")).begin()
        assert await until(lambda: not is_running(first))
        assert is_running(second)
        assert await pid_of(carol)


async def test_where_all_places_are_busy_a_caller_is_told_to_come_back() -> None:
    async with stdio(shared=False, most=2) as room:
        clients = [await Client(room, Era.LEGACY, caller(name)).begin() for name in ("a", "b")]
        busy = [asyncio.create_task(client.fails("hang")) for client in clients]
        assert await until(
            lambda: all(one.conversation and one.conversation.busy for one in room._pool._places.values())
        )
        with pytest.raises(CallError) as refused:
            await Client(room, Era.LEGACY, caller("c")).begin()
        assert refused.value.reason.code == "overloaded"
        assert await asyncio.gather(*busy) == ["server_timeout"] * 2
        await Client(room, Era.LEGACY, caller("c")).begin()


async def test_nobody_takes_more_than_his_part_of_the_places() -> None:
    async with stdio(shared=False, most=8) as room:
        bob = await Client(room, Era.LEGACY, BOB).begin()
        mine = [await Client(room, Era.LEGACY).begin() for _ in range(3)]
        assert said(await bob.call("echo", text="still here")) == "still here"
        with pytest.raises(BadCall):
            await mine[0].call("echo", text="pushed out by the third")
        busy = [asyncio.create_task(client.fails("hang")) for client in mine[1:]]
        assert await until(
            lambda: sum(one.conversation.busy for one in room._pool._places.values() if one.conversation) == 2
        )
        with pytest.raises(BadCall) as refused:
            await Client(room, Era.LEGACY).begin()
        assert refused.value.reason.code == "too_many"
        await asyncio.gather(*busy)


# ---- the call token -------------------------------------------------------------------------------------------------


@eras
async def test_s6_a_server_that_wants_the_call_token_gets_one_with_every_message(era: Era) -> None:
    countersign = Countersign()
    async with stdio(shared=False, send_token=True, countersign=countersign) as room:
        client = await Client(room, era).begin()
        got = await heard(client)
    tokens = [message["params"]["_meta"][CALL_TOKEN] for message in got]
    assert len(set(tokens)) == len(tokens) >= 2
    own = {made.token for made in countersign.made}
    assert set(tokens) & own == ({tokens[0]} if era is Era.MODERN else set())


@eras
async def test_s6_any_other_server_gets_none(era: Era) -> None:
    async with stdio() as room:
        client = await Client(room, era).begin()
        got = await heard(client)
    assert len(got) >= 2
    assert CALL_TOKEN not in json.dumps(got)
    assert "token.of." not in json.dumps(got)


# ---- sessions of a shared server ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "spoken", "told"),
    [
        ("2025-11-25", "2025-11-25", "2025-11-25"),
        ("2025-03-26", "2025-11-25", "2025-03-26"),
        ("2025-11-25", "2025-06-18", "2025-06-18"),
        ("2025-06-18", "2024-11-05", "2025-03-26"),
    ],
)
async def test_a_callers_initialize_is_answered_with_what_the_server_said(asked: str, spoken: str, told: str) -> None:
    async with stdio("--revision", spoken) as room:
        client = await Client(room, Era.LEGACY).begin(asked)
        assert client.result["protocolVersion"] == told
        assert client.result["serverInfo"] == {"name": "scripted", "version": "1"}
        # What a shared server does by itself has no way to one caller of several.
        assert client.result["capabilities"] == {"tools": {}, "resources": {}}
        assert client.session is not None
        assert client.session.revision == told
        assert [message["method"] for message in await heard(client)][:2] == ["initialize", "notifications/initialized"]


@pytest.mark.parametrize("method", ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"])
async def test_m_08_what_would_change_a_shared_server_for_all_is_refused(method: str) -> None:
    params = {"level": "debug", "uri": "file:///a"}
    async with stdio() as shared, stdio(shared=False) as own:
        with pytest.raises(BadCall, match="shared by several callers"):
            await (await Client(shared, Era.LEGACY).begin()).send(method, params)
        (response,) = await (await Client(own, Era.LEGACY).begin()).ask(method, params)
        assert response["error"]["message"] == "no such method"


@pytest.mark.parametrize("method", ["io.counterseal/stream", "io.counterseal/end-session"])
async def test_a_shared_server_has_no_stream_and_no_session_of_one_caller(method: str) -> None:
    async with stdio() as room:
        client = await Client(room, Era.LEGACY).begin()
        with pytest.raises(BadCall) as refused:
            await client.send(method)
        assert (refused.value.reason.status, refused.value.headers) == (405, ((b"allow", b"POST"),))


async def test_a_call_without_a_session_is_told_how_to_get_one() -> None:
    for shared in (True, False):
        async with stdio(shared=shared) as room:
            with pytest.raises(BadCall, match="send `initialize`"):
                await Client(room, Era.LEGACY).send("tools/list")


async def test_a_question_of_a_shared_server_goes_to_nobody_and_it_is_told_why() -> None:
    async with stdio() as room:
        client = await Client(room, Era.LEGACY).begin()
        bystander = await Client(room, Era.LEGACY, BOB).begin()
        other = asyncio.create_task(bystander.ask("tools/call", {"name": "hang", "arguments": {}}))
        answer = json.loads(said(await client.call("ask", method="sampling/createMessage")))
        assert answer["code"] == -32601
        assert "shared by several callers" in answer["message"]
        other.cancel()
        assert said(await client.call("ask", method="ping")) == "{}"


async def test_m_08_what_a_shared_server_says_about_no_call_reaches_nobody() -> None:
    async with stdio() as room:
        client = await Client(room, Era.LEGACY).begin()
        told = await client.ask("tools/call", {"name": "tell", "arguments": {"method": "notifications/message"}})
        assert [said(message) for message in told] == ["told"]


# ---- sessions of one caller -----------------------------------------------------------------------------------------


async def test_the_callers_own_initialize_opens_its_process() -> None:
    async with stdio(shared=False) as room:
        client = await Client(room, Era.LEGACY).begin()
        assert client.result["capabilities"]["logging"] == {}
        initialize, initialized, *_ = await heard(client)
        assert initialize["params"]["clientInfo"] == {"name": "c", "version": "1"}
        assert initialized["method"] == "notifications/initialized"


async def test_a_question_of_the_server_reaches_its_caller_and_the_answer_goes_back() -> None:
    async with stdio(shared=False) as room:
        client = await Client(room, Era.LEGACY).begin()
        reply = await client.send("tools/call", {"name": "ask", "arguments": {"method": "sampling/createMessage"}})
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        (question,) = messages(await anext(stream))
        assert (question["id"], question["method"]) == ("q-1", "sampling/createMessage")
        for made_up in ("q-2", 1):
            dropped = await answer(client, made_up)
            assert dropped.note
        assert (await answer(client, "q-1")).note is None
        (response,) = messages(await anext(stream))
        assert json.loads(said(response)) == {"role": "assistant"}
        assert (await answer(client, "q-1")).note  # answered already
        await reply.body.aclose()


async def answer(client: Client, id: str | int) -> Any:
    """A caller's answer to a question of the server."""
    call = permits.call("io.counterseal/reply", era=Era.LEGACY, session=client.session)
    message = {"jsonrpc": "2.0", "id": id, "result": {"role": "assistant"}}
    return await client.room.send(permit(replace(call, message=message), client.who))


async def test_what_is_about_no_call_reaches_the_callers_stream() -> None:
    async with stdio(shared=False) as room:
        client = await Client(room, Era.LEGACY).begin()
        reply = await client.send("io.counterseal/stream")
        assert not isinstance(reply.body, bytes)
        stream = aiter(reply.body)
        await client.call("tell", method="notifications/tools/list_changed")
        (told,) = messages(await anext(stream))
        assert told["method"] == "notifications/tools/list_changed"
        # Another stream takes its place.
        again = await client.send("io.counterseal/stream")
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert not isinstance(again.body, bytes)
        await client.call("tell", method="notifications/prompts/list_changed")
        assert messages(await anext(aiter(again.body)))[0]["method"] == "notifications/prompts/list_changed"
        await again.body.aclose()


async def test_m_24_a_stream_that_its_caller_does_not_read_ends() -> None:
    limits = dataclasses.replace(LIMITS, server_unread_bytes=1000)
    async with stdio(shared=False, limits=limits) as room:
        client = await Client(room, Era.LEGACY).begin()
        reply = await client.send("io.counterseal/stream")
        for _ in range(20):
            await client.call("tell", method="notifications/tools/list_changed", params={"x": "y" * 100})
        with pytest.raises(ServerError) as failed:
            await read(reply)
        assert failed.value.reason.code == "server_answer_too_large"


async def test_a_session_that_its_caller_ends_takes_its_process_with_it() -> None:
    async with stdio(shared=False) as room:
        client = await Client(room, Era.LEGACY).begin()
        pid = await pid_of(client)
        assert (await client.send("io.counterseal/end-session")).status == 200
        assert await until(lambda: not is_running(pid))
        with pytest.raises(BadCall) as refused:
            await client.call("echo", text="x")
        assert refused.value.reason.code == "session_unknown"


# ---- cancellation ---------------------------------------------------------------------------------------------------


def cancellations(got: list[Any]) -> list[Any]:
    return [message["params"] for message in got if message.get("method") == "notifications/cancelled"]


@pytest.mark.parametrize("options", [(), ("--legacy",)], ids=["modern server", "legacy server"])
async def test_m_29_a_modern_caller_who_leaves_has_cancelled(options: tuple[str, ...]) -> None:
    async with stdio(*options) as room:
        client = Client(room, Era.MODERN)
        await client.call("echo", text="first")
        leaves = asyncio.create_task(client.call("hang", id="mine"))
        got: list[Any] = []
        while not any(message.get("params", {}).get("name") == "hang" for message in got):
            got = await heard(client)
        (ours,) = [message["id"] for message in got if message.get("params", {}).get("name") == "hang"]
        leaves.cancel()
        while not cancellations(got):
            got = await heard(client)
        assert cancellations(got) == [{"requestId": ours}]


@pytest.mark.parametrize("shared", [True, False])
async def test_m_08_a_legacy_caller_cancels_his_own_calls_alone(shared: bool) -> None:
    async with stdio(shared=shared) as room:
        alice, bob = await Client(room, Era.LEGACY).begin(), await Client(room, Era.LEGACY, BOB).begin()
        hangs = asyncio.create_task(alice.send("tools/call", {"name": "hang", "arguments": {}}, 7))
        got: list[Any] = []
        while not any(message.get("params", {}).get("name") == "hang" for message in got):
            got = await heard(alice)
        (ours,) = [message["id"] for message in got if message.get("params", {}).get("name") == "hang"]
        assert ours != 7
        dropped = await bob.send("notifications/cancelled", {"requestId": 7})
        assert dropped.note
        assert not cancellations(await heard(alice))
        assert (await alice.send("notifications/cancelled", {"requestId": 7, "reason": "enough"})).note is None
        assert cancellations(await heard(alice)) == [{"requestId": ours, "reason": "enough"}]
        assert await read(await hangs) == b""


async def test_a_call_that_we_give_up_is_cancelled() -> None:
    async with stdio() as room:
        client = await Client(room, Era.LEGACY).begin()
        assert await client.fails("hang") == "server_timeout"
        got: list[Any] = []
        while not cancellations(got):
            got = await heard(client)
        (ours,) = [message["id"] for message in got if message.get("params", {}).get("name") == "hang"]
        assert cancellations(got) == [{"requestId": ours}]


# ---- subscriptions --------------------------------------------------------------------------------------------------


async def test_two_callers_who_listen_under_one_id_hear_each_their_own() -> None:
    async with stdio() as room:
        streams = []
        for who in (ALICE, BOB):
            reply = await Client(room, Era.MODERN, who).send("subscriptions/listen", {"notifications": {}}, 1)
            assert not isinstance(reply.body, bytes)
            streams.append(reply.body)
        for stream in streams:
            iterated = aiter(stream)
            for method in ("notifications/subscriptions/acknowledged", "notifications/tools/list_changed"):
                (told,) = messages(await anext(iterated))
                assert told["method"] == method
                assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 1}
            await stream.aclose()
        client = Client(room, Era.MODERN)
        got: list[Any] = []
        while len(cancellations(got)) < 2:
            got = await heard(client)


# ---- faults ---------------------------------------------------------------------------------------------------------


async def test_a_line_that_is_no_message_is_dropped_and_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with stdio("--print", "Server is up!") as room:
        client = Client(room, Era.MODERN)
        assert said(await client.call("echo", text="x")) == "x"
        assert await client.fails("say", line="[debug] calling") == "server_timeout"
    assert caplog.text.count("a line that is no message was dropped") >= 2
    assert "Server is up" not in caplog.text  # it may hold anything


async def test_m_24_a_server_that_prints_without_end_is_ended() -> None:
    async with stdio() as room:
        client = Client(room, Era.MODERN)
        code = await client.fails("say", line="\n".join("x" * 200))
        assert code == "server_answer_invalid"
        await client.works_again()


@pytest.mark.parametrize("id", ["another", 1, None, 1.5, ["x"]])
async def test_m_07_a_response_to_no_call_of_ours_is_dropped(id: Any) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": []}})
    async with stdio() as room:
        client = Client(room, Era.MODERN)
        other = asyncio.create_task(client.fails("hang"))
        assert await client.fails("say", line=line) == "server_timeout"
        assert await other == "server_timeout"
        assert said(await client.call("echo", text="x")) == "x"


@pytest.mark.parametrize("era", Era)
@pytest.mark.parametrize("shared", [True, False])
async def test_m_08_an_error_without_an_id_is_told_only_where_no_other_caller_can_be_meant(
    era: Era, shared: bool
) -> None:
    """In a shared process it may be about the call of one who has left."""
    late = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "about alice"}})
    async with stdio(shared=shared) as room:
        bob = Client(room, era, BOB)
        if era is Era.LEGACY:
            await bob.begin()
        assert said(await bob.call("echo", text="x")) == "x"
        if shared:
            assert await bob.fails("say", line=late) == "server_timeout"
        else:
            assert (await bob.call("say", line=late))["error"]["message"] == "about alice"


@pytest.mark.parametrize("named", [[], {}, None, 1.5])
async def test_a_cancellation_that_names_no_id_is_dropped(named: Any) -> None:
    async with stdio() as room:
        client = await Client(room, Era.LEGACY).begin()
        assert (await client.send("notifications/cancelled", {"requestId": named})).note
        assert not cancellations(await heard(client))


async def test_every_call_in_flight_hears_of_the_end_and_none_twice() -> None:
    async with stdio() as room:
        client = Client(room, Era.MODERN)
        hanging = [asyncio.create_task(client.fails("hang", number=number)) for number in range(5)]
        await client.call("echo", text="x")
        assert await client.fails("leave") == "server_unreachable"
        assert await asyncio.gather(*hanging) == ["server_unreachable"] * 5


async def test_a_program_that_only_ends_is_started_less_and_less_often(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    async with stdio(command=("/bin/sh", "-c", f"echo x >> {starts}; exit 7")) as room:
        client = Client(room, Era.LEGACY)
        details = []
        for _ in range(2):  # a first failure may be chance
            with pytest.raises(ServerError) as failed:
                await client.begin()
            assert failed.value.headers == ()
            details.append(failed.value.detail)
        assert details == ["its process ended with exit code 7"] * 2
        for _ in range(20):
            with pytest.raises(ServerError) as refused:
                await client.begin()
            assert refused.value.reason.code == "server_unreachable"
            assert refused.value.headers == ((b"retry-after", b"1"),)
        assert len(starts.read_text().split()) == 2


async def test_only_a_server_that_keeps_failing_is_told_as_that() -> None:
    limits = dataclasses.replace(LIMITS, process_back_off_seconds=0)
    async with stdio(command=("/bin/sh", "-c", "exit 7"), limits=limits) as room:
        for _ in range(3):
            assert room.healthy() is None
            with pytest.raises(ServerError):
                await Client(room, Era.LEGACY).begin()
        assert room.healthy() == "it failed 3 times in a row: its process ended with exit code 7"


async def test_a_crash_after_good_work_is_started_again_at_once() -> None:
    async with stdio() as room:
        client = Client(room, Era.MODERN)
        first = await pid_of(client)
        assert await client.fails("leave") == "server_unreachable"
        assert await pid_of(client) != first
        assert room.healthy() is None


# ---- standard error -------------------------------------------------------------------------------------------------


async def test_what_the_server_says_on_standard_error_is_in_the_log_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = "key hunter2-hunter2\x1b[31m token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    with caplog.at_level(logging.WARNING, "counterseal.servers"):
        async with stdio("--say", text, secrets=frozenset({"hunter2-hunter2"})) as room:
            await Client(room, Era.MODERN).call("echo", text="x")
    assert "server weather: key ***\\x1b[31m token ***" in caplog.text


# ---- the end --------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_gateway_is_that_of_every_process_and_of_their_children(tmp_path: Path) -> None:
    """The child ignores SIGTERM."""
    file = tmp_path / "pids"
    async with stdio("--fork", str(file)) as room:
        await Client(room, Era.LEGACY).begin()
        pids = [int(pid) for pid in file.read_text().split()]
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


async def test_a_process_that_does_not_want_to_end_is_ended(tmp_path: Path) -> None:
    async with stdio("--deaf") as room:
        pid = await pid_of(Client(room, Era.MODERN))
        async with asyncio.timeout(60):
            await room.close()
    assert not is_running(pid)


async def test_a_process_that_ends_by_itself_takes_its_children_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with stdio("--fork", str(file)) as room:
        client = await Client(room, Era.LEGACY).begin()
        pids = [int(pid) for pid in file.read_text().split()]
        assert await client.fails("leave") == "server_unreachable"
        assert await until(lambda: not any(map(is_running, pids)))


async def test_the_end_of_the_gateway_comes_while_a_process_starts() -> None:
    async with stdio(command=("/bin/sleep", "60")) as room:
        starts = asyncio.create_task(Client(room, Era.MODERN).call("echo", text="x"))
        assert await until(lambda: bool(room._pool._places))
        await room.close()
        with pytest.raises(CallError):
            await starts
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "sleep" in Path(f"/proc/{pid}/comm").read_text()]
