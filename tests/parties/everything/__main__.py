"""Runs the server on a loopback port, plain or wrapped in the verifier that Counterseal ships."""

from __future__ import annotations

import argparse

from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.everything.app import build
from tests.parties.hosting import App, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--issuer", help="the gateway; with it every request needs a call token")
    parser.add_argument("--audience", help="this server's identifier in a call token")
    chosen = parser.parse_args()
    app: App = build()
    if chosen.issuer:
        app = CountersealMiddleware(app, Verifier(issuer=chosen.issuer, audience=chosen.audience))
    run(app, chosen.port)


if __name__ == "__main__":
    main()
