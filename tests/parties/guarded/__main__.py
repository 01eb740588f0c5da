"""Runs one of the five, or one of the old transport, on a loopback port."""

from __future__ import annotations

import argparse
import importlib

from tests.parties.guarded.kinds import KINDS, OLD
from tests.parties.hosting import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=(*KINDS, *OLD), required=True)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--issuer", "--audience"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    module = importlib.import_module(f"tests.parties.guarded.{OLD.get(chosen.kind, chosen.kind)}_server")
    build = module.build_fastmcp if chosen.kind == "sse_fastmcp" else module.build
    run(build(chosen.issuer, chosen.audience), chosen.port)


if __name__ == "__main__":
    main()
