"""The part of the gateway that says who calls, in this process: built by its own composition root from a configuration file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bench.call import request_body, request_headers
from counterseal.clock import Clock
from counterseal.config.load import load
from counterseal.core.call import Inbound
from counterseal.gateway.identity_wiring import identity_headers, open_identify
from counterseal.identity.identify import Identify
from counterseal.store.open import open_store

SERVER: Final = "es256"
"""The server that is called; it gets ES256 tokens."""

_BODY: Final = request_body()
_HEADERS: Final = tuple((name.lower().encode(), value.encode()) for name, value in request_headers().items())


@asynccontextmanager
async def open_identity(configuration: Path, clock: Clock) -> AsyncIterator[Identify]:
    """For as long as the block lasts, with what goes on beside calls. Raises ConfigError."""
    loaded = load(configuration)
    async with AsyncExitStack() as stack:
        store = await open_store(loaded.store)
        stack.push_async_callback(store.close)
        headers = identity_headers(loaded)
        yield await open_identify(loaded, store, clock, stack, {}, headers=headers, background=True)


def inbound_of(authorization: bytes | None, server: str = SERVER) -> Inbound:
    """The call of bench/call.py as it comes in. authorization: the header's value; None for a call without one."""
    headers = _HEADERS if authorization is None else (*_HEADERS, (b"authorization", authorization))
    return Inbound("POST", server, headers, _BODY, "127.0.0.1")
