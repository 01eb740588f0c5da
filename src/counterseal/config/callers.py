"""`callers:`, and in it the identity providers whose tokens are accepted."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic import ValidationInfo as Info

from counterseal.config.addresses import (
    SAY_LOOPBACK,
    TENANT,
    CidrNetwork,
    Host,
    IdpAddress,
    IdpIssuer,
    LaterIdpAddress,
    is_insecure,
    issuer_of_discovery,
)
from counterseal.config.part import Part
from counterseal.config.places import HeldSecret, PrivateKeyFile
from counterseal.config.problems import Faults, wrong
from counterseal.config.secret import SecretReference
from counterseal.config.source import Source
from counterseal.config.values import (
    ClaimPath,
    Leeway,
    Life,
    ScopeToken,
    Text,
    TokenType,
    VerifyingAlgorithm,
    distinct,
    some,
)

DEFAULT_ALGORITHMS: Final = ("RS256", "ES256")
DEFAULT_TYPES: Final = ("at+jwt", "JWT")
"""RFC 9068's, and what providers send that predate it."""

_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]{1,64}")
_OUR_KEYS: Final = "csk_"
_OWN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MADE_ID: Final = re.compile(r"[a-z0-9]{12}")
_OWN_KEY: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
LEAST_KEY_LENGTH: Final = 16
"""Characters of a key that the operator brings."""


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text) or ".." in text:
        raise wrong("is no tenant: write its id as it stands in `iss` and `tid`, of letters, digits, `.`, `_` and `-`")
    return text


def _token_prefix(text: str) -> str:
    if not _TOKEN68.fullmatch(text):
        raise wrong("is no beginning of a token: at most 64 letters, digits and `-._~+/`")
    if text.startswith(_OUR_KEYS) or _OUR_KEYS.startswith(text):
        raise wrong("is how API keys of this gateway begin: choose what only tokens of this IdP begin with")
    return text


def _own_name(text: str) -> str:
    if not _OWN_NAME.fullmatch(text) or _MADE_ID.fullmatch(text):
        raise wrong(
            "is no name for a key: use at most 64 letters, digits, `-`, `_` and `.`, and not just 12 small "
            "letters and digits, which "
            "is how keys of `counterseal apikey` are named"
        )
    return text


def _own_key(reference: SecretReference, info: Info) -> SecretReference:
    if not Source.of(info).with_secrets:
        return reference
    secret = reference.resolve().reveal()
    if len(secret) < LEAST_KEY_LENGTH:
        raise wrong(
            f"leads to a key of less than {LEAST_KEY_LENGTH} characters, which can be guessed or stands in "
            f"some example: make one "
            "with `openssl rand -hex 32`"
        )
    if not _OWN_KEY.fullmatch(secret):
        raise wrong(
            "leads to a key that no header carries: it must be of letters, digits and `-._~+/`, with `=` at its end"
        )
    if secret.startswith(_OUR_KEYS):
        raise wrong(f"leads to a key that begins with `{_OUR_KEYS}`, as those of `counterseal apikey` do: make another")
    return reference


class Introspection(Part):
    """RFC 7662: where opaque tokens are asked about, and how the gateway proves to the endpoint who asks.

    token_prefix: only tokens that begin with it are asked about there; None: all that no other endpoint has.
    """

    endpoint: LaterIdpAddress
    client_id: Text
    client_auth: Literal["basic", "post", "private_key_jwt"] = "basic"
    client_secret: HeldSecret | None = None
    private_key: PrivateKeyFile | None = None
    token_prefix: Annotated[Text, AfterValidator(_token_prefix)] | None = None
    require_audience: bool = True

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        needed, other = "client_secret", "private_key"
        if self.client_auth == "private_key_jwt":
            needed, other = other, needed
        faults = Faults()
        if getattr(self, needed) is None:
            faults.add(f"is missing: add it, because `client_auth: {self.client_auth}` needs it", needed)
        if getattr(self, other) is not None:
            faults.add(f"is not used with `client_auth: {self.client_auth}`: remove it", other)
        faults.check()
        return self


