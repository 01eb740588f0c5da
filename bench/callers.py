"""What it costs to tell who calls, in two ways: the same call by four callers, and the telling alone, timed in this process.

CPU for each call comes from two noisy figures of a thousand microseconds each, so their difference may be off by a tenth of
that. What is promised is held against the time of `Identify` alone, which the gateway's own composition root has built from the
same configuration.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.idp import IdentityProvider, bearer
from bench.inside import SERVER, inbound_of, open_identity
from bench.load import Party
from bench.machine import pinned
from bench.processes import Started
from bench.report import ANONYMOUS, API_KEY, CACHED, CACHED_MANY, CHECK, NEW
from counterseal.clock import SystemClock
from counterseal.core.call import Inbound
from counterseal.identity.identify import Identify

_CALLS: Final = 1000


def configuration(idp: IdentityProvider) -> dict[str, Any]:
    """`callers:` of a gateway that takes all four."""
    return {"api_keys": True, "anonymous": True, "issuers": [idp.entry()]}


def audience(started: Started) -> str:
    """What the tokens must be for."""
    return f"{started.url}/mcp/{SERVER}"


def parties(started: Started, idp: IdentityProvider) -> list[Party]:
    """The same call, by four callers."""
    url = audience(started)
    (token,) = idp.tokens(url, 1)
    cached = {"Authorization": f"Bearer {token.decode()}"}
    return [
        Party(ANONYMOUS, url, started.pid, {}),
        Party(API_KEY, url, started.pid, started.headers),
        Party(CACHED, url, started.pid, cached),
        Party(NEW, url, started.pid, {}, partial(idp.tokens, url)),
    ]


def identifying(started: Started, idp: IdentityProvider, core: int, repeats: int) -> dict[str, float]:
    """Microseconds of CPU of one `Identify` for each kind of caller, and of one bare ES256 check: medians of the repeats."""
    with pinned(core), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_identifying(started, idp, repeats))


async def _identifying(started: Started, idp: IdentityProvider, repeats: int) -> dict[str, float]:
    assert started.configuration is not None
    key = started.headers["Authorization"].encode()
    cached = [inbound_of(value) for value in bearer(idp.tokens(audience(started), _CALLS))]
    new = [inbound_of(value) for value in bearer(idp.tokens(audience(started), _CALLS))]
    calls = {
        ANONYMOUS: [inbound_of(None)] * _CALLS,
        API_KEY: [inbound_of(key)] * _CALLS,
        CACHED: cached[:1] * _CALLS,
        CACHED_MANY: cached,
    }
    async with open_identity(started.configuration, SystemClock()) as identify:
        for inbound in cached:
            await identify(inbound)
        figures = {
            name: statistics.median([await _once(identify, many) for _ in range(repeats)])
            for name, many in calls.items()
        }
        # Each of these is new only once.
        figures[NEW] = statistics.median([await _once(identify, new[at::repeats]) for at in range(repeats)])
    figures[CHECK] = statistics.median([_timed(_check(), _CALLS // repeats) for _ in range(repeats)])
    return figures


async def _once(identify: Identify, calls: Sequence[Inbound]) -> float:
    """Microseconds of this thread's CPU for each call: what other programs and other threads take does not count."""
    began = time.thread_time()
    for inbound in calls:
        await identify(inbound)
    return (time.thread_time() - began) / len(calls) * 1e6


def _check() -> Callable[[], object]:
    """One bare check of an ES256 signature."""
    key, data, how = ec.generate_private_key(ec.SECP256R1()), b"s" * 400, ec.ECDSA(SHA256())
    signature, public = key.sign(data, how), key.public_key()
    return lambda: public.verify(signature, data, how)


def _timed(once: Callable[[], object], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        once()
    return (time.thread_time() - began) / count * 1e6
