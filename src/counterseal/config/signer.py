"""`signer:`, and `servers.<name>.signer` over it: how call tokens are made, and who else may say something for them.

What the keys of one signer say about each other is checked by `faults`, once both are laid over each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

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
from counterseal.config.part import Part, nothing
from counterseal.config.problems import later, wrong
from counterseal.config.values import (
    ClaimName,
    ClaimSource,
    Duration,
    Pattern,
    SigningAlgorithm,
    Text,
    Ttl,
    VerifyingAlgorithm,
    distinct,
    frozen,
    some,
)

_NO_CLAIMS: Final = "claim operations are not built yet: remove it"
_NO_OUTBOUND: Final = "channel tokens for servers are not built yet: remove it"


class Signer(Part):
    """How call tokens are made for a server: `signer` for all, with `servers.<name>.signer` laid over it key by key.

    algorithm: None for the first of `keys.algorithms`. audience: None for the server's own URL. ttl_seconds: 1 to 900.
    allowed_tools: None leaves it to the policy, () allows none.
    """

    algorithm: SigningAlgorithm | None = None
    audience: Text | None = None
    ttl_seconds: Ttl = 60
    header: HeaderName = "Authorization"
    on_conflict: Literal["error", "keep", "replace"] = "error"
    end_user_claim_sources: Annotated[tuple[ClaimSource, ...], AfterValidator(distinct)] = (
        "sub",
        "preferred_username",
        "email",
        "user_id",
    )
    allowed_tools: tuple[Pattern, ...] | None = None
    bind_arguments: bool = True

    trust_identity_headers_from: Annotated[tuple[PeerNetwork, ...], AfterValidator(distinct)] = ()
    optional_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    required_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    add_claims: Annotated[Mapping[ClaimName, Any], later(_NO_CLAIMS, {}), AfterValidator(frozen)] = Field(
        default_factory=nothing
    )
    set_claims: Annotated[Mapping[ClaimName, Any], later(_NO_CLAIMS, {}), AfterValidator(frozen)] = Field(
        default_factory=nothing
    )
    remove_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    allowed_scopes: Annotated[
        tuple[Text, ...] | None,
        later("other scopes are not built yet: remove it; a token holds the scope of its one call", None),
    ] = None
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
    channel_token_audience: Annotated[Text | None, later(_NO_OUTBOUND, None)] = None
    channel_token_ttl: Annotated[Duration, later(_NO_OUTBOUND, 60)] = 60
    debug_header: Annotated[bool, later("the debug header is not built yet: remove it", False)] = False
    profile: Annotated[Text | None, later("token profiles are not built yet: remove it", None)] = None
    subject: Annotated[Text | None, later("pairwise subjects are not built yet: remove it", None)] = None

    @field_validator("allowed_tools", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:  # threats.md S-09: nothing at all could mean no tool or all of them
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
        """The sources that a header may be named by: none that has another meaning."""
        channel = _plain(self.channel_token_header)
        return tuple(one for one in self.end_user_claim_sources if may_name_a_subject(one) and _plain(one) != channel)


def faults(signer: Signer, own_issuer: str | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a signer as a whole: the key, and what to do. own_issuer: this gateway's."""
    yield from _channel_faults(signer, own_issuer)
    yield from _header_faults(signer)


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
    if not signer.trust_identity_headers_from:
        return
    for source in signer.end_user_claim_sources:
        if source not in signer.identity_headers:
            yield (
                "end_user_claim_sources",
                f"names `{source}`, a header with a meaning of its own, which nobody can take for a subject: remove it there, or "
                "remove `trust_identity_headers_from`",
            )


def _plain(name: str) -> str:
    """A header's name as everybody on the way may have spelled it."""
    return name.lower().replace("_", "-")
