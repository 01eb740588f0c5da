"""`signer:`, and `servers.<name>.signer` over it: how call tokens are made, and who else may say something for them.

What the keys of one signer say about each other is checked by `faults`, once both are laid over each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from counterseal.config.addresses import (
    SAY_LOOPBACK,
    ChannelHeader,
    HeaderName,
    LaterIdpAddress,
    PeerNetwork,
    is_insecure,
    issuer_of_discovery,
    may_name_a_subject,
)
from counterseal.config.callers import DEFAULT_ALGORITHMS
from counterseal.config.claims import ClaimValues, EndUserSource, FreeClaims, RequiredClaim, profile_of, scope_fault
from counterseal.config.part import Part, nothing
from counterseal.config.problems import wrong
from counterseal.config.values import (
    Pattern,
    ScopeToken,
    SigningAlgorithm,
    Text,
    Ttl,
    VerifyingAlgorithm,
    distinct,
    some,
)
from counterseal.core.paths import Path, steps_of
from counterseal.core.sources import Source


def _trust_domain(text: str) -> str:
    if "://" in text:
        raise wrong("is an address, and a Txn-Token is for a trust domain: write its name, such as `example.internal`")
    return text


class TxnToken(Part):
    """A Txn-Token beside each call token. audience: the trust domain. req_wl: the workload that asks for it; None for the
    gateway's own issuer."""

    audience: Annotated[Text, AfterValidator(_trust_domain)]
    ttl_seconds: Ttl = 60
    req_wl: Text | None = None


