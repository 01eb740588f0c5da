"""What the gateway offers a hook at start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from counterseal.clock import Clock


@dataclass(frozen=True, slots=True)
class Offered:
    """A hook whose constructor has a parameter `offered` gets it.

    schema: (server, tool) to the JSON text of the tool's inputSchema, as the server's lists showed it so far in this worker; None
    where no list has named the tool, empty where its schema is over the ceiling. secret: a reference (`env:NAME`, `file:PATH`) to
    the secret it stands for; raises ValueError with the remedy. path: a path of the configuration, relative to its folder, as an
    absolute one. clock: what time it is.
    """

    schema: Callable[[str, str], bytes | None]
    secret: Callable[[str], str]
    path: Callable[[str], Path]
    clock: Clock
