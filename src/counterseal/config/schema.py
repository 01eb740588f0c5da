"""The whole configuration, as contract.md section 4 has it. Every key is here, those too that are not built yet.

* Keys that are not here are errors, and so are values of another type than the one that stands here: nothing is converted.
* A key that is not built yet is an error unless it has the value with which it does nothing.
* Everything is frozen. What one key says about another is checked in the field that stands later, against those before it that
  are right themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic import ValidationInfo as Info

from counterseal.config.addresses import HeaderName, Host, IdpAddress, Origin, OwnIssuer, ServerUrl
from counterseal.config.problems import Faults, later, nearest, wrong
from counterseal.config.values import (
    AuditSink,
    CallerField,
    CallerPatterns,
    ClaimName,
    ClaimSource,
    Duration,
    HeaderSecret,
    KeySource,
    Line,
    MethodPatterns,
    Pattern,
    Patterns,
    Port,
    Reference,
    ServerName,
    SigningAlgorithm,
    Source,
    StoreAddress,
    Text,
    Ttl,
    VerifyingAlgorithm,
    distinct,
    frozen,
    some,
)
from counterseal.core.caller import CallerKind

DEFAULT_ALGORITHMS = ("RS256", "ES256")


def _nothing() -> Mapping[str, Any]:
    return frozen({})


class Part(BaseModel):
    """Any mapping of the file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Listen(Part):
    """Where the gateway accepts connections, and whose pages may call. port 0: any that is free."""

    host: Host = "127.0.0.1"
    port: Port = 8460
    origins: Annotated[tuple[Origin, ...], AfterValidator(distinct)] = ()


class Keys(Part):
    """The signing keys.

    source: `store`, `env:NAME` or `file:/absolute/path`. algorithms: one live key each, the first is the default; None where the
    operator brings the keys and didn't name any: then each key signs for its usual one.
    """

    source: KeySource = "store"
    algorithms: Annotated[tuple[SigningAlgorithm, ...], AfterValidator(some), AfterValidator(distinct)] | None = Field(
        default=None, validate_default=True
    )
    rotate_every: Annotated[
        Duration | None,
        later("key rotation is not built yet: remove it; keys live until they are replaced by hand", None),
    ] = None

    @field_validator("algorithms")
    @classmethod
    def _algorithms(cls, value: tuple[str, ...] | None, info: Info) -> tuple[str, ...] | None:
        if value is None:
            return DEFAULT_ALGORITHMS if info.data.get("source") == "store" else None
        if {"Ed25519", "EdDSA"} <= set(value):
            raise wrong("has Ed25519 and EdDSA, two names of one algorithm: keep the one that your servers know")
        return value


class Introspection(Part):
    """RFC 7662. Not built yet."""

    endpoint: Text
    client_id: Text
    client_secret: Reference


class Issuer(Part):
    """An IdP whose access tokens are accepted. audience: None for the address that was called."""

    name: Text
    # Stands before the addresses, because they depend on it.
    allow_insecure_loopback: bool = False
    issuer: IdpAddress
    jwks_uri: IdpAddress
    discovery_uri: Annotated[
        Text | None, later("discovery is not built yet: write `issuer` and `jwks_uri` instead", None)
    ] = None
    audience: Annotated[tuple[Text, ...], AfterValidator(some), AfterValidator(distinct)] | None = None
    algorithms: Annotated[tuple[VerifyingAlgorithm, ...], AfterValidator(some), AfterValidator(distinct)] = (
        DEFAULT_ALGORITHMS
    )
    introspection: Annotated[
        Introspection | None, later("introspection is not built yet: remove it, and use an IdP that issues JWTs", None)
    ] = None


class Callers(Part):
    """Who may prove what."""

    api_keys: bool = True
    anonymous: bool = False
    issuers: tuple[Issuer, ...] = ()

    @field_validator("issuers")
    @classmethod
    def _distinct(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        faults = Faults()
        for index, issuer in enumerate(issuers):
            if issuer.name in [other.name for other in issuers[:index]]:
                faults.add("is the name of another issuer: choose one of its own", index, "name")
            if issuer.issuer in [other.issuer for other in issuers[:index]]:
                faults.add("is listed already: put both into one entry", index, "issuer")
        faults.check()
        return issuers

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.api_keys or self.anonymous or self.issuers):
            raise wrong("lets nobody call: set `api_keys: true`, add an issuer, or set `anonymous: true`")
        return self


