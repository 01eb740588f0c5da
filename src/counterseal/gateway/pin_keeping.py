"""What lists have shown goes to the store, and what other workers saw or somebody approved comes from there: beside calls, never
in one.

While the store cannot be reached, what is in memory goes on deciding, and what it has not heard yet is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from counterseal.errors import CannotTell
from counterseal.gateway.server_pins import ServerPins
from counterseal.store.port import PinStore, ToolPin

_log = logging.getLogger("counterseal.gateway")

POLL_SECONDS: Final = 0.5


class PinKeeping:
    """For one worker."""

    def __init__(self, store: PinStore, servers: Mapping[str, ServerPins]) -> None:
        self._store = store
        self._servers = servers
        self._generation = -1
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on with it beside calls, until `close`."""
        self._running = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """End it, and tell the store what it has not heard yet."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        try:
            await self.refresh()
        except CannotTell as error:
            _log.warning("tools are not pinned in the store: %s", error.detail)

    async def refresh(self) -> None:
        """Both ways, once. Raises CannotTell."""
        told = {name: unsent for name, pins in self._servers.items() if (unsent := pins.take_unsent())}
        sightings = [one for unsent in told.values() for of_tool in unsent.values() for _, one in of_tool]
        try:
            if sightings:
                await self._store.note_tools(sightings)
            if await self._store.pin_generation() == self._generation:
                return
            generation, rows = await self._store.tool_pins()
        except BaseException:
            for name, unsent in told.items():
                self._servers[name].give_back(unsent)
            raise
        by_server: dict[str, list[ToolPin]] = {}
        for row in rows:
            by_server.setdefault(row.server, []).append(row)
        for name, pins in self._servers.items():
            pins.refresh(by_server.get(name, ()), told.get(name, {}))
        self._generation = generation

    async def _run(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
                failing = False
            except Exception as error:  # whatever it was, the next round may find it gone
                if not failing:
                    what = error.detail if isinstance(error, CannotTell) else None
                    _log.warning("tools are not pinned in the store: %s", what or type(error).__name__)
                failing = True
