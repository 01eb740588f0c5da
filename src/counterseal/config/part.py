"""What every mapping of the file is: frozen, strict, and without room for a key that is not in the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from counterseal.config.values import frozen


class Part(BaseModel):
    """Any mapping of the file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


def nothing() -> Mapping[str, Any]:
    """The default of a mapping."""
    return frozen({})
