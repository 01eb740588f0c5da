"""The claims of a call token, and nothing else (docs/call-token.md).

Pure: what is random (`jti`, `txn`) or read from a clock (`now`) is an argument, so that `explain`, `token mint` and the
pipeline make the same claims from the same code. What the configuration says is compiled before, into `SignerSettings`; nothing
is parsed for a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from counterseal.core.bounds import OutOfBounds, bounded
from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.canonical import arguments_digest
from counterseal.core.claim_operations import NO_OPERATIONS, ClaimOperations
from counterseal.core.methods import METHODS
from counterseal.core.names import reserved_in
from counterseal.core.origins import Origin, Origins
from counterseal.core.pairwise import Pairwise
from counterseal.core.paths import Path
from counterseal.core.permit import ClaimsRefused, Denial
from counterseal.core.profiles import COUNTERSEAL, Profile
from counterseal.core.requirements import Mode, Required, claims_missing, token_required
from counterseal.core.sources import NoSubject, Sources, Subject, kind_of
from counterseal.core.txn_token import TxnToken

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """How one server's call tokens are made: `signer:` with `servers.<name>.signer` laid over it.

    ttl_seconds: life of a token, 1 to 900. end_user_claim_sources: tried in this order for `sub`, as the configuration writes
    them. bind_arguments: put the digest of the arguments into the token. server: its name. pairwise: makes the subject's name;
    None leaves it as it is. required, operations: what is asked of and done to claims. places: for a key of `signer`, its whole
    path and where it stands. channel: how the second token beside each is made; txn_token: a Txn-Token; None makes none. debug:
    tell the server how its tokens come about.
    """

    issuer: str
    audience: str
    algorithm: str
    ttl_seconds: int
    end_user_claim_sources: tuple[str | Path, ...]
    bind_arguments: bool = True
    server: str = ""
    mode: Mode = "sign"
    profile: Profile = COUNTERSEAL
    pairwise: Pairwise | None = None
    required: tuple[Required, ...] = ()
    operations: ClaimOperations = NO_OPERATIONS
    places: Mapping[str, str] = field(default_factory=dict, repr=False)
    channel: SignerSettings | None = None
    txn_token: TxnToken | None = None
    debug: bool = False
    sources: Sources = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sources = Sources.of(self.end_user_claim_sources, of_a_person=self.mode == "verify_and_resign")
        object.__setattr__(self, "sources", sources)

    def place(self, key: str) -> str:
        """The path and place of a key; empty where nobody said."""
        return self.places.get(key, "")

    def subject(self, caller: Caller) -> Subject:
        """On whose behalf a caller calls, by the name that others know the person by. Raises UnfitSubject, ClaimsRefused."""
        try:
            return self.sources.subject(caller)
        except NoSubject:
            what = "the claim `sub` of the call token cannot be made: no source of it names anybody for this caller"
            raise ClaimsRefused("claim_unavailable", what, self.place("end_user_claim_sources")) from None


class ClaimTaken(ValueError):
    """A claim that was to be added is reserved, or the token has it already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the token has the claim {name!r} already, or nobody may add it")
        self.name = name


def build_claims(
    caller: Caller,
    call: Call,
    signer: SignerSettings,
    *,
    now: int,
    jti: str,
    txn: str,
    added: Mapping[str, Any] = _NONE,
    origins: Origins | None = None,
) -> dict[str, Any]:
    """The claims set for one call. now: seconds since the epoch. added: claims of claim sources, JSON values by name. origins: is
    filled with where each claim came from.

    Raises ClaimsRefused where the configuration asks for what there is not, canonical.NotCanonical for arguments that have no one
    meaning, ClaimTaken where one of `added` may not be added, UnfitSubject.
    """
    if signer.mode == "verify_and_resign" and caller.kind != "token":
        raise token_required(caller, signer.server, signer.place("mode"))
    if (missing := [one for one in signer.required if not one.met(caller)]) != []:
        raise claims_missing(caller, missing)
    who = signer.subject(caller)
    profile, pairwise = signer.profile, signer.pairwise
    act, kind, detail = profile.acting(caller, signer.issuer)
    claims = {
        "iss": signer.issuer,
        "aud": signer.audience,
        "sub": who[0] if pairwise is None else _pseudonym(pairwise, who[0], caller, signer),
        "client_id": caller.client_id if pairwise is None else _client(pairwise, caller, signer),
        "act": act,
        "scope": profile.scope_of(call.method, call.name),
        "iat": now,
        "nbf": now,
        "exp": now + signer.ttl_seconds,
        "jti": jti,
        "txn": txn,
        "authorization_details": [operation(call, signer)],
    }
    if origins is not None:
        _note(origins, who, Origin(kind, detail), signer)
    for name in profile.fields:
        _add_field(claims, name, caller, signer, origins)
    signer.operations.pass_on(claims, caller, origins)
    for name, value in added.items():
        if name in claims or reserved_in(name) is not None:
            raise ClaimTaken(name)
        claims[name] = value
        if origins is not None:
            origins.put((name,), Origin("hook"))
    signer.operations.apply(claims, caller, call, origins)
    return claims


