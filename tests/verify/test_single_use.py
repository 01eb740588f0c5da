"""Used once is used up."""

from __future__ import annotations

import pytest

from counterseal.verify import CannotVerify, MemorySingleUse
from tests.contracts.single_use import SingleUseContract
from tests.support.tokens import NOW, FixedClock


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
