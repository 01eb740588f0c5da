"""Answers leave together at the next turn of the loop. What happens to a connection until then costs nobody an answer, and gives
none to somebody else."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from counterseal.core.limits import LIMITS
from counterseal.web import protocol
from counterseal.web.exchange import Exchange
from counterseal.web.protocol import CeilingProtocol
from tests.web.connections import Application, Caller, Endpoint, connected, request


async def answered_but_unwritten(*, callers: int = 1) -> tuple[list[CeilingProtocol], list[Caller]]:
    """Connections of one worker whose calls are answered, and whose answers have not left yet."""
    app, ends = Application(), [Caller() for _ in range(callers)]
    connections = [connected(CeilingProtocol, app, end) for end in ends]
    for number, connection in enumerate(connections):
        connection.data_received(request(b"x" * number))
    await asyncio.sleep(0)
    assert len(app.mcp.seen) == callers
    assert [end.written for end in ends] == [b""] * callers
    return connections, ends


async def test_answers_of_one_turn_leave_together_and_each_to_its_caller() -> None:
    connections, ends = await answered_but_unwritten(callers=3)
    await asyncio.sleep(0)
    for number, (connection, end) in enumerate(zip(connections, ends, strict=True)):
        assert end.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert end.written.endswith(b"\r\n\r\n%d" % number)
        assert not end.closed
        connection.connection_lost(None)


async def test_a_worker_that_ends_still_writes_what_it_has_answered() -> None:
    connections, ends = await answered_but_unwritten()
    connections[0].shutdown()
    assert not ends[0].closed
    await asyncio.sleep(0)
    assert ends[0].written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ends[0].closed


async def test_a_caller_who_has_left_by_then_gets_nothing_and_the_others_all() -> None:
    connections, ends = await answered_but_unwritten(callers=3)
    ends[1].close()
    connections[1].connection_lost(None)
    await asyncio.sleep(0)
    assert [len(end.written) > 0 for end in ends] == [True, False, True]


async def test_a_request_that_follows_at_once_is_answered_behind_it() -> None:
    connections, ends = await answered_but_unwritten()
    connections[0].data_received(request(b"yy"))
    for _ in range(6):
        await asyncio.sleep(0)
    assert ends[0].written.count(b"HTTP/1.1 200 OK") == 2
    assert ends[0].written.index(b"\r\n\r\n0") < ends[0].written.index(b"\r\n\r\n2")
    assert not ends[0].closed


async def test_a_status_that_has_no_name_is_a_defect_that_is_answered() -> None:
    """Not with silence: what was not written did not begin."""
    for status, written in ((299, b"HTTP/1.1 500 Internal Server Error\r\n"), (203, b"HTTP/1.1 203 ")):
        app, end = Application(), Caller()
        app.mcp.status = status
        connected(CeilingProtocol, app, end).data_received(request())
        for _ in range(3):
            await asyncio.sleep(0)
        assert end.written.startswith(written)
        assert end.closed == (status == 299)


@pytest.mark.parametrize("ends", [True, False], ids=["of his last answer", "of one of many"])
async def test_h_09_a_caller_who_takes_most_and_stops_is_waited_for_only_where_more_may_come(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """What is left is little enough to write on. A connection that goes on is looked at when it is idle, one that has ended never
    again."""
    monkeypatch.setattr(protocol, "LIMITS", dataclasses.replace(LIMITS, body_seconds=0.01))
    end = Caller()
    connection = connected(CeilingProtocol, Application(), end)
    end.untaken = 100_000
    connection.pause_writing()
    if ends:
        connection.close()
    end.untaken = 1
    connection.resume_writing()
    if ends:
        await asyncio.wait_for(end.aborted.wait(), 60)
    else:
        assert connection._untaken is None
        connection.close()
        await asyncio.wait_for(end.aborted.wait(), 60)
    connection.connection_lost(None)


@pytest.mark.parametrize("ends", [True, False])
async def test_what_the_end_of_the_gateway_cuts_off_without_an_answer_ends_its_connection_and_is_no_defect(
    caplog: pytest.LogCaptureFixture, ends: bool
) -> None:
    """An endpoint answers what it can; tests/cli/test_cut_off.py."""
    app, end, answered = Application(), Caller(), asyncio.Event()
    connection = connected(CeilingProtocol, app, end)

    class Waiting(Endpoint):
        async def __call__(self, exchange: Exchange) -> None:
            await answered.wait()
            await super().__call__(exchange)

    app.mcp = Waiting()
    connection.data_received(request())
    await asyncio.sleep(0)
    (task,) = connection.tasks
    if ends:
        task.cancel("the time is over")
    else:
        answered.set()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert end.written.startswith(b"HTTP/1.1 200 OK\r\n") != ends
    assert (end.written == b"") == ends
    assert end.closed == ends
    assert caplog.text == ""


@pytest.mark.parametrize("value", [b"a\r\nx-b: c", b"a\nx-b: c", b"a\rx-b: c", b"a\0", b"a x-b: c"])
@pytest.mark.parametrize("where", ["name", "value"])
async def test_no_header_of_an_answer_can_hold_a_second_line(value: bytes, where: str) -> None:
    app, end = Application(), Caller()
    app.mcp.headers = ((b"x-a", value) if where == "value" else (value, b"a"),)
    connected(CeilingProtocol, app, end).data_received(request())
    for _ in range(4):
        await asyncio.sleep(0)
    whole = value == b"a x-b: c"
    assert end.written.startswith(b"HTTP/1.1 200 " if whole else b"HTTP/1.1 500 ")
    assert (value in end.written) is whole
    assert b"\r\nx-b" not in end.written
