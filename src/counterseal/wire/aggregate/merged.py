"""What all servers together say of themselves: capabilities, instructions.

A capability is shown where a server that this caller may use has it, and where this address carries it. Extensions but that of
tasks, and experimental ones, are not: nobody here knows which of a server's names their messages would hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Raw

from counterseal.core.methods import EXTENSION_TASKS
from counterseal.wire.aggregate.names import OURS, Spelling, spelled
from counterseal.wire.answer import NotAnAnswer

_CARRIED: Final[Mapping[str, tuple[tuple[str, ...], frozenset[str]]]] = {
    "tools": (("tools/list",), frozenset({"listChanged"})),
    "prompts": (("prompts/get",), frozenset({"listChanged"})),
    "resources": (("resources/read",), frozenset({"listChanged", "subscribe"})),
    "completions": (("prompts/get", "resources/read"), frozenset()),
    "logging": (("logging/setLevel",), frozenset()),
    "extensions": (("tools/list",), frozenset()),
}
"""Each capability: the methods of which a caller must have one for it to mean something, and the members that are carried."""

_INSTRUCTIONS: Final = 16 * 1024
"""Characters of one server's instructions that are passed on."""

Open = Callable[[str, str], bool]
"""Whether the caller may use a method of a server."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What one server says of itself. ttl_ms, shared: how long that may be kept, and whether for other callers as well."""

    capabilities: Mapping[str, Any]
    instructions: str | None
    ttl_ms: int = 0
    shared: bool = False

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.instructions or "") + 1024


def introduction(result: Mapping[str, Raw]) -> Introduction:
    """Out of the result of `server/discover` or `initialize`. Raises NotAnAnswer."""
    try:
        capabilities = _decode(result, "capabilities", {})
        instructions = _decode(result, "instructions", None)
        ttl_ms = _decode(result, "ttlMs", 0)
        scope = _decode(result, "cacheScope", None)
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer("not what a server says of itself") from None
    if not isinstance(capabilities, dict):
        raise NotAnAnswer("`capabilities` is not an object")
    kept: dict[str, dict[str, Any]] = {
        name: {member: True for member in members if capabilities[name].get(member) is True}
        for name, (_, members) in _CARRIED.items()
        if name != "extensions" and isinstance(capabilities.get(name), dict)
    }
    extensions = capabilities.get("extensions")
    if isinstance(extensions, dict) and isinstance(extensions.get(EXTENSION_TASKS), dict):
        kept["extensions"] = {EXTENSION_TASKS: {}}
    text = instructions[:_INSTRUCTIONS] if isinstance(instructions, str) else None
    return Introduction(kept, text, max(0, int(ttl_ms)) if isinstance(ttl_ms, int | float) else 0, scope == "public")


def capabilities(said: Mapping[str, Introduction], is_open: Open, *, push: bool) -> dict[str, Any]:
    """Those of all servers together. push: whether what servers do by themselves reaches the caller."""
    found: dict[str, dict[str, Any]] = {}
    for server, one in said.items():
        for name, members in one.capabilities.items():
            if (push or name != "logging") and any(is_open(server, method) for method in _CARRIED[name][0]):
                found.setdefault(name, {}).update(members if push or name == "extensions" else {})
    return {name: found[name] for name in _CARRIED if name in found}


def instructions(said: Mapping[str, Introduction], spelling: Spelling = OURS) -> str:
    """What clients are told: how things are called here, and what each server says."""
    parts = [
        f"Several MCP servers at one address. Tools and prompts are named `{spelling.joined('{server}', '{name}')}`, "
        f"resources `{spelled('{server}', '{uri}')}`."
    ]
    parts += [f"# {server}\n\n{one.instructions}" for server, one in said.items() if one.instructions]
    return "\n\n".join(parts)


def _decode(result: Mapping[str, Raw], member: str, otherwise: Any) -> Any:
    return msgspec.json.decode(result[member]) if member in result else otherwise
