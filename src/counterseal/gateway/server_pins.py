"""What is approved of one server's tools, and what its lists have shown since.

* Approved is what `counterseal.lock` says of the server; where it does not name it, what was seen first, and what
  `counterseal servers approve` accepted since.
* It is decided per tool. A tool that a list leaves out is no change: servers show callers different lists.
* What a list shows last decides about calls, whoever saw it. Each list is judged by what stands in it.
* Everything is in memory and bounded. What the store does not know yet is kept for `pin_keeping.py`, which takes it there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Final

from counterseal.config.servers import OnToolChange
from counterseal.core.caller import Caller
from counterseal.core.canonical import NotCanonical
from counterseal.core.definition import definition_digest, read_definition
from counterseal.core.limits import Limits
from counterseal.store.port import Kind, Sighting, ToolPin

_log = logging.getLogger("counterseal.gateway")

_NONE: Final = ""
"""Stands for the digest of a definition that has none."""

Tell = Callable[[Caller, str, str | None, str], None]
"""(who saw it, tool, the approved digest, the one that was seen): told once for each."""
Unsent = dict[str, list[tuple[Caller, Sighting]]]
"""By tool: the first sight, where it is one, and the latest one."""


class ServerPins:
    """locked: tool to digest, None where the lock file does not name the server."""

    def __init__(
        self,
        name: str,
        mode: OnToolChange,
        locked: Mapping[str, str] | None,
        limits: Limits,
        tell: Tell,
    ) -> None:
        self.mode = mode
        self.locked = locked is not None
        self._name = name
        self._limits = limits
        self._tell = tell
        self._approved: dict[str, str] = dict(locked or {})
        self._seen: dict[str, str] = {}
        self._changed: set[str] = set()
        self._read: dict[str, tuple[bytes, str]] = {}
        self._told: set[tuple[str, str]] = set()
        self._unsent: Unsent = {}
        self._full = False

    @property
    def changed(self) -> int:
        """How many tools are not as they were approved."""
        return len(self._changed)

    @property
    def well(self) -> bool:
        """Whether nothing can be held back by what was seen so far."""
        return not (self._changed or self.locked)

    @property
    def held(self) -> frozenset[str]:
        """Which ones these are: a list in which they were judged otherwise is not to be shown again."""
        return frozenset(self._changed)

    def unlike(self, tool: str) -> bool:
        """Whether what was shown last is not what is approved, or nothing of this name could be."""
        return tool in self._changed or (self.locked and tool not in self._approved)

    def unknown(self, tool: str) -> bool:
        """Whether something is approved, and nothing was shown since the start."""
        return tool not in self._seen and tool in self._approved

    def vet(self, caller: Caller, tool: str, text: bytes, now: float) -> bool:
        """Take note of a definition that a list shows to this caller. Whether it may stand in that list."""
        if not self._keeps(tool):
            # Nothing is approved of it, and no definition of it will be: no need to read this one.
            return self.mode == "allow"
        digest = self._digest(tool, text)
        pin = self._approved.get(tool)
        if (
            pin is None
            and not self.locked
            and digest != _NONE
            and tool in self._read
            and self._has_room(self._approved)
        ):
            self._approved[tool] = self._seen[tool] = digest
            self._note(caller, tool, "first", digest, text, now)
            return True
        if tool in self._seen or tool in self._read:
            before = self._seen.get(tool)
            self._seen[tool] = digest
            if digest == pin:
                if tool in self._changed:
                    self._changed.discard(tool)
                    self._note(caller, tool, "locked" if self.locked else "later", digest, text, now)
            elif before != digest or tool not in self._changed:
                self._changed.add(tool)
                self._note(caller, tool, "not_locked" if self.locked else "later", digest, text, now)
                self._say(caller, tool, pin, digest)
        return digest == pin or self.mode == "allow"

    # ---- what the store knows ----

    def take_unsent(self) -> Unsent:
        """What the store does not know yet; the caller of this tells it, or gives it back."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def give_back(self, unsent: Unsent) -> None:
        """The store could not be told."""
        for tool, earlier in unsent.items():
            later = self._unsent.get(tool, [])
            self._unsent[tool] = [*(one for one in earlier if one[1].kind == "first"), *(later or earlier)[-1:]]

    def refresh(self, pins: Sequence[ToolPin], told: Unsent) -> None:
        """Take over what the store knows by now; what it has not heard yet stays. told: what it has heard just before."""
        if not self.locked:
            approved = {pin.tool: pin.approved for pin in pins if pin.approved is not None}
            for tool, sightings in self._unsent.items():
                if sightings[0][1].kind == "first":
                    approved.setdefault(tool, sightings[0][1].digest)
            self._approved = approved
        for pin in pins:
            if pin.tool in self._unsent or self._seen.get(pin.tool) == _NONE:
                continue
            if pin.seen is not None:
                self._seen[pin.tool] = pin.seen
            elif pin.tool in self._seen:
                # Another worker has seen the approved one since, or it was approved.
                self._seen[pin.tool] = self._approved.get(pin.tool, self._seen[pin.tool])
        self._changed = {tool for tool, digest in self._seen.items() if digest != self._approved.get(tool)}
        for tool in self._changed & told.keys():
            for caller, sighting in told[tool]:
                if sighting.kind == "first" and sighting.digest == self._seen[tool]:
                    # Somebody else saw another definition first.
                    self._say(caller, tool, self._approved.get(tool), sighting.digest)

    def _keeps(self, tool: str) -> bool:
        """Whether there is something to compare with, or room to keep one. A list may have a hundred thousand tools."""
        if tool in self._read or tool in self._approved or tool in self._seen:
            return True
        return len(tool.encode()) <= self._limits.pinned_name_bytes and self._has_room(self._read)

    def _digest(self, tool: str, text: bytes) -> str:
        """A list is mostly the same again, so a text is read once."""
        quick = hashlib.sha256(text).digest()
        known = self._read.get(tool)
        if known is not None and known[0] == quick:
            return known[1]
        try:
            digest = definition_digest(read_definition(text, self._limits))
        except NotCanonical:
            digest = _NONE
        if known is not None or (len(tool.encode()) <= self._limits.pinned_name_bytes and self._has_room(self._read)):
            self._read[tool] = quick, digest
        return digest

    def _has_room(self, known: Sized) -> bool:
        most = self._limits.pinned_tool_count
        if len(known) < most:
            return True
        if not self._full:
            self._full = True
            _log.warning("server %s: more than %d tools; no more are pinned", self._name, most)
        return False

    def _note(
        self,
        caller: Caller,
        tool: str,
        kind: Kind,
        digest: str,
        text: bytes,
        now: float,
    ) -> None:
        if digest == _NONE:
            return
        kept = text.decode() if len(text) <= self._limits.pinned_definition_bytes else None
        sighting = Sighting(server=self._name, tool=tool, kind=kind, digest=digest, definition=kept, when=now)
        first = [one for one in self._unsent.get(tool, ()) if one[1].kind == "first"]
        self._unsent[tool] = [*first, (caller, sighting)]

    def _say(self, caller: Caller, tool: str, pin: str | None, digest: str) -> None:
        if (tool, digest) not in self._told and len(self._told) < self._limits.tool_change_count:
            self._told.add((tool, digest))
            self._tell(caller, tool, pin, digest)
