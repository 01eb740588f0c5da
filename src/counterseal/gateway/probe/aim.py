"""Which server is probed: one of the configuration, or an address; how its tokens are made; and the ways that lead to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from counterseal.config.addresses import is_loopback
from counterseal.config.claims import profile_of
from counterseal.config.compile import program, static_headers
from counterseal.config.schema import Configuration
from counterseal.core.claims import SignerSettings
from counterseal.core.operation import Operation
from counterseal.gateway.probe.duplex_ways import Sse, Stdio
from counterseal.gateway.probe.ways import HttpApi, Legacy, Modern, Place, Way
from counterseal.gateway.wiring import Parts
from counterseal.httpclient import Client

SECONDS: Final = 10.0
"""For one request."""


class NotProbed(Exception):
    """There is nothing that a probe could do here. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """server: the name of a configured one, or an address. audience: of an address, which is its own audience otherwise.

    operation: the call of a tool; None asks for lists. claims: that the server wants besides those that each token has. key: an
    API key, to go through the gateway too. gateway: its address; None for the issuer.
    """

    server: str
    audience: str | None = None
    operation: Operation | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = field(default=None, repr=False)
    gateway: str | None = None
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Aim:
    """name: of the configured server; None for an address that is none's. here: whether the server is on this machine."""

    name: str | None
    place: str
    settings: SignerSettings
    ways: tuple[Callable[[], Way], ...]
    here: bool


def name_of(configuration: Configuration, server: str) -> str | None:
    """The configured server that is meant, by its name or its address; None where it is no one's."""
    if server in configuration.servers:
        return server
    return next((name for name, one in configuration.servers.items() if one.url == server), None)


def aim(parts: Parts, wanted: Wanted, client: Client) -> Aim:
    """Raises NotProbed."""
    configuration = parts.configuration
    name = name_of(configuration, wanted.server)
    if name is None:
        return _at_an_address(parts, wanted, client)
    server, settings = configuration.servers[name], parts.pipeline.signers[name]
    if server.transport == "stdio":
        if not server.send_token:
            raise NotProbed(
                f"{name!r} is a program that takes no call token, so there is nothing to attack: it trusts whoever starts it. "
                "`send_token: true` sends it one with each message."
            )
        started = program(configuration, name, os.environ)
        return Aim(name, server.place, settings, (lambda: Stdio(started, wanted.seconds),), True)
    assert server.url is not None
    static = tuple((header, secret.reveal()) for header, secret in static_headers(configuration, name))
    place = Place(server.url, configuration.signer_of(name).header, static, wanted.seconds)
    if server.transport == "openapi":
        from counterseal.gateway.openapi_wiring import read_tools  # noqa: PLC0415  # as transports.py has it

        tools = {tool.name: tool for tool in read_tools(configuration, name)[1].tools}
        return Aim(name, server.place, settings, (lambda: HttpApi(place, client, tools),), _is_here(server.url))
    if server.transport == "sse":
        return Aim(name, server.place, settings, (lambda: Sse(place, client),), _is_here(server.url))
    return Aim(name, server.place, settings, _both_eras(place, client), _is_here(server.url))


def through_the_gateway(parts: Parts, wanted: Wanted, name: str, client: Client) -> tuple[Callable[[], Way], ...]:
    """The ways to the gateway's own address for this server."""
    base = (wanted.gateway or parts.configuration.issuer).rstrip("/")
    return _both_eras(Place(f"{base}/mcp/{name}", "Authorization", (), wanted.seconds), client)


def _at_an_address(parts: Parts, wanted: Wanted, client: Client) -> Aim:
    configuration, signer = parts.configuration, parts.configuration.signer
    audience = wanted.audience or wanted.server
    algorithm = signer.algorithm or parts.ring.signers[0].algorithm
    settings = SignerSettings(
        issuer=configuration.issuer,
        audience=audience,
        algorithm=algorithm,
        ttl_seconds=signer.ttl_seconds,
        end_user_claim_sources=signer.end_user_claim_sources,
        bind_arguments=signer.bind_arguments,
        server=wanted.server,
        profile=profile_of(signer.profile),
    )
    place = Place(wanted.server, signer.header, (), wanted.seconds)
    return Aim(None, wanted.server, settings, _both_eras(place, client), _is_here(wanted.server))


def _both_eras(place: Place, client: Client) -> tuple[Callable[[], Way], ...]:
    return (lambda: Modern(place, client), lambda: Legacy(place, client))


def _is_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
