"""Our parts inside of LiteLLM's event loop: opened once in each of its workers, closed when the loop ends.

One task owns them, because what opens and what closes has to be the same task. LiteLLM tells no guardrail that it ends; a loop
that ends in order cancels its tasks, and then the records are closed. Where the process just ends, nothing is lost that was
written before.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from counterseal.clock import Clock, SystemClock
from counterseal.config.schema import Configuration
from counterseal.errors import CallError, CannotTell
from counterseal.gateway.wiring import Parts, open_gateway, open_parts
from counterseal.store.port import LITELLM_KEYS


@dataclass(frozen=True, slots=True)
class Opened:
    """parts: of the gateway. key_secret: makes the ids of those who call with a key of LiteLLM's."""

    parts: Parts
    key_secret: bytes = field(repr=False)


class Running:
    """closing: is called before anything is closed."""

    def __init__(self, configuration: Configuration, closing: Callable[[], None], clock: Clock | None = None) -> None:
        self._configuration = configuration
        self._closing = closing
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[Opened] | None = None

    async def __call__(self) -> Opened:
        """What is open, or is opened now. Raises CannotTell where that fails; the next call tries again."""
        if self._task is None or self._task.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._task = asyncio.ensure_future(self._own(self._opened))
        assert self._opened is not None
        try:
            return await asyncio.shield(self._opened)
        except CallError:
            raise
        except Exception as error:
            raise CannotTell("store_unavailable", "the gateway cannot be opened", detail=type(error).__name__) from None

    async def close(self) -> None:
        """End now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _own(self, opened: asyncio.Future[Opened]) -> None:
        try:
            async with AsyncExitStack() as stack:
                parts = await open_parts(self._configuration, self._clock, stack, background=True)
                # LiteLLM speaks to the servers, so nothing is asked of them from here: what is known of their tools decides.
                parts = replace(parts, pipeline=replace(parts.pipeline, pins=parts.pins.remembered))
                stack.callback(self._closing)
                opened.set_result(Opened(parts, await parts.store.secret(LITELLM_KEYS)))
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # whoever asked may have left


def look(config: Path) -> Mapping[str, bytes]:
    """Make what is made once, and find whatever would keep a worker from starting: path to JSON text of the documents.

    In a thread with a loop of its own, because LiteLLM makes guardrails inside of its own. Raises ConfigError.
    """
    found: list[Mapping[str, bytes]] = []
    failed: list[BaseException] = []

    async def open_once() -> None:
        async with open_gateway(config, background=False) as gateway:
            found.append(gateway.documents)

    def run() -> None:
        try:
            asyncio.run(open_once())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="counterseal", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
