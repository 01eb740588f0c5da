"""Show so many bad tokens to the whole gateway, in this process, and say what became of them.

Every token is made here for a made-up issuer; no address but loopback; what is written goes into a temporary folder on the disk
that is removed at the end (half a kilobyte for each token). The seed repeats the tricks; keys and times are new each time.

Exit code 0: every promise was kept. 1: one was not.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.attack.run import Tally, attack
from bench.report import table


def text(tally: Tally, seed: int) -> str:
    """The whole report."""
    rows = [("what is wrong with the token", "tokens", "refused as")]
    rows += [(name, f"{n:,}", _codes(tally, name)) for name, n in sorted(tally.families.items())]
    told = [("answer", "times")]
    told += [(f"{status} {code}: {message}", f"{n:,}") for (status, code, message), n in tally.answers.most_common(9)]
    promised = [("promised", "seen", "verdict")]
    promised += [(what, seen, "ok" if kept else "BROKEN") for what, seen, kept in tally.promises()]
    rate = tally.tokens / tally.seconds if tally.seconds else 0
    parts = [
        table(rows),
        table(told),
        f"{tally.tokens:,} tokens, {tally.distinct:,} of them different, in {tally.seconds:,.0f} s ({rate:,.0f}/s); seed {seed}",
        table(promised),
        "\n".join(tally.odd),
    ]
    return "\n\n".join(part for part in parts if part)


def _codes(tally: Tally, family: str) -> str:
    """Why they were refused, the most frequent first, in per cent."""
    found = {code: n for (name, code), n in tally.codes.items() if name == family}
    of = sum(found.values())
    shares = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{code} {n / of:.0%}" for code, n in shares[:4])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.attack", description=__doc__)
    parser.add_argument("--tokens", type=int, default=20_000, metavar="N", help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the tricks of another run")
    options = parser.parse_args(arguments)
    if options.tokens < 1:
        parser.error("--tokens is at least 1")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ended from outside, it still removes its folder
    with (
        tempfile.TemporaryDirectory(prefix="counterseal-attack-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        tally = runner.run(attack(options.tokens, seed, Path(folder)))
    print(text(tally, seed))
    return 0 if tally.kept else 1


if __name__ == "__main__":
    sys.exit(main())