class ClaimPaths(Part):
    """Which claim says what of a caller. None: the tokens don't say it; for `scope`, `scope` else `scp`."""

    subject: ClaimPath = Field(default="sub", validate_default=True)
    email: ClaimPath | None = Field(default="email", validate_default=True)
    team: ClaimPath | None = None
    org: ClaimPath | None = None
    agent: ClaimPath | None = None
    scope: ClaimPath | None = None
    roles: ClaimPath | None = None
    groups: ClaimPath | None = None


class Issuer(Part):
    """An IdP whose access tokens are accepted.

    issuer: the exact `iss` of its tokens, with `{tenantid}` in it where there are `tenants`. audience: None for the address that
    was called. What stands before the addresses is what they depend on.
    """

    name: Text
    allow_insecure_loopback: bool = False
    allow_networks: Annotated[tuple[CidrNetwork, ...], AfterValidator(distinct)] = ()
    discovery_uri: IdpAddress | None = None
    jwks_uri: IdpAddress | None = None
    jwks_hosts: Annotated[tuple[Host, ...], AfterValidator(distinct)] = ()
    issuer: IdpIssuer = Field(default=None, validate_default=True)
    tenants: Annotated[
        tuple[Annotated[Text, AfterValidator(_tenant)], ...],
        AfterValidator(distinct),
        Field(validate_default=True),
    ] = ()
    audience: Annotated[tuple[Text, ...], AfterValidator(some), AfterValidator(distinct)] | None = None
    algorithms: Annotated[tuple[VerifyingAlgorithm, ...], AfterValidator(some), AfterValidator(distinct)] = (
        DEFAULT_ALGORITHMS
    )
    types: Annotated[tuple[TokenType, ...], AfterValidator(some), AfterValidator(distinct)] = DEFAULT_TYPES
    untyped: bool = True
    bare: bool = False
    leeway: Leeway = 30
    longest_life: Life | None = None
    required_scopes: Annotated[tuple[ScopeToken, ...], AfterValidator(distinct)] = ()
    require_email_verified: bool = True
    claims: ClaimPaths = Field(default_factory=ClaimPaths)
    introspection: Introspection | None = None

    @property
    def issuers(self) -> tuple[str, ...]:
        """Every exact `iss` that its tokens may have."""
        return tuple(self.issuer.replace(TENANT, tenant) for tenant in self.tenants) or (self.issuer,)

    @field_validator("jwks_uri")
    @classmethod
    def _one_source(cls, value: str | None, info: Info) -> str | None:
        if value is not None and info.data.get("discovery_uri") is not None:
            raise wrong("is what the document at `discovery_uri` says: keep one of the two")
        return value

    @field_validator("jwks_hosts")
    @classmethod
    def _named_by_a_document(cls, value: tuple[str, ...], info: Info) -> tuple[str, ...]:
        if value and info.data.get("discovery_uri", "") is None:
            raise wrong("is for a `discovery_uri`, whose document may name another host: remove it")
        return value

    @field_validator("issuer", mode="before")
    @classmethod
    def _as_discovered(cls, value: Any, info: Info) -> Any:
        if value is not None:
            return value
        if "discovery_uri" not in info.data:
            return "https://idp.invalid"  # it is wrong itself, and that is told
        discovery = info.data["discovery_uri"]
        if discovery is None:
            raise wrong("is missing: add it, for example `issuer: https://idp.example.com`")
        issuer = issuer_of_discovery(discovery)
        if issuer is None:
            raise wrong(
                "is missing: add it, because `discovery_uri` does not tell it: write what the document there has as `issuer`"
            )
        return issuer

    @field_validator("tenants")
    @classmethod
    def _in_the_issuer(cls, tenants: tuple[str, ...], info: Info) -> tuple[str, ...]:
        issuer = info.data.get("issuer")
        if issuer is not None and TENANT in issuer and not tenants:
            raise wrong(
                f"is missing: add it, because `issuer` holds `{TENANT}`: list the tenants whose tokens are accepted"
            )
        if issuer is not None and TENANT not in issuer and tenants:
            raise wrong(f"is for an `issuer` that holds `{TENANT}`: write it there, or remove the tenants")
        return tenants

    @field_validator("claims")
    @classmethod
    def _whose_verification(cls, claims: ClaimPaths, info: Info) -> ClaimPaths:
        faults = Faults()
        if claims.email is not None and claims.email[-1] != "email" and info.data.get("require_email_verified"):
            what = (
                "is another claim than `email`, which alone `email_verified` speaks of: where the IdP vouches for it, write "
                "`require_email_verified: false`"
            )
            faults.add(what, "email")
        faults.check()
        return claims

    @field_validator("introspection")
    @classmethod
    def _as_secure(cls, value: Introspection | None, info: Info) -> Introspection | None:
        faults = Faults()
        if value is not None and info.data.get("tenants"):
            raise wrong("cannot be asked for an `issuer` with tenants: list each tenant in an entry of its own")
        if value is not None and is_insecure(value.endpoint) and info.data.get("allow_insecure_loopback") is False:
            faults.add(SAY_LOOPBACK.format(key="callers.issuers[].allow_insecure_loopback"), "endpoint")
        faults.check()
        return value

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        if self.discovery_uri is None and self.jwks_uri is None and self.introspection is None:
            raise wrong(
                "has no keys and nobody to ask: add `discovery_uri`, or `jwks_uri`, for tokens that are JWTs, or `introspection` "
                "for opaque ones"
            )
        return self


