"""What it costs to say what a token says: `build_claims` with every operation on and 20 claims configured, in this process.

The configuration is read and compiled once, as at the start of a gateway; nothing of it may be looked at again for a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.machine import pinned
from counterseal.config.compile_claims import signer_settings
from counterseal.config.load import load_text
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.claims import build_claims
from counterseal.core.frozen import freeze
from counterseal.core.methods import MODERN

CONFIGURATION: Final = """\
issuer: https://gateway.example.com
callers:
  issuers: [{name: corp, issuer: "https://idp.example.com", jwks_uri: "https://idp.example.com/jwks"}]
servers:
  weather:
    url: https://weather.internal/mcp
    signer:
      mode: verify_and_resign
      end_user_claim_sources: ["claim:profile.name", preferred_username, email]
      required_claims: [{name: tenant, values: [acme, other]}, department]
      optional_claims: [realm_access.roles, groups, locale]
      add_claims:
        plan: free
        region: eu
        team: "{caller.team|none}"
        tool: "{call.name|-}"
        app.level: "{claim.level:int|0}"
        zone: "{claim.zone|none}"
      set_claims:
        environment: production
        app.tenant: "{claim.tenant}"
        roles: "{claim.realm_access.roles}"
        label: "{caller.client_id}@{call.server}"
        cost: {centre: "{claim.department}", code: 7}
        flags: [a, b]
      remove_claims: [groups, realm_access, app.level]
policy: [{permit: {}}]
"""

CLAIMS: Final = 20
"""How many claims the configuration asks for, passes on, adds, sets and removes."""


def building() -> Callable[[], dict[str, object]]:
    """A function that builds the claims of one call."""
    configuration = load_text(CONFIGURATION, "bench", Path.cwd(), with_secrets=False)
    signer = signer_settings(configuration, "weather", algorithm="ES256", pairwise_key=bytes(32))
    held = {
        "preferred_username": "alice",
        "tenant": "acme",
        "department": "sales",
        "realm_access": {"roles": ["reader", "editor", "reviewer"]},
        "groups": ["staff", "oslo"],
        "locale": "nb",
        "level": "3",
    }
    caller = Caller(
        kind="token",
        client_id="ide",
        issuer="https://idp.example.com",
        subject="alice",
        claims=freeze(held),
        fields=freeze({"user_id": "alice", "team_id": "data"}),
    )
    asked = Call(
        server="weather",
        era=Era.MODERN,
        revision=MODERN,
        shape=Shape.REQUEST,
        method="tools/call",
        id=1,
        name="get_forecast",
        arguments={"city": "Oslo", "days": 3},
    )
    return lambda: build_claims(caller, asked, signer, now=1_800_000_000, jti="j" * 22, txn="t" * 22)


def microseconds(build: Callable[[], object], *, seconds: float, core: int) -> float:
    """CPU time of one call, in microseconds. seconds: of CPU, for all."""
    with pinned(core):
        for _ in range(200):
            build()
        count, began = 0, time.process_time()
        while time.process_time() - began < seconds:
            for _ in range(100):
                build()
            count += 100
        return (time.process_time() - began) / count * 1e6
