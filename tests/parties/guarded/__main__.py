"""Runs one of the five on a loopback port."""

from __future__ import annotations

import argparse
import importlib

from tests.parties.guarded.kinds import KINDS
from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--issuer", "--audience"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    module = importlib.import_module(f"tests.parties.guarded.{chosen.kind}_server")
    run(module.build(chosen.issuer, chosen.audience), chosen.port)


if __name__ == "__main__":
    main()
