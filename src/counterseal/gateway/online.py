"""Asking everybody whose word the gateway takes what they have at this moment: `counterseal check --online`.

* Each is asked with what the gateway itself asks with: the same addresses may be reached, and the same is refused.
* All are asked side by side, and each is given up in time: one that hangs hides no other.
* Nothing is believed or kept. No token of anybody is sent: an introspection endpoint is asked about one that was made up.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from counterseal.clock import Clock
from counterseal.config.callers import Issuer
from counterseal.config.schema import Configuration
from counterseal.core.limits import LIMITS, Limits
from counterseal.gateway.identity_wiring import Providers, accept_of, endpoint_of
from counterseal.gateway.ids import Ids
from counterseal.gateway.judged import Judged, Trust, judge, judge_endpoint
from counterseal.identity.egress import Resolve
from counterseal.identity.inspection import Findings, inspect_endpoint
from counterseal.identity.introspection import Endpoint
from counterseal.identity.provider import Provider
from counterseal.jose.claims import USUAL_LEEWAY


async def machine(host: str, port: int) -> Sequence[str]:
    """The resolver of this machine, in a thread that nobody waits for: whoever asked may end while a look-up hangs."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def tell(answer: Callable[[], None]) -> None:
        if not found.done():
            answer()

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer = partial(found.set_exception, error)
        else:
            answer = partial(found.set_result, [str(row[4][0]) for row in rows])
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, answer)

    threading.Thread(target=look_up, name=f"look-up of {host}", daemon=True).start()
    return await found


async def ask(
    configuration: Configuration, clock: Clock, *, resolve: Resolve = machine, limits: Limits = LIMITS
) -> tuple[Judged, ...]:
    """One judgement for each issuer that has keys, each introspection endpoint, and each who vouches for channel tokens.

    It takes as long as the slowest, and not much longer than `fetch_seconds`. Raises ConfigError for a client's key that cannot
    sign.
    """
    async with AsyncExitStack() as stack:
        providers = Providers(clock, stack, {}, background=False, resolve=resolve, limits=limits)
        asking = _Asking(configuration, providers, clock, limits).everybody()
        return tuple(await asyncio.gather(*(one() for one in asking)))


class _Asking:
    def __init__(self, configuration: Configuration, providers: Providers, clock: Clock, limits: Limits) -> None:
        self._configuration = configuration
        self._providers = providers
        self._clock = clock
        self._limits = limits
        self._asked: dict[Provider, asyncio.Task[Findings]] = {}

    def everybody(self) -> list[Callable[[], Awaitable[Judged]]]:
        """What asks each, in the order of the configuration."""
        asking: list[Callable[[], Awaitable[Judged]]] = []
        for issuer in self._configuration.callers.issuers:
            fetch = self._providers.fetch(issuer)
            if issuer.discovery_uri is not None or issuer.jwks_uri is not None:
                asking.append(partial(self._keys, _trust(issuer), self._providers.of(issuer, fetch)))
            if issuer.introspection is not None:
                accept = accept_of(issuer, self._configuration.issuer)
                endpoint = endpoint_of(issuer, issuer.introspection, accept, fetch, self._clock)
                asking.append(partial(self._endpoint, endpoint))
        asking += [partial(self._keys, trust, provider) for trust, provider in self._channels()]
        return asking

    def _channels(self) -> Iterator[tuple[Trust, Provider]]:
        """Servers whose channel tokens are verified alike are told of once."""
        alike: dict[Trust, tuple[Provider, list[str]]] = {}
        for name in self._configuration.servers:
            signer = self._configuration.signer_of(name)
            if signer.channel_issuer is None:
                continue
            trust = Trust(
                kind="channel",
                name="",
                issuer=signer.channel_issuer,
                discovery_uri=signer.channel_token_discovery_uri,
                jwks_uri=signer.channel_token_jwks_uri,
                algorithms=signer.channel_token_algorithms,
                key="channel_token_algorithms",
                leeway=USUAL_LEEWAY,
            )
            provider = self._providers.of_channel(signer, signer.channel_issuer)
            alike.setdefault(trust, (provider, []))[1].append(name)
        for trust, (provider, names) in alike.items():
            yield replace(trust, name=", ".join(names)), provider

    async def _keys(self, trust: Trust, provider: Provider) -> Judged:
        if provider not in self._asked:
            self._asked[provider] = asyncio.ensure_future(provider.inspect())
        return judge(trust, await self._asked[provider])

    async def _endpoint(self, endpoint: Endpoint) -> Judged:
        made_up = endpoint.prefix + Ids().new().encode()
        tried = await inspect_endpoint(endpoint, made_up, self._clock, self._limits)
        return judge_endpoint(endpoint, tried)


def _trust(issuer: Issuer) -> Trust:
    return Trust(
        kind="issuer",
        name=issuer.name,
        issuer=issuer.issuer,
        discovery_uri=issuer.discovery_uri,
        jwks_uri=issuer.jwks_uri,
        algorithms=issuer.algorithms,
        key="algorithms",
        leeway=issuer.leeway,
    )
