"""The whole configuration, as docs/configuration.md has it. Every key is here, those too that are not built yet.

* Keys that are not here are errors, and so are values of another type than the one that stands here: nothing is converted.
* A key that is not built yet is an error unless it has the value with which it does nothing.
* Everything is frozen. What one key says about another is checked in the field that stands later, against those before it that
  are right themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator
from pydantic import ValidationInfo as Info

from counterseal.config.addresses import Host, Origin, OwnIssuer
from counterseal.config.callers import DEFAULT_ALGORITHMS, Callers
from counterseal.config.fitting import has_key, names_fit, servers_fit
from counterseal.config.hooks import Hooks
from counterseal.config.litellm_addresses import LitellmAddresses
from counterseal.config.part import Part, nothing
from counterseal.config.places import AuditSink, KeySource, StoreAddress
from counterseal.config.policy import Rule
from counterseal.config.problems import Faults, later, nearest, wrong
from counterseal.config.servers import OnToolChange, Server
from counterseal.config.signer import Signer
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
        has_key(signer, info, faults, "algorithm")
        if signer.algorithm in EXPERIMENTAL:
            faults.add(NO_DEFAULT.format(remedy="leave it out here"), "algorithm")
        faults.check()
        return signer

    @field_validator("servers")
    @classmethod
    def _fit_together(cls, servers: Mapping[str, Server], info: Info) -> Mapping[str, Server]:
        servers_fit(servers, info)
        return servers

    @field_validator("litellm")
    @classmethod
    def _told_apart(cls, litellm: LitellmAddresses | None, info: Info) -> LitellmAddresses | None:
        if litellm is not None and "servers" in info.data:
            names_fit(litellm, info.data["servers"])
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
