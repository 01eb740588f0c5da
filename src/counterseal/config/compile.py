"""From the configuration to the values that the core and the rooms around it work with. Done once, at start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from counterseal.config.addresses import is_wide
from counterseal.config.callers import DEFAULT_ALGORITHMS
from counterseal.config.claims import profile_of
from counterseal.config.lock import NAME, read_lock
from counterseal.config.policy import Rule
from counterseal.config.schema import Configuration
from counterseal.config.secret import Secret, SecretReference
from counterseal.config.signer import beside_in_headers
from counterseal.core import policy as core
from counterseal.core.patterns import Patterns
from counterseal.core.scope import AllowedScopes
from counterseal.jose.algorithms import EXPERIMENTAL
from counterseal.servers.process import environment
from counterseal.servers.stdio import Program
from counterseal.wire.aggregate.names import OURS, Spelling

_MANY_MACHINES: Final = (16, 48)
"""A network with fewer bits fixed than these, of IPv4 and of IPv6, is rarely meant as a whole."""


def compile_policy(configuration: Configuration) -> core.Policy:
    """The policy. Its rules are labelled as `policy[0] (counterseal.yaml:57)`."""
    signers = {name: configuration.signer_of(name) for name in configuration.servers}
    return core.Policy(
        rules=tuple(_rule(configuration, index, rule) for index, rule in enumerate(configuration.policy)),
        allowed_tools={
            name: Patterns.of(signer.allowed_tools)
            for name, signer in signers.items()
            if signer.allowed_tools is not None
        },
        allowed_scopes={
            name: AllowedScopes(Patterns.of(signer.allowed_scopes), profile_of(signer.profile).scope_of)
            for name, signer in signers.items()
            if signer.allowed_scopes is not None
        },
    )


def _rule(configuration: Configuration, index: int, rule: Rule) -> core.Rule:
    selection = rule.selection
    return core.Rule(
        label=f"policy[{index}] ({configuration.source_of(f'policy[{index}]')})",
        permits=rule.permit is not None,
        callers=tuple((field, Patterns.of(patterns)) for field, patterns in (selection.callers or {}).items()),
        servers=_patterns(selection.servers),
        tools=_patterns(selection.tools),
        methods=_patterns(selection.methods),
    )


def _patterns(texts: tuple[str, ...] | None) -> Patterns | None:
    return None if texts is None else Patterns.of(texts)


def signing_algorithm(
    configuration: Configuration, server_name: str, *, first_algorithm: str = DEFAULT_ALGORITHMS[0]
) -> str:
    """What call tokens for this server are signed with.

    first_algorithm: that of the first key in the key ring, which counts where the operator brings the keys and named no
    algorithm anywhere. Raises KeyError for a server that is not configured.
    """
    algorithms = configuration.keys.algorithms or (first_algorithm,)
    return configuration.signer_of(server_name).algorithm or algorithms[0]


def spelling_of(configuration: Configuration) -> Spelling:
    """What tools and prompts are called where several servers have one address."""
    if configuration.litellm is None:
        return OURS
    return Spelling(configuration.litellm.separator, tuple(configuration.servers))


def names_of(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    """What stands for which servers in LiteLLM's addresses."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in configuration.servers}
    if configuration.litellm is not None:
        found |= {name: (server,) for name, server in configuration.litellm.names.items()}
        found |= configuration.litellm.groups
    return found


def required_scopes(configuration: Configuration) -> tuple[str, ...]:
    """Every scope that an access token needs, whoever issued it: for the challenge and the metadata."""
    return tuple(dict.fromkeys(scope for issuer in configuration.callers.issuers for scope in issuer.required_scopes))


def static_headers(configuration: Configuration, server_name: str) -> tuple[tuple[str, Secret], ...]:
    """The server's own credentials as they are sent: without one that the call token replaces.

    Raises KeyError for a server that is not configured, secret.Unresolved where a secret has gone since the file was read.
    """
    taken = configuration.signer_of(server_name).header.lower()
    headers = configuration.servers[server_name].headers
    return tuple((name, reference.resolve()) for name, reference in headers.items() if name.lower() != taken)


def program(configuration: Configuration, server_name: str, inherited: Mapping[str, str]) -> Program:
    """What a stdio server is started as. inherited: the variables of the gateway's own process.

    Raises KeyError for a server that is not configured, secret.Unresolved where a secret has gone since the file was read.
    """
    server = configuration.servers[server_name]
    assert server.command is not None
    resolved = {
        name: value.resolve() if isinstance(value, SecretReference) else value for name, value in server.env.items()
    }
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in resolved.items()}
    return Program(
        server=server_name,
        command=server.command,
        environment=environment(inherited, plain),
        folder=Path(server.cwd or configuration.folder),
        secrets=frozenset(value.reveal() for value in resolved.values() if isinstance(value, Secret)),
        send_token=server.send_token,
    )


