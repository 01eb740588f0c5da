"""`litellm:`: addresses and names of tools as LiteLLM has them, for clients that were set up for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictStr

from counterseal.config.part import Part, nothing
from counterseal.config.problems import wrong
from counterseal.config.values import ServerName, frozen, some

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SEPARATOR: Final = re.compile(r"[A-Za-z0-9_.-]{1,8}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise wrong("is no name for an address: use at most 64 letters, digits, `-`, `_` and `.`")
    return text


def _separator(text: str) -> str:
    if not _SEPARATOR.fullmatch(text):
        raise wrong("is no separator: use at most 8 letters, digits, `-`, `_` and `.`")
    return text


Name = Annotated[StrictStr, AfterValidator(_name)]


class LitellmAddresses(Part):
    """names: further names of servers. groups: names for several. separator: between server and tool in the names of tools."""

    names: Annotated[Mapping[Name, ServerName], AfterValidator(frozen)] = Field(default_factory=nothing)
    groups: Annotated[
        Mapping[Name, Annotated[tuple[ServerName, ...], AfterValidator(some)]], AfterValidator(frozen)
    ] = Field(default_factory=nothing)
    separator: Annotated[StrictStr, AfterValidator(_separator)] = "-"
