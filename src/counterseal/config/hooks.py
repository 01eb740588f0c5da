"""`hooks:`. Which hooks there are, in their order, and what each is for.

Here only the entry is read. Whether there is such a hook, and whether it takes what stands in `with`, is seen when it is loaded
(gateway/hook_loading.py), which `serve` and `check` do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StrictStr, field_validator
from pydantic import ValidationInfo as Info

from counterseal.config.part import Part, nothing
from counterseal.config.problems import Faults, nearest, wrong
from counterseal.config.values import Duration, MethodPatterns, Patterns, Text, distinct
from counterseal.core.frozen import freeze
from counterseal.hooks.view import CREDENTIALS

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
_CLASS: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LONGEST: Final = 30


def _use(text: str) -> str:
    if not (_CLASS if ":" in text else _NAME).fullmatch(text):
        raise wrong("must be the name of a hook, or `module:Class` for a class of a module that can be imported")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise wrong("is no name of an HTTP header: use letters, digits and `-`")
    if text.lower() in CREDENTIALS:
        raise wrong("carries a credential, which no hook sees: remove it")
    return text


def _time_limit(value: int) -> int:
    if not 0 < value <= _LONGEST:
        raise wrong(
            f"must be 1 to {_LONGEST} seconds: a caller waits for the hook, and a hook that hangs holds up every call"
        )
    return value


class Hook(Part):
    """One hook. name: what records call it; None for what `use` says. headers: of the caller's, those that it sees. settings: the
    keyword arguments of its class, `with` in the file."""

    use: Annotated[StrictStr, AfterValidator(_use)]
    name: Text | None = None
    servers: Patterns | None = None
    methods: MethodPatterns | None = None
    tools: Patterns | None = None
    headers: Annotated[tuple[Annotated[StrictStr, AfterValidator(_header)], ...], AfterValidator(distinct)] = ()
    time_limit: Annotated[Duration, AfterValidator(_time_limit)] = 1
    settings: Annotated[Mapping[str, Any], AfterValidator(freeze)] = Field(default_factory=nothing, alias="with")

    @field_validator("servers", "methods", "tools", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:  # a hook that lost what stood there would be about everything
            raise wrong("is empty: name something, or leave the key out, and the hook is for all of them")
        return value


def fit(hooks: tuple[Hook, ...], info: Info) -> tuple[Hook, ...]:
    """What entries say about servers and headers, against the servers that there are."""
    servers, signer = info.data.get("servers"), info.data.get("signer")
    if servers is None or signer is None:
        return hooks
    channel = {signer.channel_token_header.lower()}
    channel |= {signer.under(one.signer).channel_token_header.lower() for one in servers.values()}
    passed = {one.passthrough.header.lower() for one in servers.values() if one.passthrough is not None}
    faults = Faults()
    for index, hook in enumerate(hooks):
        for position, name in enumerate(hook.servers or ()):
            if "*" not in name and name not in servers:
                faults.add(f"is not the name of a server{nearest(name, servers)}", index, "servers", position)
        for position, header in enumerate(hook.headers):
            if header.lower() in channel:
                faults.add("carries a channel token, which no hook sees: remove it", index, "headers", position)
            if header.lower() in passed:
                what = "carries a credential for a server (`passthrough`), which no hook sees: remove it"
                faults.add(what, index, "headers", position)
    faults.check()
    return hooks


Hooks = Annotated[tuple[Hook, ...], AfterValidator(fit)]
