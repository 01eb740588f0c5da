"""How long an answer about an opaque token serves, for whom, and how often an endpoint is asked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.identity.fetch import Document
from tests.identity.introspecting import (
    FILES,
    WEATHER,
    Answers,
    accept,
    caller_of,
    doubt,
    endpoint,
    good,
    introspection,
    refusal,
)
from tests.support.authorization_server import Asked, AuthorizationServer, Posting
from tests.support.tokens import ABSENT, NOW, FixedClock

INACTIVE = b'{"active": false}'
BOTH = ["https://gateway.example.com/mcp/weather", "https://gateway.example.com/mcp/files"]


def answers(**changes: Any) -> Answers:
    return Answers(json.dumps(good(**changes)).encode())


@pytest.mark.parametrize(
    ("exp", "life"), [(ABSENT, 60), (NOW + 3600, 60), (NOW + 60, 60), (NOW + 59, 59), (NOW + 1, 1)]
)
async def test_n_04_an_answer_serves_until_exp_and_a_minute_at_most(exp: Any, life: float) -> None:
    clock, post = FixedClock(), answers(exp=exp)
    asking = introspection(endpoint(post), clock=clock)
    await caller_of(asking)
    clock.advance(life - 0.001)
    await caller_of(asking)
    assert post.count == 1
    post.body = INACTIVE
    clock.advance(0.001)
    assert "not active" in await refusal(asking)
    assert post.count == 2


async def test_n_04_past_exp_and_within_the_leeway_each_call_asks() -> None:
    clock, post = FixedClock(), answers(exp=NOW)
    asking = introspection(endpoint(post), clock=clock)
    for count in (1, 2, 3):
        assert (await caller_of(asking)).subject == "alice"
        assert post.count == count
    clock.advance(30)
    assert "over" in await refusal(asking)


async def test_n_04_an_answer_is_as_old_as_its_question() -> None:
    clock, post = FixedClock(), answers(exp=ABSENT)

    async def slow(url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document:
        clock.advance(4)
        return await post(url, form, headers)

    asking = introspection(endpoint(slow), clock=clock)
    await caller_of(asking)
    clock.advance(55.999)
    await caller_of(asking)
    assert post.count == 1
    post.body = INACTIVE
    clock.advance(0.001)
    await refusal(asking)


async def test_n_04_a_refusal_serves_for_five_seconds() -> None:
    clock, post = FixedClock(), Answers(INACTIVE)
    asking = introspection(endpoint(post), clock=clock)
    await refusal(asking)
    post.body = answers().body
    clock.advance(LIMITS.introspection_refused_seconds - 0.001)
    await refusal(asking)
    assert post.count == 1
    clock.advance(0.001)
    await caller_of(asking)
    assert post.count == 2


async def test_n_04_a_revoked_token_ends_within_the_minute_at_every_server() -> None:
    clock, post = FixedClock(), answers(aud=BOTH)
    asking = introspection(endpoint(post), clock=clock)
    await caller_of(asking)
    await caller_of(asking, inbound=FILES)
    post.body = INACTIVE
    clock.advance(60)
    await refusal(asking, inbound=FILES)
    await refusal(asking)
    assert post.count == 2


async def test_j_16_a_wall_clock_that_is_set_back_makes_nothing_live_longer() -> None:
    clock, post = FixedClock(), answers(exp=NOW + 40)
    asking = introspection(endpoint(post), clock=clock)
    await caller_of(asking)
    clock.step(-3600)
    post.body = INACTIVE
    clock.advance(39.999)
    await caller_of(asking)
    clock.advance(0.001)
    assert "not active" in await refusal(asking)


async def test_j_16_a_wall_clock_that_is_set_forward_and_back_revives_nothing() -> None:
    clock, post = FixedClock(), answers(exp=NOW + 40)
    asking = introspection(endpoint(post), clock=clock)
    await caller_of(asking)
    clock.step(40)
    post.body = INACTIVE
    await refusal(asking)
    clock.step(-40)
    for _ in range(2):
        assert "not active" in await refusal(asking)
        clock.advance(LIMITS.introspection_refused_seconds)


async def test_n_03_one_answer_serves_all_servers_and_each_is_an_audience_of_its_own() -> None:
    post = answers()
    asking = introspection(endpoint(post))
    for _ in range(2):
        assert (await caller_of(asking)).subject == "alice"
        assert "audience" in await refusal(asking, inbound=FILES)
    assert post.count == 1


async def test_n_03_each_server_has_a_caller_of_its_own_that_is_made_once() -> None:
    made = []

    def accepting(claims: Mapping[str, Any], inbound: Inbound) -> Caller:
        made.append(inbound.server)
        return dataclasses.replace(accept(claims, inbound), client_id=inbound.server)

    asking = introspection(endpoint(answers(aud=BOTH), accept=accepting))
    for _ in range(2):
        assert (await caller_of(asking)).client_id == "weather"
        assert (await caller_of(asking, inbound=FILES)).client_id == "files"
    assert made == ["weather", "files"]


async def test_n_03_what_one_endpoint_said_is_nothing_to_another() -> None:
    """The same text asked about at one endpoint and then, with another configuration, at another: the name is in the key."""
    one, other = endpoint(answers(), name="one"), endpoint(Answers(INACTIVE), name="other")
    asking, beside = introspection(one), introspection(other)
    await caller_of(asking)
    beside._active, beside._callers = asking._active, asking._callers
    await refusal(beside)
    await caller_of(asking)


async def test_j_28_tokens_that_begin_alike_are_different_tokens(server: AuthorizationServer, post: Posting) -> None:
    def named(asked: Asked) -> dict[str, Any]:
        return good(sub=asked["token"])

    server.make = named
    asking = introspection(endpoint(post, server.url))
    alike = [b"x" * 100, b"x" * 100 + b"a", b"x" * 100 + b"b", b"x" * 101]
    for _ in range(2):
        for presented in alike:
            assert (await caller_of(asking, presented)).subject == presented.decode()
    assert server.count == len(alike)


async def test_n_05_of_many_questions_at_once_each_gets_its_own_answer(
    server: AuthorizationServer, post: Posting
) -> None:
    def named(asked: Asked) -> dict[str, Any]:
        return good(sub=f"owner of {asked['token']}")

    server.make = named
    asking = introspection(endpoint(post, server.url))
    server.gate.clear()
    calls = [asyncio.ensure_future(caller_of(asking, b"token-%d" % (number % 32))) for number in range(320)]
    await server.until(32)
    server.gate.set()
    for number, caller in enumerate(await asyncio.gather(*calls)):
        assert caller.subject == f"owner of token-{number % 32}"
    assert server.count == 32


async def test_a_thousand_calls_with_one_token_ask_once(server: AuthorizationServer, post: Posting) -> None:
    asking = introspection(endpoint(post, server.url))
    server.gate.clear()
    calls = [asyncio.ensure_future(caller_of(asking)) for _ in range(1000)]
    await server.until(1)
    server.gate.set()
    assert {caller.subject for caller in await asyncio.gather(*calls)} == {"alice"}
    assert server.count == 1


async def test_a_caller_who_leaves_does_not_end_the_question_that_others_wait_for(
    server: AuthorizationServer, post: Posting
) -> None:
    asking = introspection(endpoint(post, server.url))
    server.gate.clear()
    leaving, staying = (asyncio.ensure_future(caller_of(asking)) for _ in range(2))
    await server.until(1)
    leaving.cancel()
    server.gate.set()
    assert (await staying).subject == "alice"
    assert leaving.cancelled()
    assert server.count == 1


async def test_each_of_those_who_wait_gets_an_error_of_its_own(server: AuthorizationServer, post: Posting) -> None:
    """Whoever answers a call writes into its error: the record's id, the challenge."""
    server.answer = {"active": False}
    asking = introspection(endpoint(post, server.url))
    server.gate.clear()
    calls = [asyncio.ensure_future(asking.authenticate(b"made-up", WEATHER)) for _ in range(3)]
    await server.until(1)
    server.gate.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert server.count == 1


