"""Used once is used up; and where a store cannot tell, nothing passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from counterseal.core.limits import Limits
from counterseal.verify import CannotVerify, MemorySingleUse, SingleUse, VerificationError, Verifier
from tests.contracts.single_use import CALL, SingleUseContract
from tests.support.tokens import AUDIENCE, ISSUER, NOW, FixedClock, call_claims, jwks, token


class TestMemory(SingleUseContract):
    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    @pytest.fixture
    def single_use(self, clock: FixedClock) -> MemorySingleUse:
        return MemorySingleUse(clock)

    @pytest.fixture
    def another(self, single_use: MemorySingleUse) -> MemorySingleUse:
        """No second process can use it."""
        return single_use


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    """n and n + 1; and it takes new ones once the old ones are over."""
    clock = FixedClock()
    seen = MemorySingleUse(clock, capacity=3)
    for jti in "abc":
        assert seen.claim(jti, NOW + 90)
    with pytest.raises(CannotVerify) as caught:
        seen.claim("d", NOW + 90)
    assert caught.value.status == 503
    assert not seen.claim("a", NOW + 90)
    clock.advance(89)
    with pytest.raises(CannotVerify):
        seen.claim("d", NOW + 179)
    clock.advance(1)
    assert seen.claim("d", NOW + 180)


def test_memory_is_given_back() -> None:
    clock = FixedClock()
    seen = MemorySingleUse(clock, capacity=50)
    for second in range(1000):
        for number in range(10):
            assert seen.claim(f"{second}-{number}", clock.wall() + 3)
        clock.advance(1)


def test_a_clock_that_steps_far_back_revives_nothing() -> None:
    """J-16: the token was used, is over and was forgotten; then the clock goes back to when it lived."""
    clock = FixedClock()
    seen = MemorySingleUse(clock)
    assert seen.claim("a", NOW + 90)
    clock.advance(100)
    assert seen.claim("b", NOW + 190)  # sweeps
    clock.step(-3600)
    assert not seen.claim("a", NOW + 90)
    assert seen.claim("c", NOW + 191)


# ---- stores that wait, and stores that fail ----


class Answering:
    """A store whose answer a test makes."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer
        self.asked = 0

    def claim(self, jti: str, expires: float) -> Any:
        self.asked += 1
        return self._answer()


async def verify(single_use: SingleUse, driver: str, limits: Limits | None = None) -> str:
    """The subject, in the way named."""
    which = Verifier(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=jwks("ES256"),
        single_use=single_use,
        clock=FixedClock(),
        limits=limits or Limits(),
    )
    presented = token(call_claims(arguments=CALL["arguments"]))
    if driver == "averify":
        return (await which.averify(presented, **CALL)).subject
    return (await asyncio.to_thread(which.verify, presented, **CALL)).subject


def at_once(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


both = pytest.mark.parametrize("driver", ["verify", "averify"])


@both
async def test_an_answer_may_come_at_once_or_later(driver: str) -> None:
    assert await verify(Answering(lambda: True), driver) == "alice"
    assert await verify(Answering(lambda: at_once(True)), driver) == "alice"
    later: Future[bool] = Future()
    store = Answering(lambda: later)
    waiting = asyncio.create_task(verify(store, driver))
    while not store.asked:
        await asyncio.sleep(0)  # the loop runs while the answer is awaited
    assert not waiting.done()
    later.set_result(True)
    assert await waiting == "alice"


@both
@pytest.mark.parametrize("answer", [lambda: False, lambda: None, lambda: at_once(False), lambda: at_once(None)])
async def test_whatever_is_not_a_yes_is_a_no(driver: str, answer: Callable[[], Any]) -> None:
    with pytest.raises(VerificationError) as caught:
        await verify(Answering(answer), driver)
    assert caught.value.code == "replayed"


@pytest.mark.parametrize("store", [None, 0, 1, "memory", pytest.param(object(), id="object")], ids=repr)
def test_only_false_turns_single_use_off(store: Any) -> None:
    Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), single_use=False)
    with pytest.raises(ValueError, match="single_use is True, False, or a SingleUse"):
        Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), single_use=store)


class Unawaited:
    """What `async def claim` answers with, for someone who does not await it: true, and no yes."""

    def __await__(self) -> Any:
        yield


@both
@pytest.mark.parametrize("said", [Unawaited(), 1, -1, "no", [False]], ids=lambda said: type(said).__name__)
@pytest.mark.parametrize("later", [False, True])
async def test_what_is_true_without_being_a_yes_cannot_tell(driver: str, said: Any, later: bool) -> None:
    with pytest.raises(CannotVerify, match=f"answered with {type(said).__name__}: `claim` is no coroutine"):
        await verify(Answering(lambda: at_once(said) if later else said), driver)


@both
async def test_a_store_with_a_coroutine_for_a_claim_lets_nothing_through(driver: str) -> None:
    async def claim() -> bool:
        return True

    running = claim()
    with pytest.raises(CannotVerify, match="answered with coroutine"):
        await verify(Answering(lambda: running), driver)
    running.close()


def raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


@both
@pytest.mark.parametrize(
    "answer",
    [
        raising(CannotVerify("down")),
        raising(OSError("secret-host refused")),
        raising(KeyError("secret-host")),
        lambda: at_once(CannotVerify("down")),
        lambda: at_once(TimeoutError("secret-host")),
    ],
)
async def test_a_store_that_fails_cannot_tell(driver: str, answer: Callable[[], Any]) -> None:
    """503, and never a pass or a 401; and its own words stay out of ours."""
    with pytest.raises(CannotVerify) as caught:
        await verify(Answering(answer), driver)
    assert caught.value.status == 503
    assert "secret-host" not in str(caught.value)


@both
async def test_a_store_that_never_answers_cannot_tell(driver: str) -> None:
    impatient = Limits(fetch_connect_seconds=-0.5, fetch_seconds=-0.45)  # a second is added
    with pytest.raises(CannotVerify, match="in time"):
        await verify(Answering(Future), driver, impatient)


async def test_many_wait_for_a_store_at_the_same_time() -> None:
    """Nobody waits for anybody else's answer."""
    gates: list[Future[bool]] = []

    def answer() -> Future[bool]:
        gates.append(Future())
        return gates[-1]

    waiting = [asyncio.create_task(verify(Answering(answer), "averify")) for _ in range(50)]
    while len(gates) < 50:
        await asyncio.sleep(0)
    threading.Thread(target=lambda: [gate.set_result(True) for gate in reversed(gates)]).start()
    assert await asyncio.gather(*waiting) == ["alice"] * 50
