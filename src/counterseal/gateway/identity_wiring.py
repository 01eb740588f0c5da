"""The part of the composition root that says who calls: from `callers:` to one `Identify`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack

from counterseal.clock import Clock
from counterseal.config.addresses import TENANT
from counterseal.config.callers import Issuer
from counterseal.config.compile import required_scopes
from counterseal.config.schema import Configuration
from counterseal.core.limits import LIMITS
from counterseal.errors import ConfigError
from counterseal.httpclient import Client
from counterseal.identity.accept import Accept, ClaimPaths
from counterseal.identity.api_key import ApiKeys
from counterseal.identity.fetch import HttpFetch
from counterseal.identity.identify import Authenticator, Identify
from counterseal.identity.idp_jwt import IdpTokens, TrustedIssuer
from counterseal.identity.jwks import RemoteKeys
from counterseal.store.port import API_KEY_PEPPER, Store

Check = Callable[[], str | None]


async def open_identify(
    configuration: Configuration, store: Store, clock: Clock, stack: AsyncExitStack, checks: dict[str, Check]
) -> Identify:
    """What tells who calls. stack: closes it. checks: gets the parts of `/readyz` that belong to it."""
    authenticators: list[Authenticator] = []
    if configuration.callers.api_keys:
        api_keys = ApiKeys(store, await store.secret(API_KEY_PEPPER), clock)
        await api_keys.refresh()
        polling = asyncio.ensure_future(api_keys.run())
        stack.push_async_callback(_cancelled, polling)
        authenticators.append(api_keys)
        checks["store"] = api_keys.healthy
    if configuration.callers.issuers:
        client = Client()
        stack.push_async_callback(client.close)
        fetch = HttpFetch(client, LIMITS, LIMITS.jwks_bytes)
        trusted = [
            _trusted(issuer, configuration.issuer, fetch, clock, checks) for issuer in configuration.callers.issuers
        ]
        authenticators.append(IdpTokens(trusted, configuration.issuer, clock, LIMITS))
    return Identify(
        authenticators,
        anonymous=configuration.callers.anonymous,
        issuer=configuration.issuer,
        scopes=required_scopes(configuration),
    )


def _trusted(issuer: Issuer, own: str, fetch: HttpFetch, clock: Clock, checks: dict[str, Check]) -> TrustedIssuer:
    if issuer.jwks_uri is None:
        raise ConfigError(f"callers.issuers: `{issuer.name}` has no `jwks_uri`")
    remote = RemoteKeys(issuer.name, issuer.jwks_uri, fetch, clock, LIMITS)
    checks[f"issuer {issuer.name}"] = remote.healthy
    return TrustedIssuer(
        accept=_accept(issuer, own),
        keys=remote,
        algorithms=frozenset(issuer.algorithms),
        types=issuer.types,
        untyped=issuer.untyped,
        leeway=issuer.leeway,
        longest_life=issuer.longest_life,
    )


def _accept(issuer: Issuer, own: str) -> Accept:
    return Accept(
        name=issuer.name,
        issuers=issuer.issuers,
        own=own,
        audiences=issuer.audience,
        tenants={issuer.issuer.replace(TENANT, tenant): tenant for tenant in issuer.tenants},
        paths=ClaimPaths(**dict(issuer.claims)),
        required_scopes=issuer.required_scopes,
        require_email_verified=issuer.require_email_verified,
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
