"""A server that takes channel tokens, as values, and tokens of a channel."""

from __future__ import annotations

from typing import Any

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.identity.channel import ChannelIssuer, ChannelRules
from tests.identity.issuers import CALLED, HeldKeys
from tests.support.tokens import access_claims, jwks

CHANNELS = "https://channels.example.com"
ALICE = Caller(kind="api_key", client_id="k-alice", subject="alice", fields={"user_id": "alice"})
HEADER = b"x-channel-token"


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good channel token for the server `weather`."""
    return access_claims(**{"iss": CHANNELS, "aud": CALLED, "sub": "line-1", "client_id": "app", **changes})


def rules(**changes: Any) -> ChannelRules:
    """Of a server that verifies channel tokens. changes: of the rules, and of whom they trust."""
    trusts: dict[str, Any] = {
        "issuer": CHANNELS,
        "keys": HeldKeys(jwks("ES256", "RS256")),
        "algorithms": frozenset({"ES256"}),
    }
    trusts |= {name: value for name, value in changes.items() if name not in ("header", "required", "trusted")}
    values = {"header": HEADER, "required": False, "trusted": ChannelIssuer(**trusts)}
    return ChannelRules(**{**values, **{name: changes[name] for name in values if name in changes}})


def inbound(*tokens: str | bytes, server: str = "weather", name: bytes = HEADER) -> Inbound:
    sent = tuple((name, one if isinstance(one, bytes) else one.encode()) for one in tokens)
    return Inbound("POST", server, sent, b"", "192.0.2.7")
