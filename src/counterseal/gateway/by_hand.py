"""A call token that somebody makes by hand, to try a server: `counterseal token mint`.

It is decided about, made and recorded like every other, by the same pipeline; only the call is left to whoever asked. The record
says `mint`, or is a refusal, and its peer is `by hand`.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from counterseal.clock import Clock
from counterseal.config.schema import Configuration
from counterseal.core.permit import Denial, Permit
from counterseal.errors import ConfigError, Unauthenticated
from counterseal.gateway.asked import Asked, caller_asked, in_session, request
from counterseal.gateway.recorder import Denied
from counterseal.gateway.wiring import Parts, open_parts
from counterseal.identity.credentials import REFUSED


@dataclass(frozen=True, slots=True)
class ByHand:
    """permit: holds the token. record: the id of the record of it."""

    permit: Permit
    record: str


def check_keys_are_shared(configuration: Configuration) -> None:
    """Raises ConfigError where the keys of this process would be others than those of the gateway."""
    if configuration.store == "memory:" and configuration.keys.source == "store":
        raise ConfigError(
            f"{configuration.place_of('store')}: store: `memory:` keeps the signing keys in the process that serves, so this "
            "command has none that a server would accept a token of; use `sqlite:PATH`"
        )


async def mint(configuration: Configuration, asked: Asked, clock: Clock, *, ttl: int | None = None) -> ByHand:
    """One call token, recorded before it is there. ttl: seconds that it lives, 1 to 900; None for what is configured.

    Raises ConfigError, KeyError as `explain` does, and CallError, recorded, for a call that is refused.
    """
    check_keys_are_shared(configuration)
    async with AsyncExitStack() as stack:
        parts = await open_parts(configuration, clock, stack, background=False)
        return await _mint(parts, asked, clock, ttl)


async def _mint(parts: Parts, asked: Asked, clock: Clock, ttl: int | None) -> ByHand:
    pipeline = replace(parts.pipeline, pins=parts.pins.remembered)  # nothing is sent to a server
    if ttl is not None:
        signer = replace(pipeline.signers[asked.server], ttl_seconds=ttl)
        pipeline = replace(pipeline, signers={**pipeline.signers, asked.server: signer})
    inbound = request(asked, parts)
    async with pipeline.recorder.open(inbound) as record:
        record.caller, invalid = await caller_asked(asked, inbound, parts, clock.wall())
        if invalid is not None:
            raise Unauthenticated("credential_invalid", REFUSED, detail=invalid)
        inbound = in_session(inbound, record.caller, parts)
        call = record.call = pipeline.decode(inbound, record.caller)
        verdict = await pipeline.permit(record.caller, call, inbound)
        if isinstance(verdict, Denial):
            raise Denied(verdict)
        await record.minted(verdict)
    return ByHand(verdict, record.id)