class Signer(Part):
    """How call tokens are made for a server: `signer` for all, with `servers.<name>.signer` laid over it key by key.

    algorithm: None for the first of `keys.algorithms`. audience: None for the server's own URL. ttl_seconds: 1 to 900.
    allowed_tools: None leaves it to the policy, () allows none. allowed_scopes: None allows any. profile: None for ours. subject:
    None for the subject's own name. channel_token_audience, txn_token: None sends no such token.
    """

    mode: Literal["sign", "verify_and_resign"] = "sign"
    algorithm: SigningAlgorithm | None = None
    audience: Text | None = None
    ttl_seconds: Ttl = 60
    header: HeaderName = "Authorization"
    on_conflict: Literal["error", "keep", "replace"] = "error"
    end_user_claim_sources: Annotated[tuple[EndUserSource, ...], AfterValidator(distinct)] = (
        "sub",
        "preferred_username",
        "email",
        "user_id",
    )
    allowed_tools: tuple[Pattern, ...] | None = None
    bind_arguments: bool = True

    trust_identity_headers_from: Annotated[tuple[PeerNetwork, ...], AfterValidator(distinct)] = ()
    optional_claims: FreeClaims = ()
    required_claims: Annotated[tuple[RequiredClaim, ...], AfterValidator(distinct)] = ()
    add_claims: ClaimValues = Field(default_factory=nothing)
    set_claims: ClaimValues = Field(default_factory=nothing)
    remove_claims: FreeClaims = ()
    allowed_scopes: Annotated[tuple[ScopeToken, ...], AfterValidator(some), AfterValidator(distinct)] | None = None
    channel_token_header: ChannelHeader = "X-Channel-Token"  # noqa: S105
    channel_token_allow_insecure_loopback: bool = False
    channel_token_discovery_uri: LaterIdpAddress | None = None
    channel_token_jwks_uri: LaterIdpAddress | None = None
    channel_token_issuer: LaterIdpAddress | None = None
    channel_token_algorithms: Annotated[
        tuple[VerifyingAlgorithm, ...], AfterValidator(some), AfterValidator(distinct)
    ] = DEFAULT_ALGORITHMS
    channel_token_audience_in: Text | None = None
    channel_token_required: bool = False
    channel_token_audience: Text | None = None
    channel_token_ttl: Ttl = 60
    txn_token: TxnToken | None = None
    debug_header: bool = False
    profile: Literal["litellm"] | None = None
    subject: Literal["pairwise"] | None = None

    @field_validator("allowed_tools", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:  # S-09: nothing at all could mean no tool or all of them
            raise wrong("is empty: write `[]` for no tool, or leave the key out so that the policy decides alone")
        return value

    def under(self, own: Signer) -> Signer:
        """These defaults with what another part of the file says laid over them."""
        return self.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    @property
    def channel_issuer(self) -> str | None:
        """The exact `iss` of channel tokens; None where nobody verifies them."""
        if self.channel_token_discovery_uri is None or self.channel_token_issuer is not None:
            return self.channel_token_issuer
        return issuer_of_discovery(self.channel_token_discovery_uri)

    @property
    def identity_headers(self) -> tuple[str, ...]:
        """The headers that a source asks for: none that has another meaning."""
        asked = (source.header for source in self.sources)
        return tuple(dict.fromkeys(name for name in asked if name is not None and self._may_name_a_subject(name)))

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of the subject, as the core reads them."""
        return tuple(map(Source.of, self.end_user_claim_sources))

    def _may_name_a_subject(self, header: str) -> bool:
        return may_name_a_subject(header) and plain(header) != plain(self.channel_token_header)


def faults(signer: Signer, own_issuer: str | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a signer as a whole: the key, and what to do. own_issuer: this gateway's."""
    yield from _channel_faults(signer, own_issuer)
    yield from _header_faults(signer)
    yield from _mode_faults(signer)
    yield from _claim_faults(signer)


def _channel_faults(signer: Signer, own_issuer: str | None) -> Iterator[tuple[str, str]]:
    discovery, jwks = signer.channel_token_discovery_uri, signer.channel_token_jwks_uri
    if discovery is None and jwks is None:
        nobody = "add `channel_token_discovery_uri` or `channel_token_jwks_uri`, or remove it"
        if signer.channel_token_required:
            yield "channel_token_required", f"asks for what nobody could verify: {nobody}"
        for key in ("channel_token_issuer", "channel_token_audience_in"):
            if getattr(signer, key) is not None:
                yield key, f"says what channel tokens must be and nobody verifies them: {nobody}"
        return
    if discovery is not None and jwks is not None:
        yield (
            "channel_token_jwks_uri",
            "is what the document at `channel_token_discovery_uri` says: keep one of the two",
        )
    elif signer.channel_issuer is None and jwks is not None:
        yield (
            "channel_token_jwks_uri",
            "has keys but not whose they are: add `channel_token_issuer`, the `iss` of these tokens",
        )
    elif signer.channel_issuer is None:
        yield (
            "channel_token_discovery_uri",
            "is no address that the issuer can be told from: add `channel_token_issuer`, as the document there has it",
        )
    if signer.channel_issuer is not None and signer.channel_issuer == own_issuer:
        yield "channel_token_issuer", "is this gateway itself, whose tokens never come back in: name the IdP's issuer"
    for key in ("channel_token_discovery_uri", "channel_token_jwks_uri", "channel_token_issuer"):
        address = getattr(signer, key)
        if address is not None and is_insecure(address) and not signer.channel_token_allow_insecure_loopback:
            yield key, SAY_LOOPBACK.format(key="channel_token_allow_insecure_loopback")


def _header_faults(signer: Signer) -> Iterator[tuple[str, str]]:
    for source in signer.sources:
        if source.header is None:
            continue
        if signer.trust_identity_headers_from and not signer._may_name_a_subject(source.header):
            yield (
                "end_user_claim_sources",
                f"names `{source.header}`, a header with a meaning of its own, which nobody can take for a subject: remove it "
                "there, or remove `trust_identity_headers_from`",
            )
        if not signer.trust_identity_headers_from and source.asks_only == "header":
            yield (
                "end_user_claim_sources",
                f"asks for the header `{source.header}`, and nobody is trusted to send it: name the proxy in "
                "`trust_identity_headers_from`, or remove it",
            )


def _mode_faults(signer: Signer) -> Iterator[tuple[str, str]]:
    """Where a token alone says who the subject is, nobody else is asked."""
    if signer.mode != "verify_and_resign":
        return
    alone = "and with `mode: verify_and_resign` the token alone says who the subject is: remove it"
    if signer.trust_identity_headers_from:
        yield "trust_identity_headers_from", f"lets a proxy name the subject, {alone}"
    for source in signer.sources:
        if source.asks_only == "header" or (source.asks_only == "key" and not source.of_token):
            yield "end_user_claim_sources", f"asks for `{source.header or source.key}`, {alone}"


def _claim_faults(signer: Signer) -> Iterator[tuple[str, str]]:
    if signer.profile == "litellm" and signer.subject == "pairwise":
        yield (
            "subject",
            "hides who the subject is, and `profile: litellm` puts the e-mail address beside it: keep one of them",
        )
    for scope in signer.allowed_scopes or ():
        if (what := scope_fault(scope, profile_of(signer.profile))) is not None:
            yield "allowed_scopes", f"has `{scope}`, which {what}"
    for outer, value in signer.add_claims.items():
        holds_none = not isinstance(value, Mapping) and not (isinstance(value, str) and "{" in value)
        for inner in signer.set_claims:
            if holds_none and _is_inside(steps_of(inner), steps_of(outer)):
                yield (
                    "set_claims",
                    f"has `{inner}`, and `add_claims` has `{outer}`, which is no object: rename one of them",
                )


def _is_inside(inner: Path, outer: Path) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def plain(name: str) -> str:
    """A header's name as everybody on the way may have spelled it."""
    return name.lower().replace("_", "-")


def beside_in_headers(signer: Signer) -> tuple[str, ...]:
    """The keys that are set of what goes beside the call token, each in a header of its own."""
    is_set = {
        "channel_token_audience": signer.channel_token_audience is not None,
        "txn_token": signer.txn_token is not None,
        "debug_header": signer.debug_header,
    }
    return tuple(key for key, there in is_set.items() if there)
