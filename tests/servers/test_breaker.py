"""When a server that cannot be reached is left alone, and how it is found again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from typing import Any

import pytest

from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import ServerError
from counterseal.httpclient import Client, Target
from counterseal.servers.breaker import Breaker, GuardedHttp, Who, who_is
from counterseal.servers.http import Request, ServerHttp
from tests.support.hostile import HostileServer, whole
from tests.support.tokens import FixedClock

N = LIMITS.server_failure_count
_numbers = itertools.count()


def a_caller(name: str | None = None) -> Caller:
    return Caller(kind="api_key", client_id="k", subject=name or f"caller-{next(_numbers)}")


def somebody(name: str | None = None) -> Who | None:
    return who_is(a_caller(name))


class Guarded:
    """A breaker, and what one call would notice of it."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.breaker = Breaker(LIMITS, self.clock.monotonic)

    def fail(self, who: str | None = None) -> int:
        """A call that reaches nothing, of another caller each time unless one is named. The seconds of Retry-After where it was
        not even tried, 0 where it was."""
        try:
            trial = self.breaker.enter(somebody(who))
        except ServerError as error:
            refused = error
        else:
            self.breaker.failed(somebody(who), "no connection", trial)
            return 0
        assert refused.reason.code == "server_failing"
        seconds = dict(refused.headers)[b"retry-after"].decode()
        assert f"left alone for {seconds} s" in refused.message
        return int(seconds)

    def open(self) -> None:
        for _ in range(N):
            assert self.fail() == 0


def test_so_many_failures_in_a_row_and_calls_are_refused_at_once() -> None:
    one = Guarded()
    assert [one.fail() for _ in range(N + 1)] == [0] * N + [1]
    assert "not reached 5 times in a row, tried again in 1 s: no connection" in str(one.breaker.healthy())


def test_an_answer_in_between_begins_the_count_anew() -> None:
    one = Guarded()
    for _ in range(3):
        for _ in range(N - 1):
            assert one.fail() == 0
        one.breaker.enter(somebody())
        one.breaker.worked()
    assert one.fail() == 0
    assert one.breaker.healthy() is None


def test_each_rest_is_twice_as_long_up_to_a_ceiling_and_one_call_tries_after_it() -> None:
    one = Guarded()
    one.open()
    rests = []
    for _ in range(9):
        rests.append(one.fail())
        one.clock.advance(rests[-1])
        assert one.fail() == 0
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_while_one_call_tries_the_others_are_refused() -> None:
    one = Guarded()
    one.open()
    one.clock.advance(1)
    assert one.breaker.enter(somebody())
    assert one.fail() == 1
    one.breaker.worked()
    assert not one.breaker.enter(somebody())
    assert one.breaker.healthy() is None
    one.open()  # and the next rest is a short one again
    assert one.fail() == 1


def test_a_trial_that_nobody_waited_for_is_tried_by_the_next_call() -> None:
    one = Guarded()
    one.open()
    one.clock.advance(1)
    one.breaker.given_up(one.breaker.enter(somebody()))
    assert one.breaker.enter(somebody())


def test_calls_that_began_before_the_rest_make_it_no_longer() -> None:
    one = Guarded()
    trials = [one.breaker.enter(somebody()) for _ in range(100)]
    for trial in trials:
        one.breaker.failed(somebody(), "no connection", trial)
    assert one.fail() == 1


def test_one_that_began_before_and_is_answered_ends_the_rest() -> None:
    one = Guarded()
    one.breaker.enter(somebody())
    one.open()
    one.breaker.worked()
    assert one.fail() == 0


def test_while_one_callers_calls_alone_fail_the_others_are_not_kept_from_the_server() -> None:
    one = Guarded()
    assert [one.fail("mallory") for _ in range(N + 1)] == [0] * N + [1]
    assert "by one caller" in str(one.breaker.healthy())
    assert not one.breaker.enter(somebody("alice"))
    one.clock.advance(1)
    assert one.breaker.enter(somebody("mallory"))  # and this call takes its time
    assert not one.breaker.enter(somebody("alice"))
    one.breaker.worked()
    one.breaker.failed(somebody("mallory"), "no headers in time", True)
    assert not one.breaker.enter(somebody("alice"))
    assert not one.breaker.enter(somebody("mallory")), "it was reached meanwhile"