def refusal(caller: Caller, call: Call, signer: SignerSettings, *, now: int) -> Denial | None:
    """Why there is no call token for this call, as far as the caller and the configuration say; None where there could be one.
    Nothing comes of it that could be signed. Raises as `build_claims`, but for ClaimsRefused."""
    try:
        build_claims(caller, call, signer, now=now, jti="", txn="")
    except ClaimsRefused as refused:
        return refused.denial
    return None


def operation(call: Call, signer: SignerSettings) -> dict[str, Any]:
    """The one RFC 9396 object that says what the token is for."""
    details: dict[str, Any] = {"type": "mcp_call", "locations": [signer.audience], "actions": [call.method]}
    if call.name is not None:
        details["identifier"] = call.name
    row = METHODS.get(call.method)
    if signer.bind_arguments and row is not None and row.arguments:
        details["arguments_digest"] = arguments_digest(call.arguments or {})
    return details


def _pseudonym(pairwise: Pairwise, name: str, caller: Caller, signer: SignerSettings) -> str:
    """Nobody has no pseudonym: what is the same for everybody tells nobody apart."""
    if caller.kind == "anonymous":
        return name
    return pairwise(caller.issuer or signer.issuer, name)


def _client(pairwise: Pairwise, caller: Caller, signer: SignerSettings) -> str:
    """A client that is as good as a person's name has a pseudonym too: an API key, and a subject that stands for its client."""
    if caller.kind == "api_key" or (caller.kind == "token" and caller.client_id == caller.subject):
        return _pseudonym(pairwise, caller.client_id, caller, signer)
    return caller.client_id


def _add_field(
    claims: dict[str, Any], name: str, caller: Caller, signer: SignerSettings, origins: Origins | None
) -> None:
    value = caller.fields.get(name)
    if not value:
        return
    try:
        claims[name] = bounded(value)
    except OutOfBounds as error:
        what = f"the claim `{name}` of the call token cannot be made: it {error}"
        raise ClaimsRefused("claim_unavailable", what, signer.place("profile")) from None
    if origins is not None:
        origins.put((name,), Origin(kind_of(caller), name, signer.place("profile")))


def _note(origins: Origins, who: Subject, act: Origin, signer: SignerSettings) -> None:
    """Where the claims come from that every call token has."""
    hidden = "" if signer.pairwise is None else ", pairwise"
    origins.update(
        {
            ("iss",): Origin("configuration", "issuer", "issuer"),
            ("aud",): Origin("configuration", "audience", signer.place("audience")),
            ("sub",): Origin(who[1], who[2] + hidden, signer.place("end_user_claim_sources")),
            ("client_id",): Origin("caller", "client_id"),
            ("act",): act,
            ("scope",): Origin("call", "method and name"),
            **dict.fromkeys((("iat",), ("nbf",)), Origin("gateway", "now")),
            ("exp",): Origin("gateway", "now and ttl_seconds", signer.place("ttl_seconds")),
            **dict.fromkeys((("jti",), ("txn",)), Origin("gateway", "random")),
            ("authorization_details",): Origin("call", "method, name and arguments"),
        }
    )