class OwnKey(Part):
    """A key that the operator brings. name: what rules and records call whoever sends it. subject: None for the name."""

    name: Annotated[Text, AfterValidator(_own_name)]
    key: Annotated[HeldSecret, AfterValidator(_own_key)]
    subject: Text | None = None


class Callers(Part):
    """Who may prove what. key_header: a further header for keys; what is then in `Authorization` is the token of whoever the call
    is made for. tokens_need_key: such a token counts beside a key alone."""

    api_keys: bool = True
    anonymous: bool = False
    own_keys: tuple[OwnKey, ...] = ()
    key_header: Literal["x-litellm-api-key"] | None = None
    tokens_need_key: bool = False
    issuers: tuple[Issuer, ...] = ()

    @field_validator("own_keys")
    @classmethod
    def _names_once(cls, keys: tuple[OwnKey, ...]) -> tuple[OwnKey, ...]:
        faults = Faults()
        for index, key in enumerate(keys):
            if key.name in [other.name for other in keys[:index]]:
                faults.add("is the name of another key: choose one of its own", index, "name")
        faults.check()
        return keys

    @field_validator("tokens_need_key")
    @classmethod
    def _where_keys_are_sent(cls, needed: bool, info: Info) -> bool:
        if needed and info.data.get("key_header", "") is None:
            raise wrong("needs a header for the key, because the token is in `Authorization`: add `key_header`")
        return needed

    @field_validator("issuers")
    @classmethod
    def _distinct(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        faults = Faults()
        for index, issuer in enumerate(issuers):
            before = issuers[:index]
            if issuer.name in [other.name for other in before]:
                faults.add("is the name of another issuer: choose one of its own", index, "name")
            if any(not set(issuer.issuers).isdisjoint(other.issuers) for other in before):
                faults.add("is listed already: put both into one entry", index, "issuer")
            if issuer.introspection is not None:
                _check_prefix(issuer.introspection.token_prefix, before, faults, index)
        faults.check()
        return issuers

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.api_keys or self.anonymous or self.issuers or self.own_keys):
            raise wrong("lets nobody call: set `api_keys: true`, add an issuer, or set `anonymous: true`")
        return self


def _check_prefix(prefix: str | None, before: tuple[Issuer, ...], faults: Faults, index: int) -> None:
    """An opaque token says nothing of its issuer, so its beginning must."""
    for other in before:
        if other.introspection is None:
            continue
        taken = other.introspection.token_prefix
        if taken is None and prefix is None:
            what = f"is the second endpoint without a `token_prefix`, after that of `{other.name}`: give one of them a prefix"
            faults.add(what, index, "introspection")
        elif taken is not None and prefix is not None and (taken.startswith(prefix) or prefix.startswith(taken)):
            what = f"and that of `{other.name}` begin alike, so a token could be of both: choose others"
            faults.add(what, index, "introspection", "token_prefix")