def test_a_second_caller_whose_call_fails_makes_it_everybodys() -> None:
    one = Guarded()
    for _ in range(N):
        one.fail("alice")
    assert one.fail("bob") == 0
    assert [one.fail(who) for who in ("alice", "bob", "carol")] == [1, 1, 1]
    one.clock.advance(1)
    assert one.fail("carol") == 0
    assert one.fail("bob") == 2


async def send(http: GuardedHttp, url: str, listens_seconds: float | None = None, who: str | None = None) -> str:
    """`ok`, or the reason why not. who: another caller each time where none is named."""
    try:
        response = await http.send(Request("POST", Target(url), (), b"{}", listens_seconds, a_caller(who)))
    except ServerError as error:
        return error.reason.code
    response.abort()
    return "ok"


@contextlib.asynccontextmanager
async def guarded(clock: FixedClock, **limits: Any) -> Any:
    client = Client()
    changed = dataclasses.replace(LIMITS, **limits)
    try:
        yield GuardedHttp(ServerHttp(client, changed), Breaker(changed, clock.monotonic), changed)
    finally:
        await client.close()


def patient(hasty: GuardedHttp) -> GuardedHttp:
    """The same client and breaker, with time enough for what should be answered."""
    http = hasty._http
    assert isinstance(http, ServerHttp)
    return GuardedHttp(ServerHttp(http._client, LIMITS), hasty._breaker, LIMITS)


async def test_a_dead_server_is_not_connected_to_any_more_and_is_found_when_it_is_back() -> None:
    clock = FixedClock()
    with HostileServer(lambda heard, line: line.reset()) as server:
        async with guarded(clock) as http:
            assert [await send(http, server.url) for _ in range(N + 3)] == ["server_unreachable"] * N + [
                "server_failing"
            ] * 3
            assert server.calls == N  # nothing was sent again, and nothing more
            server.answer = lambda heard, line: line.send(whole(b"{}"))
            clock.advance(1)
            assert [await send(http, server.url) for _ in range(3)] == ["ok"] * 3


async def test_a_caller_of_a_tool_that_hangs_keeps_nobody_else_waiting() -> None:
    clock = FixedClock()
    with HostileServer(lambda heard, line: line.gone() and None) as server:
        async with guarded(clock, server_idle_seconds=0.05) as http:
            told = [await send(http, server.url, who="mallory") for _ in range(N + 1)]
            assert told == ["server_timeout"] * N + ["server_failing"]
            clock.advance(1)
            trial = asyncio.ensure_future(send(http, server.url, who="mallory"))
            await asyncio.sleep(0)
            server.answer = lambda heard, line: line.send(whole(b"{}"))
            assert [await send(patient(http), server.url, who="alice") for _ in range(3)] == ["ok"] * 3
            await trial


async def test_a_server_that_hangs_counts_and_one_that_refuses_does_not() -> None:
    with HostileServer(lambda heard, line: line.gone() and None) as server:
        async with guarded(FixedClock(), server_idle_seconds=0.05) as http:
            assert [await send(http, server.url) for _ in range(N + 1)] == ["server_timeout"] * N + ["server_failing"]
        server.answer = lambda heard, line: line.send(whole(b"", "500 Internal Server Error"))
        async with guarded(FixedClock()) as http:
            assert {await send(http, server.url) for _ in range(N * 3)} == {"ok"}


async def test_a_stream_that_tries_is_not_waited_for_as_long_as_streams_may_last() -> None:
    clock = FixedClock()
    with HostileServer(lambda heard, line: line.reset()) as server:
        async with guarded(clock, server_idle_seconds=1) as http:
            for _ in range(N):
                await send(http, server.url)
            clock.advance(1)
            server.answer = lambda heard, line: line.gone() and None
            assert await send(http, server.url, listens_seconds=3600) == "server_timeout"
            assert await send(http, server.url) == "server_failing"
            clock.advance(2)
            server.answer = lambda heard, line: line.send(whole(b"{}"))
            assert await send(http, server.url, listens_seconds=3600) == "ok"


async def test_a_caller_who_leaves_says_nothing_about_the_server() -> None:
    with HostileServer(lambda heard, line: line.gone() and None) as server:
        async with guarded(FixedClock()) as http:
            for _ in range(N + 1):
                task = asyncio.ensure_future(send(http, server.url))
                seen = server.calls
                while server.calls == seen:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            server.answer = lambda heard, line: line.send(whole(b"{}"))
            assert await send(http, server.url) == "ok"
