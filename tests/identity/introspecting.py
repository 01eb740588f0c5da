"""What the tests of introspection share: an endpoint that answers, and who is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.challenge import resource
from counterseal.identity.client_auth import Basic, ClientAuth
from counterseal.identity.credentials import REFUSED
from counterseal.identity.fetch import Document
from counterseal.identity.introspection import Endpoint, Introspection
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import ABSENT, NOW, FixedClock

GATEWAY: Final = "https://gateway.example.com"
IDP: Final = "https://idp.example.com"
URL: Final = "https://idp.example.com/introspect"
TOKEN: Final = b"opaque-token-of-alice"
WEATHER: Final = Inbound("POST", "weather", (), b"", "192.0.2.7")
FILES: Final = Inbound("POST", "files", (), b"", "192.0.2.7")


def good(**changes: Any) -> dict[str, Any]:
    """What an endpoint says of alice's token for the server `weather`, good for another minute."""
    answer = {
        "active": True,
        "iss": IDP,
        "sub": "alice",
        "aud": resource(GATEWAY, "weather"),
        "client_id": "ide",
        "scope": "mcp:call",
        "token_type": "Bearer",
        "exp": NOW + 60,
        "iat": NOW,
        "username": "alice",
        "email": "alice@example.com",
    }
    return {name: value for name, value in {**answer, **changes}.items() if value is not ABSENT}


def accept(claims: Mapping[str, Any], inbound: Inbound) -> Caller:
    """The least that whoever wires an endpoint does: the audience where there is one, exactly."""
    aud = claims.get("aud", resource(GATEWAY, inbound.server))
    if resource(GATEWAY, inbound.server) not in (aud if isinstance(aud, list) else [aud]):
        raise TokenRefused("audience", "`aud` is another")
    return Caller(
        kind="token",
        client_id=claims.get("client_id", claims["sub"]),
        issuer=claims.get("iss"),
        subject=claims["sub"],
        claims=claims,
        expires=claims.get("exp"),
    )


class Answers:
    """A Post without a network: answers with bytes, and counts."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.count = 0

    async def __call__(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]]) -> Document:
        self.count += 1
        return Document(self.body, None)


def endpoint(post: Any, url: str = URL, *, auth: ClientAuth | None = None, **changes: Any) -> Endpoint:
    values = {"name": "corp", "issuer": IDP, "accept": accept, "require_audience": True, **changes}
    return Endpoint(url=url, auth=auth or Basic("gw", "gw-secret"), post=post, **values)


def introspection(*endpoints: Endpoint, clock: FixedClock | None = None, limits: Limits = LIMITS) -> Introspection:
    return Introspection(endpoints, clock or FixedClock(), limits)


async def caller_of(asking: Introspection, token: bytes = TOKEN, inbound: Inbound = WEATHER) -> Caller:
    caller = await asking.authenticate(token, inbound)
    assert caller is not None
    return caller


async def refusal(asking: Introspection, token: bytes = TOKEN, inbound: Inbound = WEATHER) -> str:
    """The detail of a 401."""
    with pytest.raises(Unauthenticated) as refused:
        await asking.authenticate(token, inbound)
    assert (refused.value.reason.status, refused.value.message) == (401, REFUSED)
    return refused.value.detail or ""


async def doubt(asking: Introspection, token: bytes = TOKEN, inbound: Inbound = WEATHER) -> str:
    """The detail of a 503."""
    with pytest.raises(CannotTell) as told:
        await asking.authenticate(token, inbound)
    assert (told.value.reason.status, told.value.reason.code) == (503, "identity_unavailable")
    return told.value.detail or ""