async def test_a_flood_of_made_up_tokens_asks_no_more_than_so_many_questions_at_once(
    server: AuthorizationServer, post: Posting
) -> None:
    asking = introspection(endpoint(post, server.url))
    assert (await caller_of(asking, b"good")).subject == "alice"
    server.answer = {"active": False}
    server.gate.clear()
    flood = [asyncio.ensure_future(asking.authenticate(b"made-up-%d" % number, WEATHER)) for number in range(32)]
    await server.until(1 + 32)
    for number in range(32, 500):
        assert "no more at once" in await doubt(asking, b"made-up-%d" % number)
    assert (await caller_of(asking, b"good")).subject == "alice"
    assert (server.count, server.most_waiting) == (33, LIMITS.introspection_count)
    assert asking.healthy() == {"corp": None}
    server.gate.set()
    await asyncio.gather(*flood, return_exceptions=True)
    assert "not active" in await refusal(asking, b"made-up-400")


async def test_what_is_kept_is_limited_and_the_oldest_goes_first() -> None:
    limits = dataclasses.replace(LIMITS, introspection_kept_count=3)
    post = answers(aud=BOTH)
    asking = introspection(endpoint(post), limits=limits)
    for number in range(3):
        await caller_of(asking, b"token-%d" % number)
    await caller_of(asking, b"token-0")
    assert post.count == 3
    await caller_of(asking, b"token-3")
    await caller_of(asking, b"token-1")
    assert post.count == 4
    await caller_of(asking, b"token-0")
    assert post.count == 5
    for server in range(10):
        inbound = Inbound("POST", f"made-up-{server}", (), b"", "192.0.2.7")
        await refusal(asking, b"token-0", inbound)
    assert max(len(asking._active), len(asking._callers)) == 3


async def test_made_up_tokens_push_nothing_out_that_is_known_of_good_ones() -> None:
    post = answers()
    asking = introspection(endpoint(post), limits=dataclasses.replace(LIMITS, introspection_kept_count=3))
    await caller_of(asking)
    post.body = INACTIVE
    for number in range(10):
        await refusal(asking, b"made-up-%d" % number)
    await caller_of(asking)
    assert (post.count, len(asking._refused)) == (11, 3)
