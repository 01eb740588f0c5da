"""A store in this process's memory, for `store: "memory:"` and for tests. It ends with the process."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence

from counterseal.errors import ConfigError
from counterseal.store.port import ACTIVE, ApiKeyRow, Sighting, SigningKeyRow, ToolPin, approved, other_issuer, sighted


class MemoryStore:
    """All ports over dictionaries. For one event loop."""

    def __init__(self) -> None:
        self._generation = 0
        self._api_keys: dict[str, ApiKeyRow] = {}
        self._signing_keys: dict[str, SigningKeyRow] = {}
        self._secrets: dict[str, bytes] = {}
        self._issuer: str | None = None
        self._pin_generation = 0
        self._pins: dict[tuple[str, str], ToolPin] = {}

    async def generation(self) -> int:
        return self._generation

    async def api_keys(self) -> tuple[int, tuple[ApiKeyRow, ...]]:
        return self._generation, tuple(sorted(self._api_keys.values(), key=lambda row: (row.created, row.id)))

    async def add_api_key(self, row: ApiKeyRow) -> None:
        if row.id in self._api_keys:
            raise ValueError(f"there is an API key {row.id} already")
        self._api_keys[row.id] = row
        self._generation += 1

    async def revoke_api_key(self, id: str, when: float) -> bool:
        row = self._api_keys.get(id)
        if row is None:
            return False
        if row.revoked is None:
            self._api_keys[id] = dataclasses.replace(row, revoked=when)
            self._generation += 1
        return True

    async def rotate_api_key(self, id: str, mac: bytes, now: float, previous_ends: float) -> ApiKeyRow | None:
        row = self._api_keys.get(id)
        if row is None or not row.in_force(now):
            return row
        self._api_keys[id] = row.rotated(mac, previous_ends)
        self._generation += 1
        return self._api_keys[id]

    async def note_use(self, uses: Mapping[str, float]) -> None:
        for id, when in uses.items():
            row = self._api_keys.get(id)
            if row is not None:
                self._api_keys[id] = dataclasses.replace(row, last_used=max(when, row.last_used or when))

    async def signing_keys(self) -> tuple[SigningKeyRow, ...]:
        return tuple(sorted(self._signing_keys.values(), key=lambda row: (row.created, row.kid)))

    async def add_signing_key_if_absent(self, algorithm: str, make: Callable[[], SigningKeyRow]) -> SigningKeyRow:
        if (row := self._active(algorithm)) is not None:
            return row
        made = await asyncio.to_thread(make)
        # Another task may have been first while the key was made.
        if (row := self._active(algorithm)) is not None:
            return row
        self._signing_keys[made.kid] = made
        return made

    def _active(self, algorithm: str) -> SigningKeyRow | None:
        keys = self._signing_keys.values()
        return next((row for row in keys if row.algorithm == algorithm and row.state == ACTIVE), None)

    async def secret(self, name: str) -> bytes:
        return self._secrets.setdefault(name, secrets.token_bytes(32))

    async def bind_issuer(self, issuer: str) -> None:
        if self._issuer is None:
            self._issuer = issuer
        if self._issuer != issuer:
            raise ConfigError(other_issuer(self._issuer, issuer))

    async def pin_generation(self) -> int:
        return self._pin_generation

    async def tool_pins(self) -> tuple[int, tuple[ToolPin, ...]]:
        bare = [dataclasses.replace(pin, approved_definition=None, seen_definition=None) for pin in self._sorted()]
        return self._pin_generation, tuple(bare)

    async def tool_definitions(self, server: str | None = None) -> tuple[ToolPin, ...]:
        return tuple(pin for pin in self._sorted() if server in (None, pin.server))

    async def note_tools(self, sightings: Sequence[Sighting]) -> None:
        for sighting in sightings:
            self._put(sighted(self._pins.get((sighting.server, sighting.tool)), sighting))

    async def approve_tools(self, server: str, seen: Mapping[str, str], when: float) -> frozenset[str]:
        done = set()
        for tool, digest in seen.items():
            pin = self._pins.get((server, tool))
            if pin is not None and pin.seen == digest:
                self._put(approved(pin, when))
                done.add(tool)
        return frozenset(done)

    def _put(self, pin: ToolPin) -> None:
        key = (pin.server, pin.tool)
        if self._pins.get(key) != pin:
            self._pins[key] = pin
            self._pin_generation += 1

    def _sorted(self) -> list[ToolPin]:
        return [self._pins[key] for key in sorted(self._pins)]

    async def close(self) -> None:
        """Nothing to let go of."""
