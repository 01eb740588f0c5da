"""Good tokens, plain and odd, that must pass: each is one edit from a family of bad ones. Without them nobody knows what was
refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bench.attack.forge import ABSENT, LEEWAY, Forge, Make, numeric_now
from bench.attack.segments import P256_ORDER
from bench.jose import segment, signing_input, text


def plain(forge: Forge) -> bytes:
    return forge.token(held=forge.rng.choice(forge.keys))


def known(forge: Forge) -> bytes:
    """One that is shown again and again, so that it is remembered."""
    return forge.rng.choice(forge.pool)


def partners(forge: Forge) -> bytes:
    return forge.signed(forge.claims(iss=forge.partner), None, forge.rng.choice(forge.partners_keys))


def odd_header(forge: Forge) -> bytes:
    changes: tuple[Mapping[str, Any], ...] = (
        {"typ": ABSENT},
        {"typ": "JWT"},
        {"typ": "application/at+jwt"},
        {"typ": "AT+JWT"},
        {"x5t": "c29tZXRoaW5n"},
        {"x5c": ["AAAA"], "cty": "x"},
    )
    return forge.with_header(**forge.rng.choice(changes))


def without_kid(forge: Forge) -> bytes:
    """Where one key alone fits the algorithm."""
    return forge.with_header(forge.rng.choice(forge.keys[2:]), kid=ABSENT)


def odd_times(forge: Forge) -> bytes:
    now = numeric_now()
    changes: tuple[Mapping[str, Any], ...] = (
        {"exp": now + 60.5, "nbf": now - 0.25},
        {"exp": now - LEEWAY + 20, "iat": now - 60, "nbf": now - 60},
        {"nbf": now + LEEWAY // 3},
        {"iat": now + LEEWAY // 3},
        {"nbf": ABSENT, "iat": ABSENT},
        {"nbf": 0, "iat": 0},
        {"exp": 253402300799},
    )
    return forge.with_claims(**forge.rng.choice(changes))


def odd_claims(forge: Forge) -> bytes:
    ours = forge.audience
    changes: tuple[Mapping[str, Any], ...] = (
        {"aud": [ours]},
        {"aud": [*(f"{forge.own}/mcp/{n}" for n in range(9)), ours]},
        {"sub": "Zo\u00eb \u0416\u4e2d \U0001f600"},
        {"sub": "s" * 255},
        {"client_id": ABSENT, "azp": "attack"},
        {"client_id": ABSENT},
        {"act": {"sub": "a", "act": {"sub": "b", "act": {"client_id": "c", "act": {"sub": "d"}}}}},
        {"may_act": {"sub": forge.own}},
        {"act": {"sub": "agent"}, "may_act": {"sub": "agent"}},
        {"scope": ["a", "b"], "roles": ["x"], "nonce": "n"},
        {"x": "x" * 4096},
        {"x": [1] * 240},
        {"x": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]},
    )
    return forge.with_claims(**forge.rng.choice(changes))


def odd_json(forge: Forge) -> bytes:
    """White space and escapes where JSON has them."""
    held = forge.held()
    header = text(held.header()).replace(b",", b" ,\n").replace(b'"alg"', b'"\\u0061lg"')
    return forge.token(b" \t" + text(forge.claims()).replace(b'":', b'" : ') + b"\r\n", header, held)


def the_other_signature(forge: Forge) -> bytes:
    """For each ECDSA signature there is a second one (J-23): it is as good, so nothing may be keyed by signatures."""
    held = forge.keys[0]
    data = signing_input(held.header(), forge.claims())
    raw = held.sign(data)
    other = P256_ORDER - int.from_bytes(raw[32:], "big")
    return data + b"." + segment(raw[:32] + other.to_bytes(32, "big"))


TWINS: Final[tuple[Make, ...]] = (
    plain,
    partners,
    odd_header,
    without_kid,
    odd_times,
    odd_claims,
    odd_json,
    the_other_signature,
)
