"""The port that takes audit entries."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """Takes entries in the order they are given. tests/contracts/sink.py holds every sink to this."""

    def write(self, entry: Mapping[str, Any]) -> Awaitable[None]:
        """Done once the entry is durable, for what must be written before something else happens.

        Raises CannotTell("audit_unavailable") if it was not written, or not in LIMITS.audit_seconds.
        """
        ...

    def post(self, entry: Mapping[str, Any]) -> None:
        """Queues the entry without waiting, for what has happened already. If it cannot be written, the next `write` is
        refused. Raises CannotTell only once the sink is closed, or for an entry that has no JSON form."""
        ...

    def healthy(self) -> str | None:
        """None, or why entries cannot be written at the moment."""
        ...

    async def close(self) -> None:
        """Write what is queued and end. Does not raise."""
        ...
