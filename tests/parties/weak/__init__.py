"""Servers that check call tokens, each with one hole, for `counterseal probe` to find; and one without any.

    python -m tests.parties.weak --issuer I --jwks J open=9001 no_exp=9002

All are MCP servers on the official SDK with the tool `get_weather(city)`. What stands in front of each is in `checking`: a
checker that its owner wrote himself with PyJWT, sound but for one flaw. Three more are what libraries do when they are told too
little.
"""
