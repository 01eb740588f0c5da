"""What a server pays for a verification with everything on, beside the bare signature check of joserfc on the same tokens.

Both run in this process, a few tokens at a time in turn, by CPU time. joserfc is given each token already taken apart and its
key already parsed, so that nothing but its check of the signature is counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from bench.call import TOOL, request_body
from bench.machine import pinned
from counterseal.clock import SystemClock
from counterseal.core.canonical import arguments_digest
from counterseal.verify import CannotVerify, MemorySingleUse, Verifier

ALGORITHM = "ES256"
CAPACITY = 50_000
_ISSUER = "https://gateway.example.com"
_AUDIENCE = "https://weather.example.com/mcp"
_AT_ONCE = 25
"""So few that nothing else happens between the two that are compared, and so many that the clock is exact enough."""


class Tokens:
    """A key, and call tokens of it: each is good once."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "alg": ALGORITHM, "use": "sig"})
        self.arguments: dict[str, Any] = json.loads(request_body())["params"]["arguments"]
        self._made = 0

    def make(self, count: int) -> list[str]:
        return [self._token() for _ in range(count)]

    def _token(self) -> str:
        self._made += 1
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": "alice@example.com",
            "client_id": "k3m9x0a7q2fz",
            "act": {"sub": "planner"},
            "scope": f"mcp:tools/call:{TOOL}",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": f"{self._made:022d}",
            "txn": f"{self._made:022d}",
            "authorization_details": [
                {
                    "type": "mcp_call",
                    "locations": [_AUDIENCE],
                    "actions": ["tools/call"],
                    "identifier": TOOL,
                    "arguments_digest": arguments_digest(self.arguments),
                }
            ],
        }
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": "k1"}
        return jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")), self.key)


def costs(*, rounds: int, core: int) -> tuple[float, float]:
    """Microseconds of CPU for one verification: ours with everything on, and joserfc's check of the signature alone. rounds: of
    _AT_ONCE tokens each."""
    tokens = Tokens()
    verifier = Verifier(issuer=_ISSUER, audience=_AUDIENCE, jwks={"keys": [tokens.key.as_dict(private=False)]})
    registry = jws.JWSRegistry(algorithms=[ALGORITHM])

    def ours(token: str) -> object:
        return verifier.verify(token, method="tools/call", name=TOOL, arguments=tokens.arguments)

    def theirs(taken_apart: jws.CompactSignature) -> object:
        assert jws.validate_compact(taken_apart, tokens.key, registry=registry)
        return taken_apart

    with pinned(core):
        spent = [0.0, 0.0]
        for number in range(-2, rounds):  # the first two warm up
            made = tokens.make(_AT_ONCE)
            taken_apart = [jws.extract_compact(token.encode()) for token in made]
            pair = (_cpu(ours, made), _cpu(theirs, taken_apart))
            if number >= 0:
                spent = [before + now for before, now in zip(spent, pair, strict=True)]
        return spent[0] / (rounds * _AT_ONCE) * 1e6, spent[1] / (rounds * _AT_ONCE) * 1e6


def claims_per_second(*, core: int) -> float:
    """Claims of new tokens in a second of one core, by a memory that fills from its half to its bound and there takes no more."""
    memory = MemorySingleUse(SystemClock(), CAPACITY)
    end = time.time() + 600
    for number in range(CAPACITY // 2):
        memory.claim(f"old-{number}", end)
    names = [f"new-{number:018d}" for number in range(CAPACITY // 2)]
    with pinned(core):
        spent = _cpu(lambda name: memory.claim(name, end), names)
    try:
        memory.claim("one more", end)
    except CannotVerify:
        return len(names) / spent
    raise AssertionError("the memory is not bounded")


def _cpu(work: Callable[[Any], object], pieces: Sequence[Any]) -> float:
    began = time.process_time()
    for piece in pieces:
        work(piece)
    return time.process_time() - began