_NO_CLAIMS = "claim operations are not built yet: remove it"
_NO_CHANNEL = "channel tokens are not built yet: remove it"


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

    trust_identity_headers_from: Annotated[
        tuple[Text, ...],
        later("identity headers are not built yet: remove it; callers prove who they are themselves", ()),
    ] = ()
    optional_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    required_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    add_claims: Annotated[Mapping[ClaimName, Any], later(_NO_CLAIMS, {}), AfterValidator(frozen)] = Field(
        default_factory=_nothing
    )
    set_claims: Annotated[Mapping[ClaimName, Any], later(_NO_CLAIMS, {}), AfterValidator(frozen)] = Field(
        default_factory=_nothing
    )
    remove_claims: Annotated[tuple[ClaimName, ...], later(_NO_CLAIMS, ())] = ()
    allowed_scopes: Annotated[
        tuple[Text, ...] | None,
        later("other scopes are not built yet: remove it; a token holds the scope of its one call", None),
    ] = None
    channel_token_header: Annotated[HeaderName, later(_NO_CHANNEL, "X-Channel-Token")] = "X-Channel-Token"  # noqa: S105
    channel_token_discovery_uri: Annotated[Text | None, later(_NO_CHANNEL, None)] = None
    channel_token_jwks_uri: Annotated[Text | None, later(_NO_CHANNEL, None)] = None
    channel_token_audience_in: Annotated[Text | None, later(_NO_CHANNEL, None)] = None
    channel_token_required: Annotated[bool, later(_NO_CHANNEL, False)] = False
    channel_token_audience: Annotated[Text | None, later(_NO_CHANNEL, None)] = None
    channel_token_ttl: Annotated[Duration, later(_NO_CHANNEL, 60)] = 60
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


