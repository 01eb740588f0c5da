"""Counterseal: a zero-trust identity gateway for MCP.

Agents send MCP calls with an API key or an IdP token. Counterseal works out who that is, decides about this one call,
countersigns it with a short-lived JWT (one server, one operation, one set of arguments, used once) and streams the call
through. The rooms and the direction in which a call walks through them are drawn in `docs/architecture.md`.
"""

__version__ = "0.1.0"
