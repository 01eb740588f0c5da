"""The part of the composition root that says who calls: from `callers:`, and what `signer:` says of channels, to one `Identify`.

Each issuer has one client and one fetcher for its keys; a channel whose keys are at the same address shares them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from counterseal.clock import Clock
from counterseal.config.addresses import TENANT
from counterseal.config.callers import Introspection as IntrospectionKeys
from counterseal.config.callers import Issuer
from counterseal.config.compile import required_scopes
from counterseal.config.schema import Configuration
from counterseal.config.signer import Signer
from counterseal.core.limits import LIMITS, Limits
from counterseal.gateway.ids import Ids
from counterseal.identity.accept import Accept, ClaimPaths
from counterseal.identity.api_key import ApiKeys
from counterseal.identity.channel import ChannelIssuer, ChannelRules, Channels
from counterseal.identity.client_auth import Basic, ClientAuth, Post, PrivateKeyJwt
from counterseal.identity.egress import Egress, Lookup, Remedies, Resolve, machine
from counterseal.identity.fetch import HttpFetch
from counterseal.identity.headers import IdentityHeaders, IdentitySources
from counterseal.identity.identify import Authenticator, Identify
from counterseal.identity.idp_jwt import IdpTokens, TrustedIssuer
from counterseal.identity.introspection import Endpoint, Introspection
from counterseal.identity.own_keys import OwnKeys
from counterseal.identity.provider import Provider
from counterseal.issuer.keys import from_file
from counterseal.store.port import API_KEY_PEPPER, Store

Check = Callable[[], str | None]

_OF_A_CHANNEL: Final = Remedies(
    loopback="`channel_token_allow_insecure_loopback: true`",
    networks="give it a public address, because no key allows other networks for channel tokens",
)


async def open_identify(
    configuration: Configuration,
    store: Store,
    clock: Clock,
    stack: AsyncExitStack,
    checks: dict[str, Check],
    *,
    headers: IdentityHeaders,
    background: bool,
) -> Identify:
    """What tells who calls. Raises ConfigError.

    stack: closes it. headers: those of `identity_headers`. checks: gets the parts of `/readyz` that belong to it. background:
    begin at once to fetch what identity providers publish, and go on.
    """
    authenticators: list[Authenticator] = []
    if configuration.callers.api_keys:
        api_keys = ApiKeys(store, await store.secret(API_KEY_PEPPER), clock)
        await api_keys.refresh()
        stack.push_async_callback(_cancelled, asyncio.ensure_future(api_keys.run()))
        authenticators.append(api_keys)
        checks["store"] = api_keys.healthy
    if configuration.callers.own_keys:
        own = [(one.name, one.key.resolve().reveal(), one.subject) for one in configuration.callers.own_keys]
        authenticators.append(OwnKeys(own, await store.secret(API_KEY_PEPPER)))
    providers = Providers(clock, stack, checks, background=background)
    if configuration.callers.issuers:
        trusted, endpoints = [], []
        for issuer in configuration.callers.issuers:
            fetch = providers.fetch(issuer)
            accept = accept_of(issuer, configuration.issuer)
            if issuer.discovery_uri is not None or issuer.jwks_uri is not None:
                trusted.append(_trusted(issuer, accept, providers.of(issuer, fetch)))
            if issuer.introspection is not None:
                endpoints.append(endpoint_of(issuer, issuer.introspection, accept, fetch, clock))
        # Also where no issuer has keys: what looks like a JWT is never asked about (N-07).
        authenticators.append(IdpTokens(trusted, configuration.issuer, clock, LIMITS))
        if endpoints:
            introspection = Introspection(endpoints, clock, LIMITS)
            authenticators.append(introspection)
            for endpoint in endpoints:
                checks[f"introspection {endpoint.name}"] = partial(_of, introspection, endpoint.name)
    signers = {name: configuration.signer_of(name) for name in configuration.servers}
    rules = {name: _channel_rules(signer, providers) for name, signer in signers.items()}
    return Identify(
        authenticators,
        anonymous=configuration.callers.anonymous,
        takes_tokens=bool(configuration.callers.issuers),
        key_header=key_header(configuration),
        tokens_need_key=configuration.callers.tokens_need_key,
        issuer=configuration.issuer,
        scopes=required_scopes(configuration),
        channels=Channels(rules, configuration.issuer, clock, LIMITS),
        headers=headers,
    )


def key_header(configuration: Configuration) -> bytes | None:
    """Where API keys may be beside tokens, in lower case; None: nowhere."""
    name = configuration.callers.key_header
    return None if name is None else name.encode()


def identity_headers(configuration: Configuration) -> IdentityHeaders:
    """Which headers may name a subject at which server, and who may send them."""
    signers = {name: configuration.signer_of(name) for name in configuration.servers}
    return IdentityHeaders(
        {
            name: IdentitySources(
                sources=signer.identity_headers,
                trusted=tuple(map(ip_network, signer.trust_identity_headers_from)),
            )
            for name, signer in signers.items()
        }
    )


class Providers:
    """The providers there are. resolve: how their hosts become addresses."""

    def __init__(
        self,
        clock: Clock,
        stack: AsyncExitStack,
        checks: dict[str, Check],
        *,
        background: bool,
        resolve: Resolve = machine,
        limits: Limits = LIMITS,
    ) -> None:
        self._clock = clock
        self._stack = stack
        self._checks = checks
        self._background = background
        self._resolve = resolve
        self._limits = limits
        self._shared: dict[tuple[str, str], Provider] = {}
        """By address and issuer: what is read there is checked against the issuer (K-01), so another issuer's is its own."""

    def fetch(self, issuer: Issuer) -> HttpFetch:
        """What fetches for this issuer."""
        networks = tuple(ip_network(network) for network in issuer.allow_networks)
        return self._fetch(
            Egress(loopback=issuer.allow_insecure_loopback, networks=networks, resolve=Lookup(self._resolve))
        )

    def of(self, issuer: Issuer, fetch: HttpFetch) -> Provider:
        """The provider of an issuer that has keys."""
        return self._open(
            issuer.name,
            f"issuer {issuer.name}",
            fetch,
            issuer=issuer.issuer,
            discovery_uri=issuer.discovery_uri,
            jwks_uri=issuer.jwks_uri,
            jwks_hosts=issuer.jwks_hosts,
        )

    def of_channel(self, signer: Signer, issuer: str) -> Provider:
        """The provider of a server's channel tokens: that of an issuer or of another server where address and
        issuer are the same."""
        address = signer.channel_token_discovery_uri or signer.channel_token_jwks_uri or ""
        known = self._shared.get((address, issuer))
        if known is not None:
            return known
        loopback = signer.channel_token_allow_insecure_loopback
        egress = Egress(loopback=loopback, resolve=Lookup(self._resolve), remedies=_OF_A_CHANNEL)
        return self._open(
            issuer,
            f"channel {issuer} at {address}",
            self._fetch(egress),
            issuer=issuer,
            discovery_uri=signer.channel_token_discovery_uri,
            jwks_uri=signer.channel_token_jwks_uri,
            jwks_hosts=None,
        )

    def _fetch(self, egress: Egress) -> HttpFetch:
        fetch = HttpFetch(egress, self._limits, self._limits.jwks_bytes)
        self._stack.push_async_callback(fetch.close)
        return fetch

    def _open(
        self,
        name: str,
        part: str,
        fetch: HttpFetch,
        *,
        issuer: str,
        discovery_uri: str | None,
        jwks_uri: str | None,
        jwks_hosts: tuple[str, ...] | None,
    ) -> Provider:
        provider = Provider(
            name,
            issuer=issuer,
            discovery_uri=discovery_uri,
            jwks_uri=jwks_uri,
            jwks_hosts=jwks_hosts,
            fetch=fetch,
            clock=self._clock,
            limits=self._limits,
        )
        self._checks[part] = provider.healthy
        if self._background:
            self._stack.push_async_callback(_cancelled, asyncio.ensure_future(provider.run()))
        self._shared.setdefault((discovery_uri or jwks_uri or "", issuer), provider)
        return provider


