"""Bad tokens by the thousand against the whole gateway, and whether the run would notice if one passed."""

from __future__ import annotations

import errno
import os
import random
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from bench.attack import __main__ as command
from bench.attack import run, segments, twins
from bench.attack.forge import Forge, Make
from bench.attack.run import FAMILIES, Tally, attack

from counterseal.audit import chainfile
from counterseal.core.limits import LIMITS

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    7: "two keys of one kid, tests/identity/test_provider.py",
    15: "a longest life, which is configured, tests/identity/test_idp_jwt.py",
    16: "clocks that are set, tests/identity/test_remembered.py",
    22: "weak keys, tests/jose/test_jwk.py",
    29: "keys that are taken away, tests/identity/test_remembered.py",
    30: "one text for all, which every run of this holds",
}
"""Families of J that are not about what a token is."""


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(
        random.Random(1),
        issuer="http://127.0.0.1:9/issuer",
        partner="http://127.0.0.1:9/partner",
        own="http://127.0.0.1:8460",
        audience="http://127.0.0.1:8460/mcp/es256",
        trap="http://127.0.0.1:9",
    )


async def shown(tmp_path: Path, families: Mapping[str, Make], count: int = 20) -> Tally:
    return await attack(count, 1, tmp_path, families)


def broken(tally: Tally) -> list[str]:
    return [what for what, _, kept in tally.promises() if not kept]


def test_j_of_twenty_thousand_bad_tokens_none_passes_breaks_anything_or_goes_unrecorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `python -m bench.attack --tokens 20000` runs it. The twins are good tokens, some of them odd."""
    assert command.main(["--tokens", "20000", "--seed", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("seed 1\n")
    assert "20,000 of 20,000" in said
    assert "BROKEN" not in said


async def test_a_good_token_among_the_bad_ones_is_noticed(tmp_path: Path) -> None:
    tally = await shown(tmp_path, {"J-26": segments.cut, "good": lambda forge: forge.token()})
    assert tally.accepted == 10
    assert broken(tally) == [
        "no bad token accepted",
        "no call to the server but the twins'",
        "a record for each token",
    ]
    assert tally.odd[0].startswith("accepted: good: b'")


async def test_without_one_every_promise_is_kept(tmp_path: Path) -> None:
    tally = await shown(tmp_path, {"J-26": segments.cut})
    assert tally.kept
    assert (tally.tokens, tally.families["J-26"], tally.answers.total()) == (20, 20, 20)


@pytest.mark.parametrize("good", [False, True], ids=["bad tokens", "with a good one among them"])
async def test_tokens_are_shown_again_where_the_disk_had_no_time_for_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    """503 says nothing of a token, and is no pass. Those that it was said of are judged all the same."""
    write, held = os.write, [1]

    def stalling(descriptor: int, data: bytes) -> int:
        if held and b'"event":"refusal"' in bytes(data):
            held.clear()
            threading.Event().wait(LIMITS.audit_seconds + 0.2)
        return write(descriptor, data)

    monkeypatch.setattr(chainfile.os, "write", stalling)
    tally = await shown(tmp_path, {"J-26": segments.cut, **({"good": lambda forge: forge.token()} if good else {})})
    assert tally.stalled > 0
    assert tally.answers.total() == (10 if good else 20)
    assert tally.accepted == (10 if good else 0)
    assert ("no bad token accepted" in broken(tally)) == good
    assert tally.kept == (not good)


async def test_a_disk_that_never_has_time_breaks_the_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_STALL_SECONDS", 0.01)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if b'"event":"refusal"' in bytes(data):
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data)

    monkeypatch.setattr(chainfile.os, "write", full)
    tally = await shown(tmp_path, {"J-26": segments.cut})
    assert {"no answer 5xx, nothing else raised", "a record for each token"} <= set(broken(tally))


async def test_a_generator_that_comes_upon_a_good_token_is_asked_again(tmp_path: Path) -> None:
    made = []

    def make(forge: Forge) -> bytes:
        made.append(twins.known(forge) if len(made) % 2 == 0 else segments.cut(forge))
        return made[-1]

    tally = await shown(tmp_path, {"J-26": make})
    assert tally.kept
    assert len(made) == 40


async def test_a_good_token_that_is_refused_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "known", lambda forge: segments.cut(forge))
    tally = await shown(tmp_path, {"J-26": segments.cut})
    assert "every good twin accepted" in broken(tally)
    assert tally.odd[0].startswith("a good token, 401 ")


def test_every_row_of_j_that_is_about_a_token_has_a_family() -> None:
    named = {int(row) for family in FAMILIES for row in re.findall(r"J-(\d\d)", family)}
    assert named.isdisjoint(ELSEWHERE)
    assert named | set(ELSEWHERE) == set(range(1, 35))


@pytest.mark.parametrize("page", ["performance.md", "threat-model.md"])
def test_the_pages_say_how_many_families_there_are(page: str) -> None:
    assert f"{len(FAMILIES)} families" in (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_not_one_token_again_and_again(family: str, forge: Forge) -> None:
    forge.minted = [b"one.of.ours"]
    made = {FAMILIES[family](forge) for _ in range(50)}
    assert len(made) > 15
    assert len(made - forge.good) > 15


def test_the_same_seed_plays_the_same_tricks(tmp_path: Path) -> None:
    def lengths(seed: int) -> list[int]:
        forge = Forge(random.Random(seed), issuer="i", partner="p", own="o", audience="a", trap="t")
        return [len(segments.too_long(forge)) for _ in range(20)]

    assert lengths(1) == lengths(1) != lengths(2)
