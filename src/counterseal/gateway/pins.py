"""Whether a tool is still the one that was approved (M-14): what lists may show, and which calls are refused.

* A list is judged item by item before it goes to its caller, so the very answer that shows a change holds it back.
* Decisions read memory alone: what each server's tools are is in `server_pins.py`.
* After a start no list was seen. A call of a tool that is pinned then waits for a list, which the gateway asks for as its caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from counterseal.clock import Clock
from counterseal.config.lock import Locked
from counterseal.config.schema import Configuration
from counterseal.core import record
from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.definition import definition_digest
from counterseal.core.limits import Limits
from counterseal.core.methods import METHODS, Kind
from counterseal.core.permit import Denial
from counterseal.errors import CallError
from counterseal.gateway.recorder import Denied
from counterseal.gateway.server_pins import ServerPins
from counterseal.servers.link import fresh

_log = logging.getLogger("counterseal.gateway")

_USES: Final = frozenset({Kind.TOOL, Kind.ITEM})

List = Callable[[Caller, Call], Awaitable[None]]
"""Asks the server of a call for its tools, as its caller. Raises CallError."""


class Pins:
    """locked: the lock file. post: takes an entry for the records. new_id: 128 random bits as text."""

    def __init__(
        self,
        configuration: Configuration,
        locked: Locked,
        clock: Clock,
        limits: Limits,
        post: Callable[[dict[str, Any]], None],
        new_id: Callable[[], str],
        lists: List,
    ) -> None:
        self._clock = clock
        self._post = post
        self._new_id = new_id
        self._list = lists
        self._listing: dict[tuple[str, bytes, object], asyncio.Task[None]] = {}
        self.servers: Mapping[str, ServerPins] = {
            name: ServerPins(
                name,
                configuration.on_tool_change_of(name),
                _digests(locked[name]) if name in locked else None,
                limits,
                partial(self._tell, name),
            )
            for name in configuration.servers
        }

    def vet(self, caller: Caller, server: str, tool: str, definition: bytes | memoryview) -> bool:
        """Take note of a tool that a list shows. Whether it may stand in that list. definition: its JSON text."""
        return self.servers[server].vet(caller, tool, bytes(definition), self._clock.wall())

    async def denial(self, caller: Caller, call: Call) -> Denial | None:
        """Why a call that policy permits is refused. Raises CallError where a list is needed and cannot be had."""
        pins = self.servers.get(call.server)
        if pins is None or pins.mode == "allow" or call.method != "tools/call" or not pins.unknown(call.name or ""):
            return self._refused(call)
        try:
            await self._listed(caller, call)
        except Denied as denied:
            return _unlisted(call, denied.rule)
        return _unlisted(call, None) if pins.unknown(call.name or "") else self._refused(call)

    async def remembered(self, _: Caller, call: Call) -> Denial | None:
        """The same by what was seen so far, where nothing is to be sent."""
        return self._refused(call)

    def _refused(self, call: Call) -> Denial | None:
        pins = self.servers.get(call.server)
        if pins is None or pins.well or pins.mode == "allow" or METHODS[call.method].kind not in _USES:
            return None
        if pins.mode == "refuse" and pins.changed:
            return Denial(
                "server_changed",
                f"the server {call.server!r} has changed {_count(pins.changed)} that nobody approved yet",
                _rule(call.server),
            )
        if call.method == "tools/call" and pins.unlike(call.name or ""):
            return Denial(
                "tool_changed",
                f"the server {call.server!r} shows the tool {call.name!r} in a form that nobody approved yet",
                _rule(call.server),
            )
        return None

    def healthy(self, server: str) -> str | None:
        """What waits for somebody to approve it; None for nothing."""
        pins = self.servers[server]
        if not pins.changed:
            return None
        done = {"allow": "served all the same", "hold": "held back", "refuse": "and the server is refused"}[pins.mode]
        return f"{_count(pins.changed)} changed, {done}: counterseal servers diff {server}"

    async def close(self) -> None:
        """Give up what is being asked."""
        for task in [*self._listing.values()]:
            task.cancel()
        await asyncio.gather(*self._listing.values(), return_exceptions=True)

    async def _listed(self, caller: Caller, call: Call) -> None:
        """Ask once for all calls of this caller that wait for it. Whoever leaves does not end it for the others."""
        key = (call.server, caller.fingerprint(), None if call.session is None else call.session.sealed)
        task = self._listing.get(key)
        if task is None:
            task = asyncio.ensure_future(self._list(caller, call))
            self._listing[key] = task
            task.add_done_callback(partial(self._over, key))
        try:
            await asyncio.shield(task)
        except CallError as error:
            raise fresh(error) from None

    def _over(self, key: tuple[str, bytes, object], task: asyncio.Task[None]) -> None:
        del self._listing[key]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may wait any more

    def _tell(self, server: str, caller: Caller, tool: str, approved: str | None, seen: str) -> None:
        mode = self.servers[server].mode
        _log.warning(
            "server %s: the definition of tool %.80r %s; on_tool_change is %s; `counterseal servers diff %s` shows it",
            server,
            tool,
            "is not in counterseal.lock"
            if self.servers[server].locked and approved is None
            else "changed"
            if seen
            else "can be read in two ways",
            mode,
            server,
        )
        self._post(
            record.tool_change(
                "rec_" + self._new_id(), server, tool, caller, approved=approved, seen=seen or None, action=mode
            )
        )


def _digests(tools: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {tool: definition_digest(definition) for tool, definition in tools.items()}


def _unlisted(call: Call, rule: str | None) -> Denial:
    """rule: what denies this caller a list; None where there was one."""
    what = "so it cannot be told whether it is still the one that was approved"
    if rule is not None:
        why = f"this caller may not list the tools of {call.server!r}"
        return Denial("tool_unlisted", f"{why}, {what}: {call.name!r}", rule)
    why = f"the list of the server {call.server!r} does not have the tool {call.name!r}"
    return Denial("tool_unlisted", f"{why}, {what}", _rule(call.server))


def _rule(server: str) -> str:
    return f"servers.{server}.on_tool_change"


def _count(tools: int) -> str:
    return "1 tool" if tools == 1 else f"{tools} tools"
