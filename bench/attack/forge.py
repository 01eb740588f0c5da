"""What tokens are forged with: two issuers and their keys, an attacker's keys, and good tokens to spoil.

The random generator decides about everything but keys and times, so a seed repeats the tricks and not the bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.jose import Held, PrivateKey, new_key, segment, sign, signing_input, text

ABSENT: Final = object()
"""As the value of a changed member: leave it out."""
LEEWAY: Final = 30
"""What a gateway gives to other people's clocks unless configured."""
LIFE_SECONDS: Final = 4 * 3600
"""Of good tokens: longer than any run."""

PUBLISHED: Final = (("ES256", "es-1"), ("ES256", "es-2"), ("EdDSA", "ed-1"), ("RS256", "rs-1"), ("PS256", "ps-1"))
"""The keys of each issuer. Two are for ES256, so that there the `kid` is needed."""
_QUICK: Final = 3
"""So many of them sign in no time."""
_GOOD: Final = 64


class Forge:
    """issuer, partner: two issuers that the gateway trusts; their keys have the same ids. own: the gateway's issuer. audience:
    what good tokens are for. trap: an address that nobody may ask.

    minted: call tokens that the gateway has made meanwhile.
    """

    def __init__(self, rng: random.Random, *, issuer: str, partner: str, own: str, audience: str, trap: str) -> None:
        self.rng = rng
        self.issuer = issuer
        self.partner = partner
        self.own = own
        self.audience = audience
        self.trap = trap
        self.keys = tuple(Held(algorithm, kid, new_key(algorithm)) for algorithm, kid in PUBLISHED)
        self.partners_keys = tuple(Held(algorithm, kid, new_key(algorithm)) for algorithm, kid in PUBLISHED)
        self._attackers: dict[str, PrivateKey] = {}
        self.minted: list[bytes] = []
        self.good: set[bytes] = set()
        self.pool = [self.keep(self.token(held=self.keys[number % len(self.keys)])) for number in range(_GOOD)]

    def jwks(self) -> dict[str, Any]:
        return {"keys": [held.jwk() for held in self.keys]}

    def partners_jwks(self) -> dict[str, Any]:
        return {"keys": [held.jwk() for held in self.partners_keys]}

    def keep(self, token: bytes) -> bytes:
        """The token, known from now on as a good one."""
        self.good.add(token)
        return token

    def held(self) -> Held:
        """One of the issuer's keys; seldom one of those that take long to sign."""
        if self.rng.random() < 0.03:
            return self.rng.choice(self.keys)
        return self.keys[self.rng.randrange(_QUICK)]

    def attackers(self, held: Held) -> Held:
        """The attacker's key under the algorithm and id of another."""
        key = self._attackers.get(held.algorithm)
        if key is None:
            key = self._attackers[held.algorithm] = new_key(held.algorithm)
        return Held(held.algorithm, held.kid, key)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token (RFC 9068 section 2.2), with changes."""
        now, number = int(time.time()), self.rng.getrandbits(48)
        usual = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": f"subject-{number:x}",
            "client_id": "attack",
            "scope": "mcp",
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            "jti": f"{self.rng.getrandbits(64):x}",
        }
        return changed(usual, changes)

    def token(self, payload: object = None, header: object = None, held: Held | None = None) -> bytes:
        """A token that is signed with a right key, whatever it says. None: as it is in a good one."""
        return self.signed(payload, header, held or self.held())

    def signed(self, payload: object, header: object, held: Held) -> bytes:
        """A token that is signed with a certain key."""
        data = signing_input(held.header() if header is None else header, self.claims() if payload is None else payload)
        return data + b"." + segment(sign(held.algorithm, held.key, data))

    def with_header(self, held: Held | None = None, **changes: Any) -> bytes:
        """A token that is good but for members of its header."""
        held = held or self.held()
        return self.token(None, changed(held.header(), changes), held)

    def with_claims(self, **changes: Any) -> bytes:
        """A token that is good but for these claims."""
        return self.token(self.claims(**changes))

    def with_claim_text(self, name: str, json_text: str) -> bytes:
        """A token that is good but for one claim, whose value is this text, be it JSON or not."""
        return self.token(member(self.claims(**{name: ABSENT}), name, json_text))

    def random_bytes(self, least: int, most: int) -> bytes:
        return self.rng.randbytes(self.rng.randint(least, most))

    def random_segment(self, least: int, most: int) -> bytes:
        """base64url of so many random bytes."""
        return segment(self.random_bytes(least, most))


Make = Callable[[Forge], bytes]
"""Makes one token of a family."""


def changed(usual: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}


def member(of: Mapping[str, Any], name: str, json_text: str) -> bytes:
    """The JSON of an object with one more member, whose value is this text."""
    return text(of)[:-1] + f',"{name}":{json_text}}}'.encode()


def numeric_now() -> int:
    """The second that has begun."""
    return int(time.time())
