"""What every memory of used tokens keeps to. Derive from `SingleUseContract` and give it the fixtures `single_use`, and
`another`: the same memory as a second process would use it. `clock` is the one that both go by."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from counterseal.verify import SingleUse, VerificationError, Verified, Verifier
from tests.support.tokens import AUDIENCE, ISSUER, FixedClock, call_claims, jwks, token

CALL: dict[str, Any] = {"method": "tools/call", "name": "get_weather", "arguments": {"city": "Oslo"}}


def claim(single_use: SingleUse, jti: str, expires: float) -> bool:
    answer = single_use.claim(jti, expires)
    return answer.result(10) if isinstance(answer, Future) else answer


class SingleUseContract:
    def test_the_first_claim_wins_and_every_later_one_loses(
        self, single_use: SingleUse, another: SingleUse, clock: FixedClock
    ) -> None:
        end = clock.wall() + 90
        assert claim(single_use, "a", end)
        assert not claim(single_use, "a", end)
        assert not claim(another, "a", end + 1)
        assert claim(another, "b", end)
        assert not claim(single_use, "b", end)

    @pytest.mark.parametrize("jti", ["a b", "a:b", "\r\n", "é😀", "x" * 255, "*"])
    def test_an_id_of_any_text_is_one_id(self, single_use: SingleUse, clock: FixedClock, jti: str) -> None:
        end = clock.wall() + 90
        assert claim(single_use, jti, end)
        assert not claim(single_use, jti, end)
        assert claim(single_use, jti[:-1], end)

    def test_a_clock_that_steps_back_revives_nothing(self, single_use: SingleUse, clock: FixedClock) -> None:
        """J-16."""
        end = clock.wall() + 90
        assert claim(single_use, "a", end)
        clock.step(-30)
        assert not claim(single_use, "a", end)

    def test_of_many_at_once_one_wins(self, single_use: SingleUse, another: SingleUse, clock: FixedClock) -> None:
        start, won, end = threading.Barrier(8), [], clock.wall() + 90

        def race(which: SingleUse) -> None:
            start.wait()
            won.extend(number for number in range(50) if claim(which, f"t{number}", end))

        threads = [threading.Thread(target=race, args=(which,)) for which in (single_use, another) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(50))

    async def test_a_verifier_takes_a_token_once_by_either_driver(
        self, single_use: SingleUse, another: SingleUse, clock: FixedClock
    ) -> None:
        first, second = (
            Verifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks("ES256"), single_use=each, clock=clock)
            for each in (single_use, another)
        )
        end = {"iat": clock.wall(), "nbf": clock.wall(), "exp": clock.wall() + 60}
        presented = [token(call_claims(arguments=CALL["arguments"], jti=f"j{number}", **end)) for number in range(2)]
        assert isinstance(await asyncio.to_thread(first.verify, presented[0], **CALL), Verified)
        assert isinstance(await second.averify(presented[1], **CALL), Verified)
        for which in (first, second):
            for each in presented:
                with pytest.raises(VerificationError, match="used before"):
                    await which.averify(each, **CALL)
                with pytest.raises(VerificationError, match="used before"):
                    await asyncio.to_thread(which.verify, each, **CALL)
