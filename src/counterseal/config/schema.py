"""The whole configuration, as docs/configuration.md has it. Every key is here, those too that are not built yet.

* Keys that are not here are errors, and so are values of another type than the one that stands here: nothing is converted.
* A key that is not built yet is an error unless it has the value with which it does nothing.
* Everything is frozen. What one key says about another is checked in the field that stands later, against those before it that
  are right themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator
from pydantic import ValidationInfo as Info

from counterseal.config.addresses import Host, Origin, OwnIssuer
from counterseal.config.callers import DEFAULT_ALGORITHMS, Callers
from counterseal.config.forwarded import conflicts
from counterseal.config.hooks import Hooks
from counterseal.config.litellm_addresses import LitellmAddresses
from counterseal.config.part import Part, nothing
from counterseal.config.places import AuditSink, KeySource, StoreAddress
from counterseal.config.policy import Rule
from counterseal.config.problems import Faults, later, nearest, wrong
from counterseal.config.servers import OnToolChange, Server
from counterseal.config.signer import Signer, beside_in_headers, plain
from counterseal.config.signer import faults as faults_of
from counterseal.config.source import Source
from counterseal.config.values import NO_DEFAULT, Duration, Port, ServerName, SigningAlgorithms, Text, distinct, frozen
from counterseal.jose.algorithms import EXPERIMENTAL


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
    algorithms: SigningAlgorithms | None = Field(default=None, validate_default=True)
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
    on_tool_change: OnToolChange = "hold"
    servers: Annotated[Mapping[ServerName, Server], AfterValidator(frozen)] = Field(default_factory=nothing)
    litellm: LitellmAddresses | None = None
    policy: tuple[Rule, ...] = ()
    hooks: Hooks = ()
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

    def on_tool_change_of(self, server_name: str) -> OnToolChange:
        """Raises KeyError for a server that is not configured."""
        return self.servers[server_name].on_tool_change or self.on_tool_change

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said at each start of a file that was LiteLLM's."""
        return self._source.notes

    @property
    def folder(self) -> Path:
        """What relative paths in the file start from."""
        return self._source.folder

    def source_of(self, path: str) -> str:
        """The line of a key, as `counterseal.yaml:41`, without the folder; the file alone for a key that is not in it.

        path: as messages write it, `policy[0].permit`.
        """
        return ":".join([Path(self._source.name).name, *self._place(path)[:1]])

    def place_of(self, path: str, otherwise: str = "") -> str:
        """The same for messages about the file, as `etc/counterseal.yaml:41:7`. otherwise: what holds a key that is not in it."""
        return ":".join([self._source.name, *(self._place(path) or self._place(otherwise))])

    def _place(self, path: str) -> list[str]:
        return [str(number) for number in self._source.places.get(path, ())]

    @field_validator("callers")
    @classmethod
    def _not_ourselves(cls, callers: Callers, info: Info) -> Callers:
        faults = Faults()
        for index, issuer in enumerate(callers.issuers):
            if info.data.get("issuer") in issuer.issuers:
                what = "is this gateway itself, whose tokens never come back in: name your IdP's issuer"
                faults.add(what, "issuers", index, "issuer")
        faults.check()
        return callers

    @field_validator("signer")
    @classmethod
    def _has_key(cls, signer: Signer, info: Info) -> Signer:
        faults = Faults()
        _check_algorithm(signer, info, faults, "algorithm")
        if signer.algorithm in EXPERIMENTAL:
            faults.add(NO_DEFAULT.format(remedy="leave it out here"), "algorithm")
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
            _check_passthrough(server, signer, faults, name)
            _check_carries(server, faults, name)
            _check_whole(server.signer, signer, info, faults, name)
            audience = signer.audience or server.audience(name)
            if audience in audiences and not _is_shared(signer):
                faults.add(
                    f"has the same audience as `{audiences[audience]}`, so a token for one would work at the other: "
                    "give each server a `signer.audience` of its own",
                    name,
                )
            audiences.setdefault(audience, name)
        _check_forwarded(servers, info.data["signer"], faults)
        for name, server in servers.items():
            _check_beside(server.signer, info.data["signer"].under(server.signer), audiences, faults, name)
        faults.check()
        return servers

    @field_validator("litellm")
    @classmethod
    def _told_apart(cls, litellm: LitellmAddresses | None, info: Info) -> LitellmAddresses | None:
        if litellm is None or "servers" not in info.data:
            return litellm
        faults, servers = Faults(), info.data["servers"]
        for name, meant in litellm.names.items():
            _check_address(name, (meant,), servers, faults, "names")
        for name, several in litellm.groups.items():
            _check_address(name, several, {**servers, **litellm.names}, faults, "groups")
        for one in servers:
            for other in servers:
                if other != one and other.startswith(one + litellm.separator):
                    faults.add(
                        f"cannot tell tools of `{one}` from those of `{other}`: rename one of these servers, or choose another",
                        "separator",
                    )
        faults.check()
        return litellm

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