class Server(Part):
    """One MCP server. headers: its own static credentials. command and spec belong to transports that are not built yet."""

    transport: Literal["streamable_http", "sse", "stdio", "openapi"] = "streamable_http"
    url: ServerUrl
    description: Line = ""
    headers: Annotated[Mapping[HeaderName, HeaderSecret], AfterValidator(frozen)] = Field(default_factory=_nothing)
    signer: Signer = Field(default_factory=Signer)
    command: Annotated[tuple[Text, ...] | None, later("stdio servers are not built yet: remove it", None)] = None
    spec: Annotated[Text | None, later("OpenAPI servers are not built yet: remove it", None)] = None

    @model_validator(mode="before")
    @classmethod
    def _transport(cls, data: Any) -> Any:
        """A server that is not built yet is one problem and not one for each of its keys."""
        transport = data.get("transport") if isinstance(data, dict) else None
        if transport in ("sse", "stdio", "openapi"):
            faults = Faults()
            what = f"servers over `{transport}` are not built yet: use `streamable_http`, or remove this server"
            faults.add(what, "transport")
            faults.check()
        return data

    @field_validator("headers")
    @classmethod
    def _headers_once(cls, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        faults, seen = Faults(), set[str]()
        for name in headers:
            if name.lower() in seen:
                faults.add("is there already in another case: keep one of them", name)
            seen.add(name.lower())
        faults.check()
        return headers


class Selection(Part):
    """What a rule is about. None: it does not ask."""

    callers: Annotated[Mapping[CallerField, CallerPatterns], AfterValidator(frozen)] | None = None
    servers: Patterns | None = None
    tools: Patterns | None = None
    methods: MethodPatterns | None = None
    unless: Annotated[Text | None, later("conditions are not built yet: remove it, or say it with `callers`", None)] = (
        None
    )
    when: Annotated[Text | None, later("conditions are not built yet: remove it, or say it with `callers`", None)] = (
        None
    )

    @field_validator("callers", "servers", "tools", "methods", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:  # a rule that lost what stood there would be about everybody and everything
            raise wrong("is empty: name something, or leave the key out, and the rule does not ask")
        return value

    @field_validator("callers")
    @classmethod
    def _callers(cls, callers: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        if not callers:
            raise wrong("is empty: name a field of the caller, or leave the key out for everybody")
        kinds = get_args(CallerKind)
        for kind in callers.get("kind", ()):
            if "*" not in kind and kind not in kinds:
                faults = Faults()
                faults.add(f"has a kind of caller that there is not; there is {', '.join(kinds)}", "kind")
                faults.check()
        return callers


class Rule(Part):
    """One line of the policy: exactly one of `permit` and `deny`."""

    permit: Selection | None = None
    deny: Selection | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.permit is None) == (self.deny is None):
            raise wrong("must have exactly one of `permit` and `deny`; for everything write `permit: {}`")
        return self

    @property
    def selection(self) -> Selection:
        """What it permits or denies."""
        selection = self.deny if self.permit is None else self.permit
        assert selection is not None
        return selection


class Audit(Part):
    """sink: `file:/absolute/folder`."""

    sink: AuditSink = Field(default="file:audit/", validate_default=True)
    required: Annotated[bool, later("calls without a record are not built yet: remove it", True)] = True
    fsync: Literal["none", "group"] = "none"

    @property
    def folder(self) -> Path:
        """Where the records go."""
        return Path(self.sink.removeprefix("file:"))


class Configuration(Part):
    """The whole file. store: `sqlite:/absolute/path` or `memory:`."""

    issuer: OwnIssuer
    listen: Listen = Field(default_factory=Listen)
    store: StoreAddress = Field(default="sqlite:counterseal.db", validate_default=True)
    redis: Annotated[Text | None, later("Redis is not built yet: remove it, and run one replica", None)] = None
    keys: Keys = Field(default_factory=Keys)
    callers: Callers = Field(default_factory=Callers)
    signer: Signer = Field(default_factory=Signer)
    servers: Annotated[Mapping[ServerName, Server], AfterValidator(frozen)] = Field(default_factory=_nothing)
    policy: tuple[Rule, ...] = ()
    hooks: Annotated[tuple[Any, ...], later("hooks are not built yet: remove them", ())] = ()
    # Not `Audit()`: its folder is relative to that of the file.
    audit: Audit = Field(default_factory=dict, validate_default=True)

    _source: Source = PrivateAttr()
    _signers: Mapping[str, Signer] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._source = context if isinstance(context, Source) else Source()
        self._signers = frozen({name: self.signer.under(server.signer) for name, server in self.servers.items()})

    def signer_of(self, server_name: str) -> Signer:
        """How call tokens for this server are made. Raises KeyError for a server that is not configured."""
        return self._signers[server_name]

    def source_of(self, path: str) -> str:
        """The line of a key, as `counterseal.yaml:41`, without the folder; the file alone for a key that is not in it.

        path: as messages write it, `policy[0].permit`.
        """
        return ":".join([Path(self._source.name).name, *self._place(path)[:1]])

    def place_of(self, path: str) -> str:
        """The same for messages about the file, as `etc/counterseal.yaml:41:7`."""
        return ":".join([self._source.name, *self._place(path)])

    def _place(self, path: str) -> list[str]:
        return [str(number) for number in self._source.places.get(path, ())]

    @field_validator("callers")
    @classmethod
    def _not_ourselves(cls, callers: Callers, info: Info) -> Callers:
        faults = Faults()
        for index, issuer in enumerate(callers.issuers):
            if issuer.issuer == info.data.get("issuer"):
                what = "is this gateway itself, whose tokens never come back in: name your IdP's issuer"
                faults.add(what, "issuers", index, "issuer")
        faults.check()
        return callers

    @field_validator("signer")
    @classmethod
    def _has_key(cls, signer: Signer, info: Info) -> Signer:
        faults = Faults()
        _check_algorithm(signer, info, faults, "algorithm")
        faults.check()
        return signer

    @field_validator("servers")
    @classmethod
    def _fit_together(cls, servers: Mapping[str, Server], info: Info) -> Mapping[str, Server]:
        if "signer" not in info.data:
            return servers
        faults = Faults()
        audiences: dict[str, str] = {}
        for name, server in servers.items():
            signer = info.data["signer"].under(server.signer)
            _check_algorithm(server.signer, info, faults, name, "signer", "algorithm")
            _check_conflict(server, signer, faults, name)
            audience = signer.audience or server.url
            if audience in audiences:
                faults.add(
                    f"has the same audience as `{audiences[audience]}`, so a token for one would work at the other: "
                    "give each server a `signer.audience` of its own",
                    name,
                )
            audiences.setdefault(audience, name)
        faults.check()
        return servers

    @field_validator("policy")
    @classmethod
    def _known_servers(cls, policy: tuple[Rule, ...], info: Info) -> tuple[Rule, ...]:
        if "servers" not in info.data:
            return policy
        faults = Faults()
        for index, rule in enumerate(policy):
            for position, name in enumerate(rule.selection.servers or ()):
                if "*" not in name and name not in info.data["servers"]:
                    what = f"is not the name of a server{nearest(name, info.data['servers'])}"
                    faults.add(what, index, "deny" if rule.permit is None else "permit", "servers", position)
        faults.check()
        return policy


def _check_algorithm(signer: Signer, info: Info, faults: Faults, *steps: str) -> None:
    keys: Keys | None = info.data.get("keys")
    if keys is None or keys.algorithms is None or signer.algorithm in (None, *keys.algorithms):
        return
    faults.add(f"has no signing key: add it to `keys.algorithms`, or use one of {', '.join(keys.algorithms)}", *steps)


def _check_conflict(server: Server, signer: Signer, faults: Faults, name: str) -> None:
    for header in server.headers:
        if header.lower() != signer.header.lower() or signer.on_conflict == "replace":
            continue
        if signer.on_conflict == "keep":
            what = "would take the call token's place, and a call without a token never leaves: choose another `signer.header`"
        else:
            what = (
                "is the header that carries the call token: choose another `signer.header`, "
                "or write `on_conflict: replace` to drop this one"
            )
        faults.add(what, name, "headers", header)
