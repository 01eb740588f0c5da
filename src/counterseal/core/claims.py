"""The claims of a call token, and nothing else (contract.md section 5).

Pure: what is random (`jti`, `txn`) or read from a clock (`now`) is an argument, so that `explain`, `token mint` and the
pipeline make the same claims from the same code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.canonical import arguments_digest
from counterseal.core.frozen import thaw
from counterseal.core.methods import METHODS
from counterseal.core.scope import scope_of

RESERVED: Final = frozenset(
    [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "act",
        "scope",
        "client_id",
        "azp",
        "cnf",
        "txn",
        "authorization_details",
    ]
)
"""What the gateway alone decides. A configuration that names one of these in a claim operation is refused at start."""

_CLAIM: Final = re.compile(r"[A-Za-z0-9_:./-]{1,128}")
SUBJECT_LENGTH: Final = 255
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
ACT_DEPTH: Final = 4
"""The longest actor chain that leaves the gateway, ours included."""
MAY_ACT_MEMBERS: Final = ("sub", "iss", "client_id")
"""What of `may_act` an actor is compared by."""


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """How one server's call tokens are made: `signer:` with `servers.<name>.signer` laid over it.

    ttl_seconds: life of a token, 1 to 900. end_user_claim_sources: tried in this order for `sub`.
    bind_arguments: put the digest of the arguments into the token.
    """

    issuer: str
    audience: str
    algorithm: str
    ttl_seconds: int
    end_user_claim_sources: tuple[str, ...]
    bind_arguments: bool = True


def reserved_in(name: str) -> str | None:
    """The reserved claim that a claim's name is, looks like, or begins a path with (threats.md I-04); None for any other."""
    for part in (name, name.partition(".")[0]):
        plain = unicodedata.normalize("NFKC", part).strip().casefold()
        if plain in RESERVED:
            return plain
    return None


def is_claim_name(name: str) -> bool:
    """Whether a claim that the gateway doesn't make by itself may have this name, reserved ones aside."""
    return _CLAIM.fullmatch(name) is not None