def warnings(configuration: Configuration, environment: Mapping[str, str]) -> Iterator[str]:
    """What is allowed and probably not meant, and what is to be said of a LiteLLM file. environment: the variables of the
    process."""
    yield from configuration.notes
    yield from _shared_audiences(configuration)
    keys = configuration.keys.source
    if "MCP_JWT_SIGNING_KEY" in environment and keys == "store":
        yield (
            "MCP_JWT_SIGNING_KEY is set but keys.source is store, so it is not used: "
            "write `keys: {source: env:MCP_JWT_SIGNING_KEY}` to use it"
        )
    for algorithm in configuration.keys.algorithms or ():
        if algorithm in EXPERIMENTAL:
            yield (
                f"keys.algorithms has {algorithm}, which is experimental: almost no verifier knows it, and some libraries refuse "
                "the whole JWKS for one key of a kind that they do not know (docs/call-token.md names them)"
            )
    if configuration.store == "memory:":
        yield "store is memory:, so API keys and signing keys end with the process"
    if configuration.callers.anonymous:
        yield "callers.anonymous is true: whoever reaches the gateway may do what the policy permits to anonymous callers"
    if not configuration.servers:
        yield "servers is empty: there is nothing to call"
    for name, server in configuration.servers.items():
        if server.transport == "stdio":
            for key in beside_in_headers(configuration.signer_of(name)):
                yield f"signer.{key} does not reach servers.{name}: it travels in a header, and a program over stdio has none"
        if server.transport == "stdio" and not server.send_token:
            yield (
                f"servers.{name} gets no call token, so it cannot tell who calls, nor whether a call came this way: once it "
                f"checks `params._meta`, write `send_token: true`"
            )
    for name in sorted(read_lock(configuration.folder).keys() - configuration.servers.keys()):
        yield f"{NAME} has the server {name}, which is not configured: one that was renamed is not locked"
    if not any(rule.permit is not None for rule in configuration.policy):
        yield "policy permits nothing: every call is denied"
    yield from _trusting(configuration)
    for index, rule in enumerate(configuration.policy):
        if rule.permit is not None and not rule.permit.model_fields_set:
            yield f"policy[{index}] ({configuration.source_of(f'policy[{index}]')}) permits every call to every caller"


def _shared_audiences(configuration: Configuration) -> Iterator[str]:
    """Where the profile of LiteLLM lets servers have one audience."""
    by_audience: dict[str, list[str]] = {}
    for name in configuration.servers:
        if (audience := configuration.signer_of(name).audience) is not None:
            by_audience.setdefault(audience, []).append(name)
    for audience, names in by_audience.items():
        if len(names) > 1:
            yield (
                f"servers {', '.join(names)} have one audience, `{audience}`, as with LiteLLM: a token for one "
                f"of them works at the others; "
                "once they ask for their own, give each `signer.audience`"
            )


def _trusting(configuration: Configuration) -> Iterator[str]:
    """Where somebody else's word is taken for more than it may be worth."""
    for index, issuer in enumerate(configuration.callers.issuers):
        where = f"callers.issuers[{index}] ({configuration.source_of(f'callers.issuers[{index}]')})"
        if not issuer.require_email_verified and issuer.claims.email is not None:
            yield (
                f"{where}.require_email_verified is false: whoever can write any e-mail address at `{issuer.name}` is taken for "
                "whose address it is"
            )
        if issuer.introspection is not None and not issuer.introspection.require_audience:
            yield (
                f"{where}.introspection.require_audience is false: a token that `{issuer.name}` made for somebody else is "
                "accepted where its answer names no audience"
            )
        for network in issuer.allow_networks:
            if is_wide(network, *_MANY_MACHINES):
                yield (
                    f"{where}.allow_networks has {network}, which is many machines: whoever answers for `{issuer.name}` can "
                    "make the gateway connect to each; name the network of its machines alone"
                )
    for name in configuration.servers:
        for network in configuration.signer_of(name).trust_identity_headers_from:
            if is_wide(network, *_MANY_MACHINES):
                yield (
                    f"servers.{name}: trust_identity_headers_from has {network}, which is many machines: each that has a "
                    "credential can name any subject; name the proxies alone"
                )