def _check_address(name: str, meant: Sequence[str], taken: Mapping[str, Any], faults: Faults, key: str) -> None:
    """A name in LiteLLM's addresses. taken: what is the name of something already."""
    if name in taken:
        faults.add("is the name of something else: choose another", key, name)
    for index, one in enumerate(meant):
        if not isinstance(taken.get(one), Server):
            servers = [other for other, what in taken.items() if isinstance(what, Server)]
            faults.add(f"is not the name of a server{nearest(one, servers)}", key, name, *([index] * (key == "groups")))


def _is_shared(signer: Signer) -> bool:
    """LiteLLM's tokens have one audience for all servers, which servers that were set up for them ask for."""
    return signer.profile == "litellm" and signer.audience is not None


def _check_algorithm(signer: Signer, info: Info, faults: Faults, *steps: str) -> None:
    keys: Keys | None = info.data.get("keys")
    if keys is None or keys.algorithms is None or signer.algorithm in (None, *keys.algorithms):
        return
    faults.add(f"has no signing key: add it to `keys.algorithms`, or use one of {', '.join(keys.algorithms)}", *steps)


def _check_whole(own: Signer, signer: Signer, info: Info, faults: Faults, name: str) -> None:
    """A fault of a key that the server has itself is told there, one that it takes over from `signer` at the server."""
    callers = info.data.get("callers")
    found = [*faults_of(signer, info.data.get("issuer"))]
    if callers is not None:
        found += _contradictions(signer, callers)
    for key, what in found:
        if key in own.model_fields_set:
            faults.add(what, name, "signer", key)
        else:
            faults.add(f"its `signer.{key}` {what}", name)


def _contradictions(signer: Signer, callers: Callers) -> Iterator[tuple[str, str]]:
    """One document has one issuer, whoever reads it. Where a token is needed, somebody's is accepted."""
    if signer.mode == "verify_and_resign" and not callers.issuers:
        yield "mode", "asks for tokens, and `callers.issuers` accepts none: add the identity provider there"
    address = signer.channel_token_discovery_uri
    for issuer in callers.issuers if address is not None else ():
        if issuer.discovery_uri == address and issuer.issuer != signer.channel_issuer:
            yield (
                "channel_token_discovery_uri",
                f"is the document of the issuer `{issuer.name}`, which has another `issuer` than these tokens: write the same as "
                "`channel_token_issuer`",
            )


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


def _check_carries(server: Server, faults: Faults, name: str) -> None:
    """A program has no headers, so what goes beside the call token cannot reach it. What it inherits is told as a warning."""
    for key in beside_in_headers(server.signer) if server.transport == "stdio" else ():
        what = "travels in a header, and a program over stdio has none: remove it"
        faults.add(what, name, "signer", key)


def _check_passthrough(server: Server, signer: Signer, faults: Faults, name: str) -> None:
    """Two credentials never meet in one header, in neither direction."""
    if server.passthrough is None:
        return
    if signer.header.lower() == "authorization":
        what = "sends the caller's credential for this server as `Authorization`, where the call token goes"
        faults.add(f"{what}: set `signer.header` of this server to another header", name, "passthrough")
    for header in server.headers:
        if header.lower() == "authorization":
            what = "is the header that the caller's own credential goes to by `passthrough`: keep one of them"
            faults.add(what, name, "headers", header)
    taken = {
        signer.header: "is where the call token goes, so that one could be taken for the other",
        signer.channel_token_header: "is where channel tokens come in",
        **dict.fromkeys(signer.identity_headers, "may name the subject by `end_user_claim_sources`"),
    }
    for header, what in taken.items():
        if plain(header) == plain(server.passthrough.header):
            faults.add(f"{what}: use another header", name, "passthrough", "header")


def _check_forwarded(servers: Mapping[str, Server], signer: Signer, faults: Faults) -> None:
    """What a caller says of himself never stands where anybody reads something else, at this server or at another."""
    if not any(server.forward_headers for server in servers.values()):
        return
    signers = {name: signer.under(server.signer) for name, server in servers.items()}
    passed = {name: one.passthrough.header for name, one in servers.items() if one.passthrough is not None}
    for name, server in servers.items():
        for index, what in conflicts(server.forward_headers, server.headers, signers, passed):
            faults.add(what, name, "forward_headers", index)


def _check_beside(own: Signer, signer: Signer, audiences: Mapping[str, str], faults: Faults, name: str) -> None:
    """No token beside the call token is for a server, and each is for somebody else."""
    found = []
    channel, txn = signer.channel_token_audience, signer.txn_token
    if channel is not None and channel in audiences:
        found.append(("channel_token_audience", _SAME.format(audiences[channel])))
    if txn is not None and txn.audience in audiences:
        found.append(("txn_token", _SAME.format(audiences[txn.audience])))
    elif txn is not None and txn.audience == channel:
        found.append(("txn_token", "has the audience of `channel_token_audience`: give each token one of its own"))
    for key, what in found:
        if key in own.model_fields_set:
            faults.add(what, name, "signer", key)
        else:
            faults.add(f"its `signer.{key}` {what}", name)


_SAME: Final = "has the audience of the server `{}`, so this token would work there: name another audience"
