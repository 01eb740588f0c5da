"""The hooks of a configuration, put together once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final, Protocol

from counterseal.clock import Clock, SystemClock
from counterseal.config.hooks import Hook as Entry
from counterseal.config.reader import path_text
from counterseal.config.schema import Configuration
from counterseal.config.secret import SecretReference
from counterseal.core.frozen import thaw
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.errors import ConfigError
from counterseal.gateway.hook_loading import Loaded, Unusable, load
from counterseal.hooks import accept
from counterseal.hooks.contained import Contained
from counterseal.hooks.observing import Observe, Observers, Observing
from counterseal.hooks.offered import Offered
from counterseal.hooks.runner import Hook, Hooks
from counterseal.hooks.scope import Scope
from counterseal.wire.headers import Path


class Described(Protocol):
    """A server, as far as it is known what its tools take."""

    def schema(self, tool: str) -> Mapping[Path, str] | None:
        """What the tool mirrors into headers; None where no list named it."""
        ...

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of the tool's inputSchema; None where it is not known."""
        ...


_ENDING_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Opened:
    """calls: gates and claim sources, None where there are none. observe: None where nobody looks on."""

    calls: Hooks | None
    observe: Observe | None


def try_hooks(configuration: Configuration) -> None:
    """Load every hook and keep none. Raises ConfigError with all problems."""
    _load(configuration, SystemClock(), lambda server, tool: None)


def open_hooks(
    configuration: Configuration,
    clock: Clock,
    servers: Mapping[str, Described],
    stack: AsyncExitStack,
    asked: Callable[[str], None] | None = None,
) -> Opened:
    """Every hook. servers: whose lists tell what tools take. asked: as `Hooks` takes it. Raises ConfigError with all problems."""
    loaded = _load(
        configuration, clock, lambda server, tool: servers[server].input_schema(tool) if server in servers else None
    )
    gates: list[Hook] = []
    sources: list[Hook] = []
    observers: list[Observing] = []
    for index, (entry, one) in enumerate(loaded):
        label = f"hooks[{index}] {entry.name or entry.use} ({configuration.source_of(f'hooks[{index}]')})"
        if one.kind == "observer":
            observers.append(_observing(entry, one, label))
            continue
        accepting = accept.answer if one.kind == "gate" else accept.additions
        ask = Contained(label, one.method, partial(accepting, limits=LIMITS), entry.time_limit)
        headers = tuple(name.lower().encode() for name in entry.headers)
        hook = Hook(entry.name or entry.use, label, _scope(entry), headers, ask)
        (gates if one.kind == "gate" else sources).append(hook)
    for observing in observers:
        observing.start()
        stack.push_async_callback(observing.close, _ENDING_SECONDS)
    calls = Hooks(
        gates,
        sources,
        mirrors=lambda server, tool: servers[server].schema(tool),
        taken={name: _taken(configuration, name) for name in configuration.servers},
        limits=LIMITS,
        asked=asked,
    )
    return Opened(calls if gates or sources else None, Observers(observers) if observers else None)


def _load(
    configuration: Configuration, clock: Clock, schema: Callable[[str, str], bytes | None]
) -> Sequence[tuple[Entry, Loaded]]:
    offered = Offered(schema, partial(_secret, configuration.folder), partial(_path, configuration.folder), clock)
    loaded, problems = [], []
    for index, entry in enumerate(configuration.hooks):
        try:
            loaded.append((entry, load(entry.use, thaw(entry.settings), offered)))
        except Unusable as error:
            for steps, what in error.problems:
                path = path_text(("hooks", index, *steps))
                problems.append(f"{configuration.place_of(path, f'hooks[{index}]')}: {path}: {what}")
    if problems:
        raise ConfigError(*problems)
    return loaded


def _observing(entry: Entry, loaded: Loaded, label: str) -> Observing:
    tell: Contained[Any, None] = Contained(label, loaded.method, accept.nothing, entry.time_limit)
    return Observing(label, _scope(entry), tell, LIMITS.hook_events)


def _scope(entry: Entry) -> Scope:
    servers, tools, methods = (
        None if texts is None else Patterns.of(texts) for texts in (entry.servers, entry.tools, entry.methods)
    )
    return Scope(servers, tools, methods)


def _taken(configuration: Configuration, server: str) -> frozenset[str]:
    """The headers that a server gets anyway."""
    one = configuration.servers[server]
    names = [*one.headers, *one.forward_headers, configuration.signer_of(server).header]
    return frozenset(name.lower() for name in names)


def _secret(folder: FilePath, text: str) -> str:
    return SecretReference.parse(text, folder).resolve().reveal()


def _path(folder: FilePath, text: str) -> FilePath:
    return folder / text
