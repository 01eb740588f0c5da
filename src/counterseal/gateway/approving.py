"""What waits to be approved, and approving it: `counterseal servers diff` and `counterseal servers approve`.

What is approved is what was shown: a change that came after it waits on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from counterseal.audit.sinks import FileSink
from counterseal.clock import Clock
from counterseal.config.lock import Locked, read_lock
from counterseal.config.schema import Configuration
from counterseal.core import record
from counterseal.core.definition import definition_digest
from counterseal.errors import ConfigError
from counterseal.gateway.ids import Ids
from counterseal.store.open import open_store
from counterseal.store.port import ToolPin


@dataclass(frozen=True, slots=True)
class Waiting:
    """One tool that is not as it was approved. approved: None where nobody approved any. Definitions are None where there is
    none, or where one was too long to keep."""

    server: str
    tool: str
    approved: str | None
    approved_definition: dict[str, Any] | None
    seen: str
    seen_definition: dict[str, Any] | None
    seen_at: float


def check_store(configuration: Configuration) -> None:
    """Raises ConfigError where no other process could know."""
    if configuration.store == "memory:":
        raise ConfigError(
            f"{configuration.place_of('store')}: store: with `memory:` nothing outlives the gateway's own process, so no other "
            "process knows what it has seen. Use `store: sqlite:counterseal.db`."
        )


async def pinned(configuration: Configuration) -> tuple[ToolPin, ...]:
    """What the store knows of every tool, without definitions. Raises ConfigError, CannotTell."""
    store = await open_store(configuration.store)
    try:
        return (await store.tool_pins())[1]
    finally:
        await store.close()


async def waiting(configuration: Configuration, server: str | None = None) -> tuple[Waiting, ...]:
    """What waits at one server, or at all. Raises ConfigError, CannotTell."""
    locked = read_lock(configuration.folder)
    store = await open_store(configuration.store)
    try:
        pins = await store.tool_definitions(server)
    finally:
        await store.close()
    found = (_waiting(pin, locked) for pin in pins if pin.server in configuration.servers)
    return tuple(one for one in found if one is not None)


def change_of(found: Sequence[Waiting]) -> str:
    """A short name for exactly these changes."""
    text = json.dumps([[one.server, one.tool, one.seen] for one in found]).encode()
    return hashlib.sha256(text).hexdigest()[:12]


async def approve(configuration: Configuration, server: str, seen: Mapping[str, str], clock: Clock) -> frozenset[str]:
    """Approve what was seen of tools, by name and digest, and record it. Returns those of which that is still so.

    Raises ConfigError, CannotTell.
    """
    async with AsyncExitStack() as stack:
        store = await open_store(configuration.store)
        stack.push_async_callback(store.close)
        audit = configuration.audit
        sink = FileSink(audit.folder, fsync=audit.fsync, clock=clock, issuer=configuration.issuer)
        stack.push_async_callback(sink.close)
        await sink.start()
        before = {pin.tool: pin.approved for pin in (await store.tool_pins())[1] if pin.server == server}
        done = await store.approve_tools(server, seen, clock.wall())
        new_id = Ids().new
        for tool in sorted(done):
            id = "rec_" + new_id()
            await sink.write(record.tool_approval(id, server, tool, before=before.get(tool), approved=seen[tool]))
        return done


def _waiting(pin: ToolPin, locked: Locked) -> Waiting | None:
    approved, definition = pin.approved, _read(pin.approved_definition)
    if pin.server in locked:
        definition = locked[pin.server].get(pin.tool)
        approved = None if definition is None else definition_digest(definition)
    if pin.seen is None or pin.seen == approved:
        return None
    return Waiting(pin.server, pin.tool, approved, definition, pin.seen, _read(pin.seen_definition), pin.seen_at or 0.0)


def _read(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    value: dict[str, Any] = json.loads(text)
    return value