def accept_of(issuer: Issuer, own: str) -> Accept:
    """What makes a Caller of an issuer's claims. own: the gateway's issuer."""
    return Accept(
        name=issuer.name,
        issuers=issuer.issuers,
        own=own,
        tenants={issuer.issuer.replace(TENANT, tenant): tenant for tenant in issuer.tenants},
        audiences=issuer.audience,
        paths=ClaimPaths(**dict(issuer.claims)),
        required_scopes=issuer.required_scopes,
        require_email_verified=issuer.require_email_verified,
    )


def _trusted(issuer: Issuer, accept: Accept, provider: Provider) -> TrustedIssuer:
    return TrustedIssuer(
        accept=accept,
        keys=provider,
        algorithms=frozenset(issuer.algorithms),
        types=issuer.types,
        untyped=issuer.untyped,
        bare=issuer.bare,
        leeway=issuer.leeway,
        longest_life=issuer.longest_life,
    )


def endpoint_of(issuer: Issuer, asked: IntrospectionKeys, accept: Accept, fetch: HttpFetch, clock: Clock) -> Endpoint:
    """An issuer's introspection endpoint, asked as the gateway's client. Raises ConfigError for a key that cannot sign."""
    return Endpoint(
        name=issuer.name,
        issuer=issuer.issuer,
        url=asked.endpoint,
        prefix=(asked.token_prefix or "").encode(),
        auth=_client_auth(asked, f"callers.issuers: `{issuer.name}`: introspection.private_key", clock),
        post=fetch.post,
        accept=accept,
        require_audience=asked.require_audience,
        leeway=issuer.leeway,
    )


def _client_auth(asked: IntrospectionKeys, where: str, clock: Clock) -> ClientAuth:
    if asked.client_secret is not None:
        secret = asked.client_secret.resolve().reveal()
        return Basic(asked.client_id, secret) if asked.client_auth == "basic" else Post(asked.client_id, secret)
    assert asked.private_key is not None
    signer = from_file(Path(asked.private_key.place), where, None)[0]
    return PrivateKeyJwt(
        asked.client_id,
        signer.sign,
        kid=signer.kid,
        algorithm=signer.algorithm,
        clock=clock,
        new_id=Ids().new,
    )


def _channel_rules(signer: Signer, providers: Providers) -> ChannelRules:
    issuer = signer.channel_issuer
    trusted = None
    if issuer is not None:
        trusted = ChannelIssuer(
            issuer=issuer,
            keys=providers.of_channel(signer, issuer),
            algorithms=frozenset(signer.channel_token_algorithms),
            audience=signer.channel_token_audience_in,
        )
    return ChannelRules(
        header=signer.channel_token_header.lower().encode(), required=signer.channel_token_required, trusted=trusted
    )


def _of(introspection: Introspection, name: str) -> str | None:
    return introspection.healthy()[name]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
