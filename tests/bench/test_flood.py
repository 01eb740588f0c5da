"""The flood's own arithmetic, and a short one: every bad token refused, one fetch, good calls never."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.idp import IdentityProvider

from bench import flood


def seen(*, p99: int, sent: int = 0, refused: int = 0, fetches: int = 0, seconds: float = 10.0) -> flood.Seen:
    good = [100] * 90 + [p99] * 10
    return flood.Seen(good, good, sent, refused, [], seconds, seconds, fetches)


def verdicts(idle: flood.Seen, flooded: flood.Seen) -> list[str]:
    return [target.verdict for target in flood.targets({"idle": idle, "flood": flooded})]


def test_every_target_is_met_at_its_bound() -> None:
    assert verdicts(seen(p99=800), seen(p99=1600, sent=99_000, refused=99_000, fetches=1)) == ["ok"] * 4


@pytest.mark.parametrize(
    ("target", "changes"),
    [(0, {"p99": 1601}), (1, {"fetches": 2}), (2, {"refused": 98_999}), (3, {"sent": 98_999, "refused": 98_999})],
)
def test_a_target_is_missed_just_past_its_bound(target: int, changes: dict[str, int]) -> None:
    figures = {"p99": 1600, "sent": 99_000, "refused": 99_000, "fetches": 1, **changes}
    found = verdicts(seen(p99=800), seen(**figures))
    assert [number for number, verdict in enumerate(found) if verdict == "MISSED"] == [target]


@pytest.mark.parametrize(("p99", "verdict"), [(2 * flood.FLOOR_US, "ok"), (2 * flood.FLOOR_US + 1, "MISSED")])
def test_an_idle_time_below_the_floor_counts_as_the_floor(p99: int, verdict: str) -> None:
    assert verdicts(seen(p99=100), seen(p99=p99, sent=100_000, refused=100_000))[0] == verdict


def test_a_longer_flood_may_fetch_once_in_each_cool_down() -> None:
    flooded = seen(p99=800, sent=450_000, refused=450_000, fetches=2, seconds=45)
    assert verdicts(seen(p99=800), flooded) == ["ok"] * 4
    flooded.fetches = 3
    assert verdicts(seen(p99=800), flooded)[1] == "MISSED"


async def test_k_05_a_short_flood_is_refused_to_the_last_token_with_one_fetch(tmp_path: Path) -> None:
    """Good calls go on meanwhile, with tokens that are remembered and with new ones. Their times are for `make flood`."""
    with IdentityProvider() as idp:
        phases = await flood.inside(tmp_path, idp, 0.5)
    idle, flooded = phases["idle"], phases["flood"]
    assert (idle.other, flooded.other) == ([], [])
    assert flooded.sent == flooded.refused > 4000
    assert (idle.fetches, flooded.fetches) == (0, 1)
    assert min(len(idle.good), len(flooded.good)) > 20