class ClaimTaken(ValueError):
    """A claim that was to be added is reserved, or the token has it already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the token has the claim {name!r} already, or nobody may add it")
        self.name = name


_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def build_claims(
    caller: Caller,
    call: Call,
    signer: SignerSettings,
    *,
    now: int,
    jti: str,
    txn: str,
    added: Mapping[str, Any] = _NONE,
) -> dict[str, Any]:
    """The claims set for one call. now: seconds since the epoch. added: claims of claim sources, JSON values by name.

    Raises canonical.NotCanonical for arguments that have no one meaning, ClaimTaken where one of `added` may not be added,
    UnfitSubject.
    """
    claims: dict[str, Any] = {
        "iss": signer.issuer,
        "aud": signer.audience,
        "sub": subject(caller, signer.end_user_claim_sources),
        "client_id": caller.client_id,
        "act": actor(caller, signer.issuer),
        "scope": scope_of(call.method, call.name),
        "iat": now,
        "nbf": now,
        "exp": now + signer.ttl_seconds,
        "jti": jti,
        "txn": txn,
        "authorization_details": [operation(call, signer)],
    }
    for name in added:
        if name in claims or reserved_in(name) is not None:
            raise ClaimTaken(name)
        claims[name] = added[name]
    return claims


def operation(call: Call, signer: SignerSettings) -> dict[str, Any]:
    """The one RFC 9396 object that says what the token is for."""
    details: dict[str, Any] = {"type": "mcp_call", "locations": [signer.audience], "actions": [call.method]}
    if call.name is not None:
        details["identifier"] = call.name
    row = METHODS.get(call.method)
    if signer.bind_arguments and row is not None and row.arguments:
        details["arguments_digest"] = arguments_digest(call.arguments or {})
    return details


def subject(caller: Caller, sources: tuple[str, ...]) -> str:
    """The first non-empty source: for each name in turn a verified claim, else an identity header of a trusted peer, else a
    field of the API key.

    `sub` and `email` of a token are what its issuer's claim paths say, so an e-mail address counts only once its issuer
    vouches for it. With no source left, the client itself is the subject, named by a random id that is never derived from a
    credential.
    """
    is_token = caller.kind == "token"
    for source in sources:
        value, is_theirs = (_verified(caller, source), True) if is_token else (None, False)
        if not value and caller.headers:
            value, is_theirs = caller.headers.get(source), True
        if not value and not is_token:
            value, is_theirs = caller.fields.get(source), False
        if isinstance(value, str) and value:
            return _fit(value) if is_theirs else value
    if caller.kind == "anonymous":
        return "anonymous"
    return f"apikey:{caller.client_id}" if caller.kind == "api_key" else _fit(caller.client_id)


def _verified(caller: Caller, source: str) -> str | None:
    if source == "sub":
        return caller.subject
    value = None if source == "email" else caller.claims.get(source)
    return value if isinstance(value, str) and value else caller.fields.get(source)


class UnfitSubject(ValueError):
    """What would be the subject must not be one. The text says why, without it."""


def _fit(value: str) -> str:
    """What a provider or a proxy says must not pass for a caller that the gateway itself names, and holds nothing that a reader
    could not see (threats.md J-19, I-05)."""
    if is_reserved(value):
        raise UnfitSubject("the subject has a form that the gateway keeps for itself")
    if not is_seen(value):
        raise UnfitSubject("the subject is too long or holds characters that nobody sees")
    return value


def is_reserved(name: str) -> bool:
    """Whether it has a form by which the gateway itself names callers without a person."""
    return name == "anonymous" or name.startswith("apikey:")


def is_seen(name: str) -> bool:
    """Whether it is 1 to 255 characters that a reader can see."""
    if not 0 < len(name) <= SUBJECT_LENGTH:
        return False
    return name.isprintable() or not any(unicodedata.category(char) in _UNSEEN for char in name)


def actor(caller: Caller, issuer: str) -> dict[str, Any]:
    """The chain of RFC 8693 section 4.1, outermost first: who made this call on the subject's behalf.

    The verified channel, with the verified inbound chain below it; else that chain as it is, else the caller's agent, else
    its team, else this gateway.
    """
    if caller.channel is not None:
        below = {} if caller.act is None else {"act": thaw(caller.act)}
        return caller.channel.actor | below
    if caller.act is not None:
        chain: dict[str, Any] = thaw(caller.act)
        return chain
    return {"sub": caller.agent or caller.team or issuer}


class ActorRefused(ValueError):
    """Who acts must not act for this subject. The text says why, and names nobody."""


def check_actor(caller: Caller, issuer: str) -> None:
    """Hold the outermost actor against `may_act` of the caller's token (RFC 8693 section 4.4), and the chain against its
    ceiling. Raises ActorRefused."""
    if caller.channel is not None and caller.act is not None and chain_depth(caller.act) >= ACT_DEPTH:
        raise ActorRefused(f"with the channel there would be more than {ACT_DEPTH} actors")
    if caller.may_act is None:
        return
    acting = actor(caller, issuer)
    if caller.channel is not None:
        acting = {**acting, "iss": caller.channel.issuer}
    for name in MAY_ACT_MEMBERS:
        if name in caller.may_act and acting.get(name) != caller.may_act[name]:
            raise ActorRefused(f"`may_act` names another actor: its `{name}` is not that of who acts")


def chain_depth(act: Mapping[str, Any]) -> int:
    """How many actors a chain names. Raises ValueError where it is not a chain of objects that each name one."""
    depth = 0
    node: Any = act
    while node is not None:
        if not isinstance(node, Mapping) or not isinstance(node.get("sub", node.get("client_id")), str):
            raise ValueError("an actor is an object with `sub` or `client_id`")
        depth += 1
        if depth > ACT_DEPTH:
            raise ValueError(f"more than {ACT_DEPTH} actors")
        node = node.get("act")
    return depth
