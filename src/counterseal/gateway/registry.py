"""Families and their members, by the names that the configuration uses. What is not configured is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOOKS: Final[Mapping[str, str]] = {
    "argument_schema": "counterseal.hooks.builtin.argument_schema:ArgumentSchema",
    "claims_from_file": "counterseal.hooks.builtin.claims_from_file:ClaimsFromFile",
    "static_headers": "counterseal.hooks.builtin.static_headers:StaticHeaders",
}
"""The hooks that come with Counterseal: `use` to `module:Class`. docs/hooks.md has a section for each."""
