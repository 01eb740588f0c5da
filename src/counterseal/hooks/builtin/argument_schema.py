"""`argument_schema`: a gate that holds the arguments of `tools/call` against the tool's inputSchema, as lists have shown it.

Fails closed: a tool that no list has shown, and a schema that cannot be checked, refuse the call. What is told of a fault is the
place and the rule and never the value.
"""

from __future__ import annotations

from typing import Final

from counterseal.hooks.bounded_schema import BoundedSchema, NotCheckable, TooMuch
from counterseal.hooks.offered import Offered
from counterseal.hooks.protocols import Deny, Pass
from counterseal.hooks.view import View

_MOST_BYTES: Final = 256 * 1024 * 1024
"""Of compiled schemas, by the worst that each may take."""
_REFUSED_BYTES: Final = 1024


class ArgumentSchema:
    """unknown: what happens to a call of a tool that no list has shown to this worker, `refuse` or `allow`."""

    def __init__(self, *, unknown: str = "refuse", offered: Offered) -> None:
        if unknown not in ("refuse", "allow"):
            raise ValueError("`unknown` must be refuse or allow")
        self._refuses_unknown = unknown == "refuse"
        self._schema = offered.schema
        self._compiled: dict[tuple[str, str], tuple[bytes, BoundedSchema | str]] = {}
        self._bytes = 0

    async def check(self, view: View) -> Pass | Deny:
        call = view.call
        if call.method != "tools/call" or call.name is None:
            return Pass()
        text = self._schema(call.server, call.name)
        if text is None:
            if self._refuses_unknown:
                return Deny(
                    "no list has shown this tool yet, so its arguments cannot be checked: send `tools/list` first"
                )
            return Pass()
        schema = self._of((call.server, call.name), text)
        if isinstance(schema, str):
            return Deny(f"the tool's inputSchema cannot be checked: {schema}")
        try:
            fault = schema.fault(call.arguments or {})
        except TooMuch:
            return Deny("the arguments are too large to be held against the tool's inputSchema")
        return Pass() if fault is None else Deny(f"the arguments are not what the tool's inputSchema asks for: {fault}")

    def _of(self, tool: tuple[str, str], text: bytes) -> BoundedSchema | str:
        """The schema, or why it is none, compiled once for each text."""
        known = self._compiled.get(tool)
        if known is not None and known[0] == text:
            return known[1]
        made: BoundedSchema | str
        try:
            made = BoundedSchema(text) if text else "it is too large"
        except NotCheckable as error:
            made = str(error)
        self._bytes += len(text) + (_REFUSED_BYTES if isinstance(made, str) else made.size)
        if self._bytes > _MOST_BYTES:
            self._compiled.clear()
            self._bytes = 0
        self._compiled[tool] = (text, made)
        return made
