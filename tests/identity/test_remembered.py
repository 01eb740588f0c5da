"""What was verified lately is believed for a while, and never for anybody else, after other keys, or past its end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.accept import ClaimPaths
from counterseal.identity.idp_jwt import IdpTokens
from counterseal.identity.remembered import Remembered
from tests.identity.issuers import CORP, INBOUND, OURS, PARTNER, HeldKeys, claims, trusted
from tests.support.tokens import NOW, FixedClock, jwk, jwks, private_key, token


class Tokens:
    """An authenticator over keys that count how often they are asked, and a clock."""

    def __init__(self, limits: Any = LIMITS, **changes: Any) -> None:
        self.clock, self.keys = FixedClock(), HeldKeys(jwks("ES256", "RS256"))
        self.authenticator = IdpTokens([trusted(keys=self.keys, **changes)], OURS, self.clock, limits)

    async def who(self, presented: str, server: str = "weather") -> Caller:
        inbound = Inbound("POST", server, (), b"", "192.0.2.7")
        caller = await self.authenticator.authenticate(presented.encode(), inbound)
        assert caller is not None
        return caller

    async def refused(self, presented: str, server: str = "weather") -> None:
        with pytest.raises(Unauthenticated):
            await self.who(presented, server)


async def test_a_token_is_verified_once_and_the_same_caller_found_again() -> None:
    tokens = Tokens()
    presented = token(claims())
    assert await tokens.who(presented) is await tokens.who(presented)
    assert tokens.keys.asked == 1


async def test_n_04_after_a_minute_it_is_verified_again() -> None:
    tokens = Tokens()
    presented = token(claims(exp=NOW + 3600))
    await tokens.who(presented)
    tokens.clock.advance(59.9)
    await tokens.who(presented)
    assert tokens.keys.asked == 1
    tokens.clock.advance(0.1)
    await tokens.who(presented)
    assert tokens.keys.asked == 2


async def test_j_16_a_token_is_never_believed_past_its_end_without_another_look() -> None:
    """Within the leeway it is still good, and is looked at each time."""
    tokens = Tokens()
    presented = token(claims(exp=NOW + 10))
    await tokens.who(presented)
    tokens.clock.advance(9.999)
    await tokens.who(presented)
    assert tokens.keys.asked == 1
    tokens.clock.advance(0.001)
    await tokens.who(presented)
    await tokens.who(presented)
    assert tokens.keys.asked == 3
    tokens.clock.advance(30)
    await tokens.refused(presented)


@pytest.mark.parametrize("hours", [1, -1])
async def test_j_16_a_clock_that_is_set_revives_nothing(hours: int) -> None:
    tokens = Tokens()
    presented, over = token(claims(exp=NOW + 10)), token(claims(iat=NOW - 99, nbf=NOW - 99, exp=NOW - 31))
    await tokens.refused(over)
    await tokens.who(presented)
    tokens.clock.step(3600)
    await tokens.refused(presented)
    tokens.clock.step(-3600)
    asked = tokens.keys.asked
    await tokens.who(presented)
    assert tokens.keys.asked == asked + 1  # its entry is gone, so it was looked at
    tokens.clock.advance(60)
    tokens.clock.step(-60 + hours * 3600)
    await tokens.refused(presented)  # whatever the wall clock says, the entry's minute is over


@pytest.mark.parametrize("number", [20, 64, 128])
async def test_j_28_tokens_that_begin_alike_are_of_different_callers(number: int) -> None:
    """Same header, same first claims: CVE-2026-35030 had the first characters as its key."""
    tokens = Tokens()
    first, second = (token(claims(sub=subject)) for subject in ("alice", "albert"))
    assert first[:number] == second[:number]
    for _ in range(2):
        assert (await tokens.who(first)).subject == "alice"
        assert (await tokens.who(second)).subject == "albert"


async def test_j_28_the_same_claims_in_two_tokens_are_verified_twice_and_a_bad_signature_never_hits() -> None:
    tokens = Tokens()
    first, second = token(claims()), token(claims())
    assert first != second  # ES256 signs with a new random number each time
    await tokens.who(first)
    await tokens.who(second)
    assert tokens.keys.asked == 2
    await tokens.refused(first[:-4] + second[-4:])
    await tokens.refused(first.rpartition(".")[0] + ".")


async def test_j_17_a_token_that_is_known_at_one_server_is_not_known_at_another() -> None:
    tokens = Tokens()
    presented = token(claims())
    await tokens.who(presented)
    await tokens.refused(presented, "files")
    both = token(claims(aud=[f"{OURS}/mcp/weather", f"{OURS}/mcp/files"]))
    asked = tokens.keys.asked
    await tokens.who(both)
    await tokens.who(both, "files")
    assert tokens.keys.asked == asked + 2


async def test_j_29_other_keys_end_what_was_verified_with_the_old_ones() -> None:
    tokens = Tokens()
    presented = token(claims())
    await tokens.who(presented)
    tokens.keys.change({"keys": [jwk(private_key("ES256", "new"), kid="new", alg="ES256")]})
    await tokens.refused(presented)
    tokens.keys.change(jwks("ES256"))
    await tokens.who(presented)
    tokens.keys.change(None)
    with pytest.raises(CannotTell):
        await tokens.who(presented)


async def test_j_29_keys_that_change_while_a_token_is_verified_leave_nothing_behind() -> None:
    class Changing(HeldKeys):
        async def find(self, unverified: Any) -> Any:
            found = await super().find(unverified)
            self.generation += 1
            return found

    keys = Changing(jwks("ES256"))
    authenticator = IdpTokens([trusted(keys=keys)], OURS, FixedClock(), LIMITS)
    for asked in (1, 2, 3):
        await authenticator.authenticate(token(claims()).encode(), INBOUND)
        assert keys.asked == asked


async def test_j_29_one_issuers_keys_are_no_business_of_anothers() -> None:
    corp, partner = HeldKeys(jwks("ES256")), HeldKeys(jwks("ES256"))
    both = [trusted(CORP, keys=corp), trusted(PARTNER, keys=partner)]
    authenticator = IdpTokens(both, OURS, FixedClock(), LIMITS)
    presented = token(claims()).encode()
    await authenticator.authenticate(presented, INBOUND)
    partner.change(jwks("RS256"))
    await authenticator.authenticate(presented, INBOUND)
    assert corp.asked == 1


async def test_what_was_refused_is_looked_at_each_time_and_pushes_nothing_out() -> None:
    tokens = Tokens(dataclasses.replace(LIMITS, verified_kept_count=1))
    good = token(claims())
    await tokens.who(good)
    for number in range(5):
        await tokens.refused(token(claims(aud=f"other-{number}")))
    asked = tokens.keys.asked
    await tokens.who(good)
    assert tokens.keys.asked == asked


async def test_so_many_are_remembered_and_the_oldest_makes_room() -> None:
    tokens = Tokens(dataclasses.replace(LIMITS, verified_kept_count=3))
    presented = [token(claims(sub=f"s{number}")) for number in range(4)]
    for one in presented[:3]:
        await tokens.who(one)
    assert tokens.keys.asked == 3
    await tokens.who(presented[0])
    assert tokens.keys.asked == 3
    await tokens.who(presented[3])
    await tokens.who(presented[1])
    await tokens.who(presented[2])
    assert tokens.keys.asked == 4
    await tokens.who(presented[0])
    assert tokens.keys.asked == 5


def test_the_ceiling_holds_at_its_real_height() -> None:
    keys, remembered = HeldKeys(None), Remembered[int](FixedClock(), LIMITS)
    for number in range(LIMITS.verified_kept_count + 1):
        remembered.keep(remembered.found(str(number).encode(), ""), number, keys, keys.generation, NOW + 60)
    assert remembered.get(remembered.found(b"0", "")) is None
    assert remembered.get(remembered.found(b"1", "")) == 1
    assert remembered.get(remembered.found(b"10000", "")) == 10_000
    assert len(remembered._entries) == LIMITS.verified_kept_count


async def test_i_08_two_tokens_of_one_person_keep_their_own_roles_however_often_they_alternate() -> None:
    tokens = Tokens(paths=ClaimPaths(roles=("roles",)))
    reader, admin = (token(claims(roles=[role])) for role in ("reader", "admin"))
    for _ in range(10_000):
        assert (await tokens.who(reader)).roles == ("reader",)
        assert (await tokens.who(admin)).roles == ("admin",)
    assert tokens.keys.asked == 2


def test_a_hit_says_nothing_of_the_token_it_was_found_by() -> None:
    remembered = Remembered[int](FixedClock(), LIMITS)
    keys = HeldKeys(None)
    remembered.keep(remembered.found(b"c4n4ry.token", "weather"), 1, keys, 0, NOW)
    assert b"c4n4ry" not in repr(remembered._entries).encode()
