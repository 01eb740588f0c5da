"""What is tried, in this order: each attack with what it means that a server lets it through, and how to mend that.

The page docs/probe.md has this table. An attack that another one explains (`follows`) is told without a cause of its own: where
no token is needed, it says nothing that an expired one will do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

GOOD: Final = "good"
"""The call that has to succeed for anything else to mean something."""


@dataclass(frozen=True, slots=True)
class Attack:
    """id: for programs. sent: what the server gets. cause: what is likely wrong where it is taken. fix: how to mend it.

    follows: attacks that explain it where they are taken too. tool: it needs the arguments of a tool. servers, gateway: whether
    it is tried on a server, and on the gateway itself, to which all call tokens are alike.
    """

    id: str
    sent: str
    cause: str
    fix: str
    follows: tuple[str, ...] = ()
    tool: bool = False
    servers: bool = True
    gateway: bool = True


_OURS: Final = "put an adapter of `counterseal.verify` in front: docs/verifying.md"
_UNCHECKED: Final = ("none", "no_token")

_ROWS: Final = (
    Attack(
        "none",
        "no token at all",
        "the server asks for no token: nothing verifies, or not on this path",
        _OURS,
    ),
    Attack(
        "identity_header",
        "no token, but `X-User` and its like",
        "it believes a header that anybody can write",
        f"take the identity from the verified token alone, and read no such header; {_OURS}",
        follows=("none",),
    ),
    Attack(
        "no_token",
        "a text that is no token",
        "it looks whether there is a token, and not into it",
        _OURS,
        follows=("none",),
    ),
    Attack(
        "scheme",
        "a text that is no token, as `bearer`",
        "it looks for `Bearer ` and takes what does not begin so for a request that needs no check",
        "compare the scheme without regard to case (RFC 9110 section 11.1), and refuse what has no token",
        follows=_UNCHECKED,
    ),
    Attack(
        "tampered",
        "a good token, its `sub` changed",
        "the token is decoded and not verified: PyJWT with `verify_signature: False`, `jose.decodeJwt`, base64 by hand",
        "verify with the gateway's JWKS: in PyJWT pass key and `algorithms`, and no `verify_signature`; in jose use `jwtVerify`",
        follows=_UNCHECKED,
    ),
    Attack(
        "alg_none",
        "an unsigned token, `alg: none`",
        "it takes the algorithm from the token, and `none` is one",
        "name the algorithms: `algorithms=['RS256']` or what the gateway signs with, never the token's own `alg`",
        follows=(*_UNCHECKED, "tampered"),
    ),
    Attack(
        "hs256",
        "a MAC (`HS256`) whose secret is the public key",
        "it takes the algorithm from the token and uses the public key as a secret: algorithm confusion",
        "allow asymmetric algorithms alone, and bind each key to its own",
        follows=(*_UNCHECKED, "tampered"),
    ),
    Attack(
        "unknown_kid",
        "a stranger's token, with a `kid` of theirs",
        "where it finds no key for the `kid` it goes on without one",
        "refuse a `kid` that is not in the gateway's JWKS",
        follows=(*_UNCHECKED, "tampered"),
    ),
    Attack(
        "embedded_jwk",
        "a stranger's token, with their key as its `jwk`",
        "it verifies with the key that the token brings along",
        "take keys from the gateway's JWKS alone, and refuse tokens with `jwk` in the header",
        follows=(*_UNCHECKED, "tampered", "unknown_kid"),
    ),
    Attack(
        "key_address",
        "a stranger's token, with `jku` or `x5u` to their key",
        "it fetches keys from an address in the token: anybody can sign, and make it send requests",
        "take keys from the one address of the gateway, and refuse tokens with `jku` or `x5u`",
        follows=(*_UNCHECKED, "tampered", "unknown_kid"),
    ),
    Attack(
        "own_token",
        "a good call token, as a caller's credential",
        "the gateway takes its own tokens back in",
        "this is a defect of the gateway: see SECURITY.md",
        servers=False,
    ),
    Attack(
        "expired",
        "a token that ended an hour ago",
        "`exp` is not checked",
        "check `exp`, and require it: in PyJWT no `verify_exp: False`, and `require: ['exp']`",
        follows=_UNCHECKED,
    ),
    Attack(
        "not_yet_valid",
        "a token that begins in ten minutes",
        "`nbf` and `iat` are not checked, as in FastMCP's `JWTVerifier`",
        "check `nbf`, with 30 seconds for clocks that differ",
        follows=_UNCHECKED,
    ),
    Attack(
        "issuer",
        "a token of another issuer, under the gateway's key",
        "`iss` is not checked: no `issuer` was given to the verifier",
        "give it the gateway's exact `issuer`",
        follows=_UNCHECKED,
    ),
    Attack(
        "audience",
        "a token whose `aud` only begins like this server's",
        "`aud` is not checked, or only its beginning",
        "give the verifier this server's exact `audience`; PyJWT, jose and `JWTVerifier` check none that they were not told",
        follows=(*_UNCHECKED, "other_server"),
    ),
    Attack(
        "other_server",
        "another server's token",
        "`aud` is not checked, so every server of this gateway can call this one: `JWTVerifier` or jose without `audience`",
        "give the verifier this server's exact `audience`",
        follows=_UNCHECKED,
    ),
    Attack(
        "other_operation",
        "a token for another tool or method",
        "the scope is not checked: a token for `get_weather` deletes everything",
        "hold `scope` and `authorization_details` against method and name; `JWTVerifier` cannot, `CountersealAuth` does",
        follows=_UNCHECKED,
        gateway=False,
    ),
    Attack(
        "other_arguments",
        "a token for other arguments of the same tool",
        "`arguments_digest` is not checked",
        "hold it against the arguments that came; for an HTTP API give `CallToken` its `arguments`",
        follows=(*_UNCHECKED, "other_operation"),
        tool=True,
        gateway=False,
    ),
    Attack(
        "replayed",
        "a token for the second time",
        "no `jti` is remembered, so whoever sees a token can use it while it lives",
        "remember each `jti` until its `exp`, in a store that all processes share: `single_use` of `Verifier`",
        follows=_UNCHECKED,
        gateway=False,
    ),
    Attack(
        "two_headers",
        "two Authorization headers, one of them good",
        "it takes the first or the last of two credentials, and what is in front of it may have looked at the other",
        "refuse a request with more than one Authorization header",
        follows=_UNCHECKED,
    ),
    Attack(
        "oversize",
        "a token of 12 KiB, under the gateway's key",
        "there is no ceiling on what it parses before it verifies; no call token is larger than 6 KiB",
        "refuse tokens of more than 8 KiB before they are parsed",
        follows=_UNCHECKED,
    ),
    Attack(
        "open_methods",
        "no token, on its other methods",
        "these methods are let through without verification",
        "verify every message: the gateway sends a token with each, `initialize` and lists included",
        follows=("none",),
    ),
)

ATTACKS: Final[Mapping[str, Attack]] = {row.id: row for row in _ROWS}


def explained(attack: Attack, taken: Collection[str]) -> str | None:
    """The attack that explains why this one was taken; None where it needs a cause of its own. taken: ids of those that were."""
    return next((id for id in attack.follows if id in taken), None)
