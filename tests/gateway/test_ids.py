"""Ids of tokens and transactions."""

from __future__ import annotations

import re
import subprocess
import sys

from counterseal.gateway.ids import Ids


def test_ids_are_128_random_bits_as_text_and_never_come_again() -> None:
    ids = Ids()
    drawn = [ids.new() for _ in range(100_000)]
    assert len(set(drawn)) == len(drawn)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", one) for one in drawn)
    for position in range(21):
        assert len({one[position] for one in drawn[:5000]}) == 64


def test_y_02_no_two_processes_draw_the_same_ids() -> None:
    code = "from counterseal.gateway.ids import Ids; ids = Ids(); print(*(ids.new() for _ in range(5000)))"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    drawn = [one for process in running for one in process.communicate(timeout=120)[0].split()]
    assert len(drawn) == len(set(drawn)) == 15_000
